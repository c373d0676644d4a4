# client: litellm
# what: a tool call, an answer by schema and an Anthropic answer
# wants: ^get_weather \{"city": "mock"\}$
# wants: ^\{"text": "You said: hello"\}$
# wants: ^You said: hello$
import os

import litellm

ask = [{"role": "user", "content": "hello"}]
function = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
tools = [{"type": "function", "function": function}]
call = (
    litellm.completion("openai/gpt-4o-mini", ask, tools=tools, tool_choice="required")
    .choices[0]
    .message.tool_calls[0]
)
print(call.function.name, call.function.arguments)
print(
    litellm.completion("openai/gpt-4o-mini", ask, response_format={"type": "json_object"})
    .choices[0]
    .message.content
)
at = {"api_base": os.environ["BASE"], "api_key": os.environ["KEY"]}
print(litellm.completion("anthropic/claude-sonnet-4-5", ask, **at).choices[0].message.content)
