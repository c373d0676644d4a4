# client: anthropic for Python
# what: the tool runner calls the tool and ends with text
# wants: ^called with mock$
# wants: ^The tool said: sunny$
from anthropic import Anthropic, beta_tool


@beta_tool
def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: its name
    """
    print("called with", city)
    return "sunny"


ask = [{"role": "user", "content": "what is the weather?"}]
runner = Anthropic().beta.messages.tool_runner(
    model="claude-sonnet-4-5", max_tokens=99, tools=[get_weather], messages=ask
)
print(runner.until_done().content[0].text)
