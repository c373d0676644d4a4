// The module http2 of Node: see clients.py.
import { readFileSync } from "node:fs";
import http2 from "node:http2";

const { BASE, KEY, CA } = process.env;
const open = () => {
  const made = http2.connect(BASE, { ca: readFileSync(CA) });
  made.on("error", (error) => console.log("session", error.message));
  made.on("goaway", () => made.close()); // what is under way goes on
  return made;
};
let session = open();

const ask = (method, path, model, { key = KEY, body, leave } = {}) =>
  new Promise((resolve) => {
    if (session.closed || session.destroyed) session = open();
    const head = { ":method": method, ":path": path, authorization: `Bearer ${key}`, "content-type": "application/json" };
    const stream = session.request(head, { endStream: method !== "POST" });
    let [status, text] = [0, ""];
    stream.on("response", (headers) => (status = headers[":status"]));
    stream.on("data", (chunk) => {
      text += chunk;
      if (leave) stream.close(http2.constants.NGHTTP2_CANCEL);
    });
    stream.on("error", (error) => resolve({ status, text: error.message }));
    stream.on("close", () => resolve({ status, text: text.trim() }));
    if (method === "POST") stream.end(body ?? JSON.stringify({ model, stream: model.includes("events"), messages: [] }));
  });
const chat = (model, more) => ask("POST", "/v1/chat/completions", model, more);
const isWhole = ({ status, text }) => status === 200 && (text.endsWith("}") || text.endsWith("[DONE]"));

console.log("plain", isWhole(await chat("gpt-4o-mini")), "stream", isWhole(await chat("gpt-mock-events-5-1")));
console.log("head", (await ask("HEAD", "/readyz")).status);
console.log("unsized", (await chat("", { key: "wrong", body: Buffer.alloc(8 << 20) })).status);
const crowd = await Promise.all(Array.from({ length: 100 }, () => chat("gpt-4o-mini")));
console.log("at once", crowd.filter(isWhole).length);
await chat("gpt-leaves-mock-events-500-20", { leave: true });
console.log("left");

let [over, lost] = [false, 0];
process.stdin.once("data", () => (over = true)).unref?.();
const load = async (model) => {
  while (!over) {
    const found = await chat(model);
    if (!isWhole(found)) lost += 1, console.log(JSON.stringify(found));
  }
};
await Promise.all([load("gpt-4o-mini"), load("gpt-mock-events-50-20")]);
console.log("lost", lost);
process.exit(0);
