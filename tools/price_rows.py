"""Keep the list of every price ever entered: ``python -m tools.price_rows`` appends the new ones.

Rows of the catalogue are appended, never overwritten. The list in ``tests/catalog/price_rows.txt`` makes that a test: a
row that is changed or gone no longer matches its line there.
"""

import tomllib
from importlib.resources import files
from pathlib import Path

from costlab.catalog import GpuPrice, StorePrice, gpu_prices, store_prices

TOKEN_FILES = ("model_prices.toml", "service_tiers.toml")
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


def token_lines() -> list[str]:
    """What our own files say of tokens, as lines of the list: prices, uplifts and tiers of service."""
    tables = [tomllib.loads((files("costlab.catalog") / file).read_text(encoding="utf-8")) for file in TOKEN_FILES]
    rows = [(name, row) for table in tables for name, rows in table.items() for row in rows]
    return [f"{name} | " + " | ".join(f"{key} {value}" for key, value in row.items()) for name, row in rows]


def current_lines() -> list[str]:
    """The catalogue as lines of the list."""
    return [*map(line, gpu_prices()), *map(line, store_prices()), *token_lines()]


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
