# client: openai for Python
# what: a wrong key, a model out of the key's reach and an unknown model are not tried again
# wants: ^401 invalid_api_key$
# wants: ^403 not_allowed$
# wants: ^404 model_not_found$
# requests: 3
import os

from openai import APIStatusError, OpenAI

tries = (("wrong", "gpt-4o"), (os.environ["NARROW_KEY"], "gpt-4o"), (os.environ["KEY"], "nobody"))
for key, model in tries:
    try:
        OpenAI(api_key=key, max_retries=5).chat.completions.create(model=model, messages=[])
    except APIStatusError as error:
        print(error.status_code, error.code)
