# client: openai for Python
# what: waits `retry-after` at a rate limit, does not try a spent budget again, and reads what is left
# wants: ^x-ratelimit-limit-requests 1, left 0 of 100000 tokens: True$
# wants: ^served after a wait: True$
# wants: ^spent: 429 budget_exceeded, to be tried again: false, left 0$
# requests: 5
import os
import time

from openai import OpenAI, RateLimitError


def ask(key: str):
    client = OpenAI(api_key=os.environ[key], max_retries=2)
    return client.chat.completions.with_raw_response.create(model="gpt-4o", messages=[])


headers = ask("RATE_KEY").headers
limit, tokens = headers["x-ratelimit-limit-requests"], int(headers["x-ratelimit-remaining-tokens"])
left = headers["x-ratelimit-remaining-requests"]
print(
    f"x-ratelimit-limit-requests {limit}, left {left} of 100000 tokens: {90000 < tokens < 100000}"
)
start = time.monotonic()
ask("RATE_KEY")
print("served after a wait:", time.monotonic() - start > 0.5)
ask("BUDGET_KEY")
try:
    ask("BUDGET_KEY")
except RateLimitError as error:
    again = error.response.headers["x-should-retry"]
    left = error.response.headers["x-ratelimit-remaining-tokens"]
    print(f"spent: {error.status_code} {error.code}, to be tried again: {again}, left {left}")
