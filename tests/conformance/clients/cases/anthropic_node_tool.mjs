// client: anthropic for Node
// what: a streamed call of a forced tool
// wants: ^tool_use get_weather \{"city":"mock"\}$
import Anthropic from "@anthropic-ai/sdk";

const input_schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const stream = new Anthropic().messages.stream({
  model: "claude-sonnet-4-5",
  max_tokens: 99,
  messages: [{ role: "user", content: "hello" }],
  tools: [{ name: "get_weather", input_schema }],
  tool_choice: { type: "tool", name: "get_weather" },
});
const { stop_reason, content } = await stream.finalMessage();
console.log(stop_reason, content[0].name, JSON.stringify(content[0].input));
