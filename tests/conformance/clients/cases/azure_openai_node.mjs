// client: AzureOpenAI for Node
// what: chat, streamed as well, and embeddings: the deployment is the model
// wants: ^You said: hello$
// wants: ^streamed: You said: hello$
// wants: ^[1-9]\d* numbers$
import { AzureOpenAI } from "openai";

const [endpoint, apiKey, model] = [process.env.BASE, process.env.KEY, "gpt-4o-mini"];
delete process.env.OPENAI_BASE_URL;
const client = new AzureOpenAI({ endpoint, apiKey, apiVersion: "2025-04-01-preview" });
const messages = [{ role: "user", content: "hello" }];
const plain = await client.chat.completions.create({ model, messages });
console.log(plain.choices[0].message.content);
let text = "";
const stream = await client.chat.completions.create({ model, messages, stream: true });
for await (const event of stream) text += event.choices[0]?.delta.content ?? "";
console.log(`streamed: ${text}`);
const { data } = await client.embeddings.create({ model: "text-embedding-3-small", input: "hello" });
console.log(`${data[0].embedding.length} numbers`);
