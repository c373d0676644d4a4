# client: anthropic for Python
# what: models.list pages to its end, and models.retrieve
# wants: ^[1-9]\d* names, each once, claude-sonnet-4-5 among them$
# wants: ^model claude-next-9$
# requests: 2
from anthropic import Anthropic

client = Anthropic()
names = [model.id for model in client.models.list(limit=5)]
once = "each once" if len(names) == len(set(names)) else "some twice"
found = "among them" if "claude-sonnet-4-5" in names else "missing"
print(f"{len(names)} names, {once}, claude-sonnet-4-5 {found}")
one = client.models.retrieve("claude-next-9")
print(one.type, one.id)
