# client: openai for Python
# what: a Responses stream that breaks off in an event: the gateway's reason
# upstream: raw responses_cut.http
# wants: ^Hello$
# wants: ^(APIError|response.failed) .*broke off its response
# never: JSONDecodeError|ValidationError
# requests: 1
from openai import OpenAI

try:
    for event in OpenAI().responses.create(model="gpt-5", input="hello", stream=True):
        if event.type == "response.output_text.delta":
            print(event.delta)
        if event.type == "response.failed":
            print(event.type, event.response.error.message)
except Exception as error:
    print(type(error).__name__, error)
