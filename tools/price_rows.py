"""Keep the list of every price ever entered: ``python -m tools.price_rows`` appends the new ones.

Rows of the catalogue are appended, never overwritten. The list in ``tests/catalog/price_rows.txt`` makes that a test: a
row that is changed or gone no longer matches its line there.
"""

from pathlib import Path

from costlab.catalog import GpuPrice, gpu_prices

LIST = Path(__file__).parents[1] / "tests" / "catalog" / "price_rows.txt"


def line(price: GpuPrice) -> str:
    """A price as a line of the list."""
    where = f"{price.snapshot} | {price.gpu} | {price.pricing} | {price.place} | {price.instance or '-'}"
    return f"{where} | {price.checked} | {price.usd_per_hour!r} | {price.kind} | {price.source_url or '-'}"


def recorded() -> list[str]:
    """The lines of the list."""
    return LIST.read_text(encoding="utf-8").splitlines() if LIST.exists() else []


def main() -> None:
    """Append the rows that are new; refuse when an old one has changed."""
    current, old = [line(price) for price in gpu_prices()], recorded()
    gone = [entry for entry in old if entry not in current]
    if gone:
        raise SystemExit("changed or gone; append a row with a later date instead:\n" + "\n".join(gone))
    new = [entry for entry in current if entry not in old]
    LIST.write_text("\n".join([*old, *new]) + "\n", encoding="utf-8")
    print(f"{len(new)} new prices, {len(old) + len(new)} in all")


if __name__ == "__main__":
    main()
