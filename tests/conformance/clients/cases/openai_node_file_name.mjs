// client: openai for Node
// what: a file whose name has Latin-1 or other letters, quotes, and what looks like parameters
// wants: ^The quick brown fox (.*) 5 of 5$
import OpenAI, { toFile } from "openai";

const names = ["caf\u00e9.wav", "\u97f3\u58f0.wav", "a;b; name=x.wav", 'say "hi".wav', "a=b, c; model=gpt-4o.wav"];
const heard = [];
for (const name of names) {
  const file = await toFile(Buffer.from("RIFF"), name, { type: "audio/wav" });
  try {
    heard.push((await new OpenAI().audio.transcriptions.create({ model: "whisper-1", file })).text);
  } catch (error) {
    console.log(JSON.stringify(name), error.message);
  }
}
console.log(heard[0], heard.length, "of", names.length);
