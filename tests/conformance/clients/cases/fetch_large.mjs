// client: fetch of Node
// what: 413 to 40 MB and 401 to 8 MB reach a client that is still sending
// wants: ^413 413 413 413 413 413 413 413$
// wants: ^401 401 401 401 401 401 401 401$
async function status(key, megabytes) {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const asked = { method: "POST", headers, body: Buffer.alloc(megabytes << 20) };
  try {
    const answer = await fetch(`${process.env.BASE}/v1/embeddings`, asked);
    await answer.text();
    return answer.status;
  } catch (error) {
    return String(error.cause ?? error);
  }
}
for (const [key, megabytes] of [[process.env.KEY, 40], ["wrong", 8]]) {
  const seen = [];
  while (seen.length < 8) seen.push(await status(key, megabytes));
  console.log(...seen);
}
