#!/usr/bin/env bash
# litellm 1.110.2. Expected: an answer of a fine-tuned gpt-4o whose prompt was mostly read from the prompt cache costs
# less than one whose prompt was not, for either release of the model. Seen: for ft:gpt-4o-2024-11-20 the price of
# reading stands under the key of *writing* (cache_creation_input_token_cost), so cached tokens are billed in full;
# for ft:gpt-4o-2024-08-06 it stands under cache_read_input_token_cost and counts.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check litellm==1.110.2
LITELLM_LOCAL_MODEL_COST_MAP=True "$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import litellm
from litellm.types.utils import PromptTokensDetailsWrapper, Usage

print("litellm", version("litellm"))
costs = {}
for model in ("ft:gpt-4o-2024-08-06", "ft:gpt-4o-2024-11-20"):
    for cached in (0, 9_000):
        usage = Usage(
            prompt_tokens=10_000,
            completion_tokens=0,
            total_tokens=10_000,
            prompt_tokens_details=PromptTokensDetailsWrapper(cached_tokens=cached),
        )
        response = litellm.ModelResponse(model=model, usage=usage)
        costs[model, cached] = litellm.completion_cost(response, model=model, custom_llm_provider="openai")
        print(f"{model}: 10,000 input tokens, {cached:,} of them read from the cache: {costs[model, cached]:.6f} USD")
keys = sorted(key for key in litellm.model_cost["ft:gpt-4o-2024-11-20"] if key.startswith("cache"))
print("keys of the price of cached tokens of ft:gpt-4o-2024-11-20:", keys)
older = costs["ft:gpt-4o-2024-08-06", 9_000] < costs["ft:gpt-4o-2024-08-06", 0]
newer = costs["ft:gpt-4o-2024-11-20", 9_000] < costs["ft:gpt-4o-2024-11-20", 0]
raise SystemExit("this has changed" if (older, newer) != (True, False) else 0)
PY
echo "still so"
