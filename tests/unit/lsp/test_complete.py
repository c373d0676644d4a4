"""What an editor offers in server.yaml, which has no names of its own."""

from engine.config.schema.extending import extend
from engine.config.source.document import parse_document
from engine.lsp.complete import complete
from engine.lsp.names import Name, Occurrence, occurrences
from engine.lsp.text import Text
from tests.tables import each

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


@each(
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


@each(
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


PROVIDERS = """version: 1
providers:
  azure_eu:
    extends: NAME
    headers: {api-key: "{{ credentials.SECRET }}"}
  azure:
    credentials: {api_key: {env: AZURE_API_KEY}}
    headers: {x-key: "{{ credentials.api_key }}"}
"""


def _extending() -> tuple[Occurrence, ...]:
    text = PROVIDERS.replace("NAME", "azure").replace("SECRET", "api_key")
    document, _ = parse_document("providers.yaml", text.encode())
    assert document is not None
    return occurrences({"providers.yaml": extend(document).document})


@each(("place", "offered"), [("NAME", "azure"), ("SECRET", "api_key")])
def test_what_can_be_extended_and_what_is_taken_over_is_offered(place: str, offered: str) -> None:
    text = PROVIDERS.replace({"NAME": "SECRET", "SECRET": "NAME"}[place], "azure").replace(
        place, "|"
    )
    found = complete("providers.yaml", Text(text.replace("|", "")), text.index("|"), _extending())
    assert offered in {item.label for item in found}


def test_a_credential_that_is_taken_over_is_one_name_wherever_it_is_used() -> None:
    lines = [
        m.span.start.line for m in _extending() if m.name == Name("credential", "api_key", "azure")
    ]
    assert sorted(lines) == [5, 7, 8]
