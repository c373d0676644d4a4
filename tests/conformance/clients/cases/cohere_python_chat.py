# client: cohere for Python
# what: v2 and v1: chat, streamed as well, embed, rerank, tokenize and detokenize
# wants: ^v2 You said: hello$
# wants: ^v2 streamed You said: hello$
# wants: ^v1 You said: hello$
# wants: ^v1 streamed You said: hello$
# wants: ^2 and 2 embeddings$
# wants: ^rerank [01]$
# wants: ^[1-9]\d* tokens, mock$
import cohere

v2, v1 = cohere.ClientV2(), cohere.Client()
ask = [{"role": "user", "content": "hello"}]
model = "command-a-03-2025"
print("v2", v2.chat(model=model, messages=ask).message.content[0].text)
events = v2.chat_stream(model=model, messages=ask)
deltas = [e.delta.message.content.text for e in events if e.type == "content-delta"]
print("v2 streamed", "".join(deltas))
print("v1", v1.chat(model=model, message="hello").text)
events = v1.chat_stream(model=model, message="hello")
print("v1 streamed", "".join(e.text for e in events if e.event_type == "text-generation"))
new = v2.embed(
    model="embed-v4.0", texts=["a", "b"], input_type="search_query", embedding_types=["float"]
)
old = v1.embed(model="embed-english-v3.0", texts=["a", "b"], input_type="search_query")
print(len(new.embeddings.float_), "and", len(old.embeddings), "embeddings")
print("rerank", v2.rerank(model="rerank-v3.5", query="q", documents=["a", "b"]).results[0].index)
tokens = v1.tokenize(text="hello there", model=model, offline=False).tokens
print(len(tokens), "tokens,", v1.detokenize(tokens=tokens, model=model, offline=False).text)
