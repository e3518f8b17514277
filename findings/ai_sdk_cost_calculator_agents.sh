#!/usr/bin/env bash
# ai-sdk-cost-calculator 7.1.14, with Vercel's AI SDK (`ai`) 6.0.326 and 7.0.173, either of which it takes (`ai` >= 6). Expected:
# an agent of five calls, each with 100,000 input tokens, 80,000 of them cached, and 1,000 of answer, costs what its five calls
# cost, 0.495 USD at Claude Sonnet 4.5, and the same whichever release runs it. None of the calls is long: the dearer price
# begins above 200,000 tokens. Seen: `withCost` and `createTracker` of the package's own examples bill 0.099 USD under release 6,
# where `usage` is that of the last call alone, and 0.9525 USD under release 7, where it is the sum of all calls, which is then
# priced as one call of 500,000 tokens. The calculator's price of each call is right.
set -euo pipefail

VERSION=7.1.14
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > agent.mjs <<'SCRIPT'
import * as ai from "ai";
import * as test from "ai/test";
import { createTracker, getCost, withCost } from "ai-sdk-cost-calculator";
import { z } from "zod";

const CALLS = 5;
const modelId = "claude-sonnet-4-5";
let calls = 0;
// A model that looks something up four times, and then answers.
const Model = test.MockLanguageModelV4 ?? test.MockLanguageModelV3;
const model = new Model({
  provider: "anthropic.messages",
  modelId,
  doGenerate: async () => {
    const last = ++calls === CALLS;
    return {
      content: [
        last
          ? { type: "text", text: "Yes." }
          : { type: "tool-call", toolCallId: `call_${calls}`, toolName: "lookUp", input: "{}" },
      ],
      finishReason: last ? { unified: "stop", raw: "end_turn" } : { unified: "tool-calls", raw: "tool_use" },
      usage: {
        inputTokens: { total: 100000, noCache: 20000, cacheRead: 80000, cacheWrite: 0 },
        outputTokens: { total: 1000, text: 1000, reasoning: 0 },
      },
      warnings: [],
    };
  },
});
const told = {};
const tracker = createTracker();
const track = tracker.onFinish(modelId);
const price = withCost(modelId, ({ cost }) => {
  told.withCost = cost.totalCost;
  told.long = cost.isLongContext;
});
const result = await ai.generateText({
  model,
  prompt: "Is it so?",
  tools: {
    lookUp: ai.tool({ description: "Looks it up", inputSchema: z.object({}), execute: async () => "it is" }),
  },
  stopWhen: (ai.isStepCount ?? ai.stepCountIs)(9),
  onFinish: async (event) => {
    await price(event);
    await track(event);
  },
});
const right = result.steps.reduce((usd, step) => usd + getCost(modelId, step.usage).totalCost, 0);
const figures = [right, told.withCost, tracker.getTotal().totalCost].map((usd) => usd.toFixed(4));
const [sum, once, tracked] = figures;
console.log(`${result.steps.length} calls: ${sum} USD each for itself; withCost ${once}, createTracker ${tracked} USD`);
const seen = [...figures, told.long].join(" ");
if (seen !== process.argv[2]) {
  console.error(`changed: ${seen}`);
  process.exit(1);
}
SCRIPT

for release in "6.0.326 0.4950 0.0990 0.0990 false" "7.0.173 0.4950 0.9525 0.9525 true"; do
  mkdir "${release%% *}"
  cp agent.mjs "${release%% *}"
  (
    cd "${release%% *}"
    npm install --silent --no-audit --no-fund "ai@${release%% *}" "ai-sdk-cost-calculator@$VERSION" zod@4.1.12
    echo "ai-sdk-cost-calculator $VERSION, ai ${release%% *}"
    node agent.mjs "${release#* }"
  )
done
echo "still so"
