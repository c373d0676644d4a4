# client: pydantic-ai
# what: a limit of tokens is looked at before the request
# wants: ^anthropic:claude-sonnet-4-5 You said: hello there$
# wants: ^anthropic:claude-sonnet-4-5 UsageLimitExceeded .*input_tokens
# requests: 3
from pydantic_ai import Agent, UsageLimitExceeded, UsageLimits

agent = Agent("anthropic:claude-sonnet-4-5")
for most in (1000, 1):
    limits = UsageLimits(input_tokens_limit=most, count_tokens_before_request=True)
    try:
        print(agent.model.model_id, agent.run_sync("hello there", usage_limits=limits).output)
    except UsageLimitExceeded as error:
        print(agent.model.model_id, type(error).__name__, error)
