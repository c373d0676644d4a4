# client: openai for Python
# what: a chat stream that breaks off in an event: the gateway's reason
# upstream: raw chat_cut.http
# wants: ^Hello$
# wants: ^APIError .*broke off its response
# never: JSONDecodeError
# requests: 1
from openai import OpenAI

ask = [{"role": "user", "content": "hello"}]
try:
    for event in OpenAI().chat.completions.create(model="gpt-4o", messages=ask, stream=True):
        print(event.choices[0].delta.content)
except Exception as error:
    print(type(error).__name__, error)
