// client: Anthropic for Node
// what: waits `retry-after` at a rate limit, does not try a spent budget again, and reads what is left
// wants: ^limit 1, left 0, whole again at a time: true$
// wants: ^served after a wait: true$
// wants: ^spent: 429 rate_limit_error, to be tried again: false, left 0$
// requests: 5
import Anthropic from "@anthropic-ai/sdk";

const { BASE, RATE_KEY, BUDGET_KEY } = process.env;
const messages = [{ role: "user", content: "hi" }];
const ask = (apiKey) =>
  new Anthropic({ baseURL: BASE, apiKey, maxRetries: 2 }).messages
    .create({ model: "claude-x", max_tokens: 9, messages })
    .withResponse();

const { response } = await ask(RATE_KEY);
const header = (name) => response.headers.get(`anthropic-ratelimit-requests-${name}`);
const isTime = !Number.isNaN(Date.parse(header("reset")));
console.log(`limit ${header("limit")}, left ${header("remaining")}, whole again at a time: ${isTime}`);
const start = Date.now();
await ask(RATE_KEY);
console.log(`served after a wait: ${Date.now() - start > 500}`);
await ask(BUDGET_KEY);
try {
  await ask(BUDGET_KEY);
} catch (error) {
  const [again, left] = ["x-should-retry", "anthropic-ratelimit-tokens-remaining"].map((name) => error.headers.get(name));
  console.log(`spent: ${error.status} ${error.error.error.type}, to be tried again: ${again}, left ${left}`);
}
