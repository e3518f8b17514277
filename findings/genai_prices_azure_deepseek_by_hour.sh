#!/usr/bin/env bash
# genai-prices 0.2.3. Expected: the price of deepseek-r1 at Azure is Azure's, one price at every hour, or unknown. Seen:
# Azure has no such model in the collection, so the maker's price is given under Azure's name, and with it the maker's
# discount at night: a request at 20:45 UTC costs a quarter of one at 12:45. (Azure's list price, as litellm 1.110.2
# has it, is 1.35 a million input tokens.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check genai-prices==0.2.3
"$work/venv/bin/python" - <<'PY'
from datetime import UTC, datetime
from importlib.metadata import version

from genai_prices import Usage, calc_price

print("genai-prices", version("genai-prices"))
prices = []
for hour in (12, 20):
    moment = datetime(2026, 11, 5, hour, 45, tzinfo=UTC)
    found = calc_price(
        Usage(input_tokens=1_000_000), model_ref="deepseek-r1", provider_id="azure", genai_request_timestamp=moment
    )
    prices.append(found.total_price)
    print(f"{moment:%H:%M} UTC: {found.model.id} at {found.provider.id}: {found.total_price} USD a million input tokens")
raise SystemExit("this has changed" if prices[0] <= prices[1] else 0)
PY
echo "still so"
