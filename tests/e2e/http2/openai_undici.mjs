// The SDK of OpenAI over undici with `allowH2`: see clients.py.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const from = createRequire(`${process.env.MODULES}/x.js`);
const [{ default: OpenAI }, { Agent, fetch }] = await Promise.all(
  ["openai", "undici"].map((name) => import(pathToFileURL(from.resolve(name)))),
);
const dispatcher = new Agent({ allowH2: true, connect: { ca: readFileSync(process.env.CA) } });
const client = new OpenAI({ baseURL: `${process.env.BASE}/v1`, apiKey: process.env.KEY, fetch, fetchOptions: { dispatcher } });
const messages = [{ role: "user", content: "hello" }];
const plain = await client.chat.completions.create({ model: "gpt-4o-mini", messages });
let text = "";
for await (const event of await client.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true }))
  text += event.choices[0]?.delta.content ?? "";
const wrong = await client.withOptions({ apiKey: "wrong" }).models.list().catch((error) => error.status);
console.log(plain.choices[0].message.content, "|", text, "|", wrong);
process.exit(0);
