// What Node reads in the bodies that come as lines of JSON: JSON.parse, and the forms of undici.
const names = ["model", "stream", "api_key"];
const lines = require("node:readline").createInterface({ input: process.stdin });
async function read(kind, type, body) {
  if (kind === "json") {
    const found = JSON.parse(body.toString("utf8"));
    return names.map((name) => (Object.hasOwn(found, name) ? [found[name]] : []));
  }
  const form = await new Response(body, { headers: { "content-type": type } }).formData();
  return names.map((name) => form.getAll(name).map((value) => (typeof value === "string" ? value : "a file")));
}
(async () => {
  for await (const line of lines) {
    const [kind, type, text] = JSON.parse(line);
    let told = null;
    try {
      told = await read(kind, type, Buffer.from(text, "base64"));
    } catch {}
    process.stdout.write(JSON.stringify(told) + "\n");
  }
})();
