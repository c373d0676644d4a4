# client: AzureOpenAI for Python
# what: chat, streamed as well, embeddings, a transcription, Responses and the list of models
# wants: ^You said: hello$
# wants: ^streamed: You said: hello$
# wants: ^[1-9]\d* numbers$
# wants: ^The quick brown fox
# wants: ^responses: You said: hello$
# wants: ^listed$
import os

from openai import AzureOpenAI

client = AzureOpenAI(
    azure_endpoint=os.environ["BASE"], api_key=os.environ["KEY"], api_version="2025-04-01-preview"
)
ask = [{"role": "user", "content": "hello"}]
print(client.chat.completions.create(model="gpt-4o-mini", messages=ask).choices[0].message.content)
stream = client.chat.completions.create(model="gpt-4o-mini", messages=ask, stream=True)
print("streamed:", "".join(e.choices[0].delta.content or "" for e in stream if e.choices))
answer = client.embeddings.create(model="text-embedding-3-small", input="hello")
print(len(answer.data[0].embedding), "numbers")
print(client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF")).text)
print("responses:", client.responses.create(model="gpt-5", input="hello").output_text)
print("listed" if "gpt-5" in [model.id for model in client.models.list()] else "missing")
