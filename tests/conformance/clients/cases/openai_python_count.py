# client: openai for Python
# what: responses.input_tokens.count and responses.compact
# wants: ^response.input_tokens [1-9]\d*$
# wants: ^response.compaction compaction$
# requests: 2
from openai import OpenAI

client = OpenAI()
count = client.responses.input_tokens.count(model="gpt-5", input="hello there")
print(count.object, count.input_tokens)
short = client.responses.compact(model="gpt-5", input="hello there")
print(short.object, short.output[0].type)
