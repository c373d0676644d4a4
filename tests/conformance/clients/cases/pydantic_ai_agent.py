# client: pydantic-ai
# what: an agent with a tool and a typed result, over chat, Responses and Anthropic
# wants: ^openai-chat:gpt-4o-mini called \['mock'\] Step\(title='mock', minutes=1\)$
# wants: ^openai-responses:gpt-4o-mini called \['mock'\] Step\(title='mock', minutes=1\)$
# wants: ^anthropic:claude-sonnet-4-5 called \['mock'\] Step\(title='mock', minutes=1\)$
from pydantic import BaseModel
from pydantic_ai import Agent

called = []


class Step(BaseModel):
    title: str
    minutes: int


for name in (
    "openai-chat:gpt-4o-mini",
    "openai-responses:gpt-4o-mini",
    "anthropic:claude-sonnet-4-5",
):
    called.clear()
    agent = Agent(name, output_type=Step)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather in a city."""
        called.append(city)
        return "sunny"

    print(name, "called", called, repr(agent.run_sync("what is the weather?").output))
