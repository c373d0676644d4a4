// client: openai for Node
// what: a chat stream that breaks off in an event: the gateway's reason
// upstream: raw chat_cut.http
// wants: ^Hello$
// wants: ^raised: .*broke off its response
import OpenAI from "openai";

try {
  const messages = [{ role: "user", content: "hi" }];
  const stream = await new OpenAI().chat.completions.create({ model: "gpt-4o", messages, stream: true });
  for await (const event of stream) console.log(event.choices[0].delta.content);
} catch (error) {
  console.log(`raised: ${error.message}`);
}
