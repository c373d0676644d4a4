# client: anthropic for Python
# what: waits `retry-after` at a rate limit, does not try a spent budget again, and reads what is left
# wants: ^anthropic-ratelimit-requests-limit 1, left 0 until a time in UTC: True$
# wants: ^served after a wait: True$
# wants: ^spent: 429 rate_limit_error, to be tried again: false, left 0$
# requests: 5
import os
import time
from datetime import datetime

from anthropic import Anthropic, RateLimitError


def ask(key: str):
    client = Anthropic(api_key=os.environ[key], max_retries=2)
    said = [{"role": "user", "content": "hello"}]
    return client.messages.with_raw_response.create(model="claude-x", max_tokens=9, messages=said)


headers = ask("RATE_KEY").headers
limit, left, reset = (
    headers[f"anthropic-ratelimit-requests-{n}"] for n in ("limit", "remaining", "reset")
)
is_utc = datetime.fromisoformat(reset).utcoffset() is not None
print(f"anthropic-ratelimit-requests-limit {limit}, left {left} until a time in UTC: {is_utc}")
start = time.monotonic()
ask("RATE_KEY")
print("served after a wait:", time.monotonic() - start > 0.5)
ask("BUDGET_KEY")
try:
    ask("BUDGET_KEY")
except RateLimitError as error:
    again = error.response.headers["x-should-retry"]
    left = error.response.headers["anthropic-ratelimit-tokens-remaining"]
    print(
        f"spent: {error.status_code} {error.body['error']['type']}, to be tried again: {again}, left {left}"
    )
