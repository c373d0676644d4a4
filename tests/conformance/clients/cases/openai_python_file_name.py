# client: openai for Python
# what: a file whose name has Latin-1 or other letters, quotes, and what looks like parameters
# wants: ^The quick brown fox (.*) 5 of 5$
# never: Error
from openai import OpenAI

names = [
    "caf\u00e9.wav",
    "\u97f3\u58f0.wav",
    "a;b; name=x.wav",
    'say "hi".wav',
    "a=b, c; model=gpt-4o.wav",
]
client, heard = OpenAI(), []
for name in names:
    try:
        file = (name, b"RIFF", "audio/wav")
        heard.append(client.audio.transcriptions.create(model="whisper-1", file=file).text)
    except Exception as error:
        print(ascii(name), type(error).__name__, error)
print(heard and heard[0], len(heard), "of", len(names))
