// client: openai for Node
// what: waits `retry-after` at a rate limit, does not try a spent budget again, and reads what is left
// wants: ^limit 1, left 0$
// wants: ^served after a wait: true$
// wants: ^spent: 429 budget_exceeded, to be tried again: false, left 0$
// requests: 5
import OpenAI from "openai";

const { RATE_KEY, BUDGET_KEY } = process.env;
const ask = (apiKey) =>
  new OpenAI({ apiKey, maxRetries: 2 }).chat.completions.create({ model: "gpt-4o", messages: [] }).withResponse();

const { response } = await ask(RATE_KEY);
const header = (name) => response.headers.get(`x-ratelimit-${name}-requests`);
console.log(`limit ${header("limit")}, left ${header("remaining")}`);
const start = Date.now();
await ask(RATE_KEY);
console.log(`served after a wait: ${Date.now() - start > 500}`);
await ask(BUDGET_KEY);
try {
  await ask(BUDGET_KEY);
} catch (error) {
  const [again, left] = ["x-should-retry", "x-ratelimit-remaining-tokens"].map((name) => error.headers.get(name));
  console.log(`spent: ${error.status} ${error.code}, to be tried again: ${again}, left ${left}`);
}
