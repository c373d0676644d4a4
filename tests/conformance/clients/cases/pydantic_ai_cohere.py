# client: pydantic-ai, Cohere
# what: an agent with a tool
# wants: ^\['mock'\] The tool said: sunny$
import os

from cohere import AsyncClientV2
from pydantic_ai import Agent
from pydantic_ai.models.cohere import CohereModel
from pydantic_ai.providers.cohere import CohereProvider

called = []
client = AsyncClientV2(base_url=os.environ["BASE"], api_key=os.environ["KEY"])
agent = Agent(CohereModel("command-a-03-2025", provider=CohereProvider(cohere_client=client)))


@agent.tool_plain
def get_weather(city: str) -> str:
    """The weather in a city."""
    called.append(city)
    return "sunny"


print(called, agent.run_sync("what is the weather?").output)
