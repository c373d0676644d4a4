// client: Anthropic for Node
// what: a stream that breaks off in an event: the gateway's reason
// upstream: raw messages_cut.http
// wants: ^Hello$
// wants: ^raised: .*broke off its response
import Anthropic from "@anthropic-ai/sdk";

try {
  const client = new Anthropic({ baseURL: process.env.BASE, apiKey: process.env.KEY });
  const messages = [{ role: "user", content: "hi" }];
  const stream = await client.messages.create({ model: "claude-x", max_tokens: 9, messages, stream: true });
  for await (const event of stream) if (event.delta) console.log(event.delta.text);
} catch (error) {
  console.log(`raised: ${error.message}`);
}
