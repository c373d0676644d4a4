// client: openai for Node
// what: a plain and a streamed answer
// wants: ^You said: hello$
// wants: ^streamed: You said: hello$
import OpenAI from "openai";

const [client, messages] = [new OpenAI(), [{ role: "user", content: "hello" }]];
const plain = await client.chat.completions.create({ model: "gpt-4o-mini", messages });
console.log(plain.choices[0].message.content);
let text = "";
const stream = await client.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true });
for await (const event of stream) text += event.choices[0]?.delta.content ?? "";
console.log(`streamed: ${text}`);
