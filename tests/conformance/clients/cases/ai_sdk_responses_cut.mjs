// client: AI SDK
// what: a Responses stream that breaks off in an event: the gateway's reason
// upstream: raw responses_cut.http
// wants: ^text-delta Hello$
// wants: ^error .*broke off its response
// never: Invalid JSON|Type validation|Unexpected
import { createOpenAI } from "@ai-sdk/openai";
import { streamText } from "ai";

const openai = createOpenAI({ baseURL: `${process.env.BASE}/v1`, apiKey: process.env.KEY });
const result = streamText({ model: openai.responses("gpt-5"), prompt: "hi", maxRetries: 0, onError() {} });
for await (const part of result.fullStream) {
  if (part.type === "text-delta") console.log(`text-delta ${part.text}`);
  if (part.type === "error") console.log(`error ${part.error.message ?? JSON.stringify(part.error)}`);
}
