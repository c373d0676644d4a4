# client: openai-agents
# what: an agent calls its tool and ends with text
# wants: ^\['mock'\] The tool said: sunny$
from agents import Agent, Runner, function_tool

called = []


@function_tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    called.append(city)
    return "sunny"


agent = Agent(name="a", model="gpt-4o-mini", tools=[get_weather])
result = Runner.run_sync(agent, "what is the weather?")
print(called, result.final_output)
