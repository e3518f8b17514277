#!/usr/bin/env bash
# focus-validator 2.2.1, rules of FOCUS 1.2.0.1. Expected: a row without a commitment passes the rules on
# CommitmentDiscountStatus when the status is empty, as the specification demands. Seen: one rule demands the status to
# be empty where there is no commitment, the next one demands it *not* to be empty in the same rows (its text says "when
# CommitmentDiscountId is not null", its condition is written as "is null"). So every file with a row outside a
# commitment breaks one of both. And the command ends with status 0 although rules failed.
set -euo pipefail
python=$(ls -d "$HOME"/.pyenv/versions/3.12.*/bin/python 2>/dev/null | head -1)
python=${python:-$(command -v python3.12 || true)}
[ -n "$python" ] || { echo "needs Python 3.12" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check focus-validator==2.2.1 pyarrow==22.0.0 numpy==1.26.4
"$work/venv/bin/python" -m pip list 2>/dev/null | grep -i focus

cat >"$work/bill.csv" <<'CSV'
ChargeCategory,CommitmentDiscountId,CommitmentDiscountStatus,CommitmentDiscountQuantity,BilledCost
Usage,,,,1.5
Usage,ri-1,Used,1.5,2.5
CSV
cd "$work"/venv/lib/python3.12/site-packages # it opens its list of currencies by a relative path
status=0
"$work/venv/bin/focus-validator" --data-file "$work/bill.csv" --validate-version 1.2.0.1 --block-download \
  --focus-dataset CostAndUsage --applicability-criteria COMMITMENT_DISCOUNT_SUPPORTED >"$work/out.txt" 2>&1 || status=$?
grep -E '^.{1,3} CommitmentDiscountStatus-C-00[34]-C:' "$work/out.txt" || true
grep -c ': FAIL' "$work/out.txt" | sed 's/$/ rules failed/'
echo "exit status $status"
python_says=$("$work/venv/bin/python" - <<'PY'
import json, pathlib, focus_validator
rules = json.loads((pathlib.Path(focus_validator.__file__).parent / "rules/model-1.2.0.1.json").read_text())["ModelRules"]
for name in ("CommitmentDiscountStatus-C-003-C", "CommitmentDiscountStatus-C-004-C"):
    criteria = rules[name]["ValidationCriteria"]
    print(name, "|", criteria["MustSatisfy"], "|", criteria["Condition"]["CheckFunction"], criteria["Condition"].get("Value"))
PY
)
echo "$python_says"
grep -q 'C-004-C.*is not null.*| CheckValue None' <<<"$python_says" && grep -q 'CommitmentDiscountStatus-C-004-C: FAIL' "$work/out.txt" && [ "$status" = 0 ] ||
  { echo "this has changed"; exit 1; }
echo "still so"
