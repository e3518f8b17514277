"""Keep the list of every price ever entered: ``python -m tools.price_rows`` appends the new ones.

Rows of the catalogue are appended, never overwritten. The list in ``tests/catalog/price_rows.txt`` makes that a test: a
row that is changed or gone no longer matches its line there.
"""

from pathlib import Path

from costlab.catalog import GpuPrice, StorePrice, gpu_prices, store_prices

LIST = Path(__file__).parents[1] / "tests" / "catalog" / "price_rows.txt"


def line(price: GpuPrice | StorePrice) -> str:
    """A price as a line of the list."""
    if isinstance(price, StorePrice):
        what = f"{price.snapshot} | {price.name} | {price.provider}/{price.region} | {price.checked}"
        extras = (
            f"{price.usd_per_million_kb!r} | {price.minimum_gb!r} | {price.node_gib!r} | {price.reserved_fraction!r}"
        )
        return f"{what} | {price.usd!r} {price.per} | {extras} | {price.kind} | {price.source_url or '-'}"
    where = f"{price.snapshot} | {price.gpu} | {price.pricing} | {price.place} | {price.instance or '-'}"
    return f"{where} | {price.checked} | {price.usd_per_hour!r} | {price.kind} | {price.source_url or '-'}"


def current_lines() -> list[str]:
    """The catalogue as lines of the list."""
    return [*map(line, gpu_prices()), *map(line, store_prices())]


def recorded() -> list[str]:
    """The lines of the list."""
    return LIST.read_text(encoding="utf-8").splitlines() if LIST.exists() else []


def main() -> None:
    """Append the rows that are new; refuse when an old one has changed."""
    current, old = current_lines(), recorded()
    gone = [entry for entry in old if entry not in current]
    if gone:
        raise SystemExit("changed or gone; append a row with a later date instead:\n" + "\n".join(gone))
    new = [entry for entry in current if entry not in old]
    LIST.write_text("\n".join([*old, *new]) + "\n", encoding="utf-8")
    print(f"{len(new)} new prices, {len(old) + len(new)} in all")


if __name__ == "__main__":
    main()
