# client: openai for Python
# what: chat.completions.parse gives an object of the class
# wants: ^Step\(
from openai import OpenAI
from pydantic import BaseModel


class Step(BaseModel):
    title: str
    minutes: int


ask = [{"role": "user", "content": "hello"}]
answer = OpenAI().chat.completions.parse(model="gpt-4o-mini", messages=ask, response_format=Step)
print(repr(answer.choices[0].message.parsed))
