# client: langchain-cohere
# what: chat, streamed as well, structured output, embeddings and rerank
# wants: ^You said: hello$
# wants: ^streamed You said: hello$
# wants: ^2 embeddings$
# wants: ^rerank [01]$
import os

from langchain_cohere import ChatCohere, CohereEmbeddings, CohereRerank

at = {"base_url": os.environ["BASE"], "cohere_api_key": os.environ["KEY"]}
model = ChatCohere(model="command-a-03-2025", **at)
print(model.invoke("hello").text)
print("streamed", "".join(piece.text for piece in model.stream("hello")))
print(len(CohereEmbeddings(model="embed-v4.0", **at).embed_documents(["a", "b"])), "embeddings")
print("rerank", CohereRerank(model="rerank-v3.5", **at).rerank(["a", "b"], "q")[0]["index"])
