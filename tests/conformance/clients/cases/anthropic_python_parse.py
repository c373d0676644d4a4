# client: anthropic for Python
# what: messages.parse gives an object of the class
# wants: ^Step\(title='mock', minutes=1\)$
from anthropic import Anthropic
from pydantic import BaseModel


class Step(BaseModel):
    title: str
    minutes: int


ask = [{"role": "user", "content": "hello"}]
answer = Anthropic().messages.parse(
    model="claude-sonnet-4-5", max_tokens=99, messages=ask, output_format=Step
)
print(repr(answer.parsed_output))
