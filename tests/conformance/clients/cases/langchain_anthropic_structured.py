# client: langchain-anthropic
# what: with_structured_output, by schema and by a tool, and streamed text
# wants: ^by json_schema Step\(title='mock', minutes=1\)$
# wants: ^by function_calling Step\(title='mock', minutes=1\)$
# wants: ^streamed You said: hello$
from langchain_anthropic import ChatAnthropic
from pydantic import BaseModel


class Step(BaseModel):
    """A step."""

    title: str
    minutes: int


model = ChatAnthropic(model="claude-sonnet-4-5")
for method in ("json_schema", "function_calling"):
    found = model.with_structured_output(Step, method=method).invoke("hello")
    print("by", method, repr(found))
print("streamed", "".join(piece.text for piece in model.stream("hello")))
