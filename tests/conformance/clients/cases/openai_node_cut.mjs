// client: openai for Node
// what: a Responses stream that breaks off in an event: the gateway's reason
// upstream: raw responses_cut.http
// wants: ^Hello$
// wants: ^raised: .*broke off its response
import OpenAI from "openai";

try {
  const stream = await new OpenAI().responses.create({ model: "gpt-5", input: "hi", stream: true });
  for await (const event of stream) if (event.delta) console.log(event.delta);
} catch (error) {
  console.log(`raised: ${error.message}`);
}
