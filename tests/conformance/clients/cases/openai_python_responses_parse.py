# client: openai for Python
# what: responses.parse gives an object of the class, streamed as well
# wants: ^Step\(title='mock', minutes=1\)$
# wants: ^streamed: Step\(title='mock', minutes=1\)$
from openai import OpenAI
from pydantic import BaseModel


class Step(BaseModel):
    title: str
    minutes: int


client = OpenAI()
print(repr(client.responses.parse(model="gpt-4o-mini", input="hi", text_format=Step).output_parsed))
with client.responses.stream(model="gpt-4o-mini", input="hi", text_format=Step) as stream:
    print("streamed:", repr(stream.get_final_response().output_parsed))
