// client: AI SDK, Anthropic
// what: generateObject, and streamText with a tool
// wants: ^\{"title":"mock","minutes":1\} called mock, The tool said: sunny$
import { createAnthropic } from "@ai-sdk/anthropic";
import { generateObject, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const model = createAnthropic({ baseURL: `${process.env.BASE}/v1` })("claude-sonnet-4-5");
const schema = z.object({ title: z.string(), minutes: z.number().int() });
const { object } = await generateObject({ model, schema, prompt: "hello" });
let called = "";
const execute = async ({ city }) => ((called = city), "sunny");
const getWeather = tool({ description: "The weather", inputSchema: z.object({ city: z.string() }), execute });
const asked = { model, tools: { getWeather }, prompt: "what is the weather?", stopWhen: stepCountIs(3) };
const text = await streamText(asked).text;
console.log(`${JSON.stringify(object)} called ${called}, ${text}`);
