// Calls of vendors' own SDKs for Node; what calls.py is for Python. Copied beside its node_modules by the Makefile.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI, { toFile } from "openai";

const [sdk, base, key, prefix, only] = process.argv.slice(2);
const model = `${prefix}unit-test-1`;
const messages = [{ role: "user", content: "hello" }];
const sound = () => toFile(Buffer.from("RIFF\0\r\n--x"), "a.wav", { type: "audio/wav" });
const image = () => toFile(Buffer.from("\x89PNG"), "a.png", { type: "image/png" });
const drain = async (stream) => {
  for await (const _ of await stream);
};
const calls = {
  node_openai: (c) => ({
    chat_completions: () => c.chat.completions.create({ model, messages }),
    "chat_completions, streamed": () => drain(c.chat.completions.create({ model, messages, stream: true })),
    completions: () => c.completions.create({ model, prompt: "hello" }),
    embeddings: () => c.embeddings.create({ model, input: ["one", "two"] }),
    responses: () => c.responses.create({ model, input: "hello" }),
    responses_input_tokens: () => c.responses.inputTokens.count({ model, input: "hello" }),
    responses_compact: () => c.responses.compact({ model, input: "hello" }),
    images_generations: () => c.images.generate({ model, prompt: "a cat" }),
    images_edits: async () => c.images.edit({ prompt: "a hat", image: [await image(), await image()], model }),
    audio_transcriptions: async () => c.audio.transcriptions.create({ file: await sound(), model }),
    audio_translations: async () => c.audio.translations.create({ model, file: await sound() }),
    audio_speech: () => c.audio.speech.create({ model, input: "hello", voice: "alloy" }),
    moderations: () => c.moderations.create({ model, input: "hello" }),
  }),
  node_anthropic: (c) => ({
    messages: () => c.messages.create({ model, max_tokens: 9, messages }),
    "messages, streamed": () => drain(c.messages.create({ model, max_tokens: 9, messages, stream: true })),
    messages_count_tokens: () => c.messages.countTokens({ model, messages }),
  }),
};
const make = { node_openai: OpenAI, node_anthropic: Anthropic };
const options = { apiKey: key, maxRetries: 0, ...(base ? { baseURL: base } : {}) };
const client = new make[sdk](options);
const made = {};
for (const [name, call] of Object.entries(base ? calls[sdk](client) : {})) {
  if (only && !JSON.parse(only).includes(name)) continue;
  made[name] = "sent";
  try {
    await call();
  } catch (error) {
    made[name] = String(error).slice(0, 200);
  }
}
console.log(JSON.stringify({ own: client.baseURL, made }));
