# client: openai for Python
# what: a plain and a streamed answer
# wants: ^You said: hello$
# wants: ^streamed: You said: hello$
from openai import OpenAI

client, ask = OpenAI(), [{"role": "user", "content": "hello"}]
print(client.chat.completions.create(model="gpt-4o-mini", messages=ask).choices[0].message.content)
stream = client.chat.completions.create(model="gpt-4o-mini", messages=ask, stream=True)
print("streamed:", "".join(e.choices[0].delta.content or "" for e in stream))
