# client: anthropic for Python
# what: a stream that breaks off in an event: the gateway's reason
# upstream: raw messages_cut.http
# wants: ^Hello$
# wants: ^API\w*Error .*broke off its response
# never: JSONDecodeError
# requests: 1
from anthropic import Anthropic

ask = [{"role": "user", "content": "hello"}]
try:
    with Anthropic().messages.stream(model="claude-x", max_tokens=9, messages=ask) as stream:
        for text in stream.text_stream:
            print(text)
except Exception as error:
    print(type(error).__name__, error)
