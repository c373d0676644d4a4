# client: openai for Python
# what: an upstream that stays open after [DONE]: the body ends there, and is recorded as whole
# upstream: raw chat_done_open.http
# wants: ^Hello$
# wants: ^\['data: \[DONE\]'\]$
# wants: ^\['ok'\]$
# never: Error
# requests: 2
# seconds: 30
import json
import os
import time

from openai import OpenAI

asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "stream": True}
client = OpenAI(timeout=20)
print("".join(e.choices[0].delta.content or "" for e in client.chat.completions.create(**asked)))
with client.chat.completions.with_streaming_response.create(**asked) as answer:
    lines = [line for line in answer.iter_lines() if line]
print(lines[-1:])
time.sleep(0.5)
with open(os.environ["LOG"]) as log:
    print(sorted({json.loads(line)["outcome"] for line in log if line.startswith("{")}))
