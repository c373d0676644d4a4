# client: litellm, azure/
# what: chat, streamed as well, and embeddings: the deployment is the model
# wants: ^You said: hello$
# wants: ^streamed: You said: hello$
# wants: ^[1-9]\d* numbers$
import os

import litellm

at = {"api_base": os.environ["BASE"], "api_key": os.environ["KEY"], "api_version": "2025-04-01"}
ask = [{"role": "user", "content": "hello"}]
print(litellm.completion("azure/gpt-4o-mini", ask, **at).choices[0].message.content)
stream = litellm.completion("azure/gpt-4o-mini", ask, stream=True, **at)
print("streamed:", "".join(e.choices[0].delta.content or "" for e in stream))
answer = litellm.embedding("azure/text-embedding-3-small", "hello", **at)
print(len(answer.data[0]["embedding"]), "numbers")
