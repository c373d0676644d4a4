# client: groq for Python
# what: chat and a transcription have fields that only Groq has
# wants: ^You said: hello req_
# wants: ^The quick brown fox .* req_
import os

from groq import Groq

client = Groq(base_url=os.environ["BASE"], api_key=os.environ["KEY"])
ask = [{"role": "user", "content": "hello"}]
answer = client.chat.completions.create(model="groq/llama-3.3-70b-versatile", messages=ask)
print(answer.choices[0].message.content, answer.x_groq.id)
heard = client.audio.transcriptions.create(model="groq/whisper-large-v3", file=("a.wav", b"RIFF"))
print(heard.text, heard.x_groq["id"])
