# client: openai for Python
# what: models.list and models.retrieve, also of a name that only a rule covers
# wants: ^listed gpt-4o-mini claude-sonnet-4-5$
# wants: ^gpt-4o-mini openai$
# wants: ^claude-next-9 anthropic$
# wants: ^ft:gpt-4o:acme::7 openai$
# wants: ^404 model_not_found$
from openai import NotFoundError, OpenAI

client = OpenAI()
names = [model.id for model in client.models.list()]
print("listed", *(name for name in ("gpt-4o-mini", "claude-sonnet-4-5") if name in names))
for name in ("gpt-4o-mini", "claude-next-9", "ft:gpt-4o:acme::7"):
    found = client.models.retrieve(name)
    print(found.id, found.owned_by)
try:
    client.models.retrieve("nobody")
except NotFoundError as error:
    print(error.status_code, error.code)
