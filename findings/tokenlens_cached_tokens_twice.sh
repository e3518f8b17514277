#!/usr/bin/env bash
# tokenlens 1.3.1, which prices the usage of Vercel's AI SDK and of OpenAI's API. Expected: of a prompt of 100,000 tokens that
# read 60,000 from the cache, 40,000 cost 2 dollars a million and 60,000 cost 0.50; with 1,000 written tokens at 8 dollars
# that is 0.118 USD. Seen: 0.238 USD, more than the 0.208 of the same prompt with nothing cached, for the price of the cached
# tokens is laid on top of the full price of all of them, in both shapes of usage.
set -euo pipefail

VERSION=1.3.1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund "tokenlens@$VERSION"

cat > price.mjs <<'SCRIPT'
import { costFromUsage, getTokenCosts } from "tokenlens";

const modelId = "openai:gpt-4.1";
const plain = { prompt_tokens: 100000, completion_tokens: 1000 };
const usages = {
  "OpenAI's usage, nothing cached": plain,
  "OpenAI's usage, 60,000 cached": { ...plain, prompt_tokens_details: { cached_tokens: 60000 } },
  "the AI SDK's usage, 60,000 cached": { inputTokens: 100000, outputTokens: 1000, cachedInputTokens: 60000 },
};
const told = Object.entries(usages).map(([name, usage]) => {
  const costs = getTokenCosts({ modelId, usage });
  const usd = costFromUsage({ id: modelId, usage });
  console.log(`${name}: input ${costs.inputUSD}, cached ${costs.cacheReadUSD ?? 0}, in all ${usd.toFixed(3)} USD`);
  return usd.toFixed(3);
});
const seen = told.join(" ");
if (seen !== "0.208 0.238 0.238") {
  console.error(`changed: ${seen}`);
  process.exit(1);
}
SCRIPT

echo "tokenlens $VERSION, node $(node --version)"
node price.mjs
echo "still so"
