// client: AI SDK, Cohere
// what: generateText, streamText with a tool, and embed
// wants: ^You said: hello$
// wants: ^called mock, The tool said: sunny$
// wants: ^[1-9]\d* numbers$
import { createCohere } from "@ai-sdk/cohere";
import { embed, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const cohere = createCohere({ baseURL: `${process.env.BASE}/v2`, apiKey: process.env.KEY });
const model = cohere("command-a-03-2025");
console.log((await generateText({ model, prompt: "hello" })).text);
let called = "";
const execute = async ({ city }) => ((called = city), "sunny");
const getWeather = tool({ description: "The weather", inputSchema: z.object({ city: z.string() }), execute });
const asked = { model, tools: { getWeather }, prompt: "what is the weather?", stopWhen: stepCountIs(3) };
const text = await streamText(asked).text;
console.log(`called ${called}, ${text}`);
const { embedding } = await embed({ model: cohere.embedding("embed-v4.0"), value: "hello" });
console.log(`${embedding.length} numbers`);
