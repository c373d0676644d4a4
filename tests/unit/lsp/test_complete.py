"""What an editor offers in server.yaml, which has no names of its own."""

import pytest

from engine.lsp.complete import complete
from engine.lsp.text import Text

TEXT = """version: 1
accounts:
  database: sqlite:///orqen.db
  vault_keys: [{file: vault.key}]
  provider_keys: VALUE
admin:
  oidc:
    issuer: https://login.example.com
    KEY
"""


@pytest.mark.parametrize(
    ("place", "offered"),
    [
        ("VALUE", {"account", "operator", "account_then_operator"}),
        ("KEY", {"client_id", "client_secret", "name"}),
    ],
)
def test_values_and_keys_are_those_of_the_schema(place: str, offered: set[str]) -> None:
    text = TEXT.replace({"VALUE": "KEY", "KEY": "VALUE"}[place], "").replace(place, "|")
    found = complete("server.yaml", Text(text.replace("|", "")), text.index("|"), ())
    assert {item.label for item in found} == offered


RULE = """version: 1
models:
  - prefix: gpt-
    body:
      set: {temperature: 0}
      |
    |
  - model: fast
    targets:
      - provider: openai
        |
"""


@pytest.mark.parametrize(
    ("number", "offered"),
    [
        (0, {"drop", "rename", "default"}),
        (1, {"provider", "targets", "endpoint", "strip"}),
        (2, {"as", "weight", "body"}),
    ],
)
def test_the_keys_of_a_rule_are_offered_where_they_belong(number: int, offered: set[str]) -> None:
    parts = RULE.split("|")
    text = "".join(parts[: number + 1]) + "|" + "".join(parts[number + 1 :])
    found = complete("routes.yaml", Text(text.replace("|", "")), text.index("|"), ())
    labels = {item.label for item in found}
    assert labels >= offered
    assert labels.isdisjoint({"set", "prefix"})
