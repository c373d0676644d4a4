# client: anthropic for Python
# what: messages.count_tokens, beta and not, reaches the provider
# wants: ^[1-9]\d* [1-9]\d*$
# requests: 2
from anthropic import Anthropic

asked = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hello there"}]}
client = Anthropic()
beta = client.beta.messages.count_tokens(**asked)
print(client.messages.count_tokens(**asked).input_tokens, beta.input_tokens)
