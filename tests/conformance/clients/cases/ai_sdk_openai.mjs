// client: AI SDK, OpenAI
// what: generateObject, and streamText with a tool, over Responses and chat
// wants: ^responses \{"title":"mock","minutes":1\} called mock, The tool said: sunny$
// wants: ^chat \{"title":"mock","minutes":1\} called mock, The tool said: sunny$
import { createOpenAI } from "@ai-sdk/openai";
import { generateObject, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const openai = createOpenAI();
const schema = z.object({ title: z.string(), minutes: z.number().int() });
for (const [name, model] of [["responses", openai.responses("gpt-4o-mini")], ["chat", openai.chat("gpt-4o-mini")]]) {
  const { object } = await generateObject({ model, schema, prompt: "hello" });
  let called = "";
  const execute = async ({ city }) => ((called = city), "sunny");
  const getWeather = tool({ description: "The weather", inputSchema: z.object({ city: z.string() }), execute });
  const asked = { model, tools: { getWeather }, prompt: "what is the weather?", stopWhen: stepCountIs(3) };
  const text = await streamText(asked).text;
  console.log(`${name} ${JSON.stringify(object)} called ${called}, ${text}`);
}
