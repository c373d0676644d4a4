"""Who may get a caller's own credential, and which credential sets stand in for another."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.gateway.routing import candidates, variants
from engine.gateway.routing.variants import ProviderVariants
from tests.tables import each
from tests.unit.config.folders import ENVIRON, read, write

ACCOUNTS = """version: 1
providers:
  openai:
    base_url: https://api.openai.com/v1
    credentials: {api_key: {env: OPENAI_API_KEY}}
    headers: {authorization: "Bearer {{ credentials.api_key }}"}
    accounts:
      - {weight: 2, credentials: {api_key: {env: OTHER_API_KEY}}}
      - {weight: 1, credentials: {api_key: {env: REGION}}}
    endpoints: {chat_completions: /chat/completions, embeddings: /embeddings}
"""


@each(
    ("second", "owners"),
    [(("b", {b"x-key", b"x-other"}), {"one"}), (("a", {b"x-key", b"x-other"}), {"one", "two"})],
)
def test_who_takes_one_secret_of_another_company_gets_none(second: Any, owners: set[str]) -> None:
    """Also if it takes a second one that nobody else does."""
    rule: Any = SimpleNamespace(targets=[SimpleNamespace(provider=n) for n in ("one", "two")])
    taken: Any = {"one": ("a", {b"x-key"}), "two": second}
    assert candidates._owners(rule, taken) == owners


def test_the_sets_before_the_chosen_one_stand_in_too(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = [SimpleNamespace(name=n, choices=None) for n in "abc"]
    monkeypatch.setattr(variants, "matching_variants", lambda *_: sets)
    caller: Any = SimpleNamespace(caller=SimpleNamespace(name="k"))
    nothing: Any = None
    chosen: Any = sets[1]
    others = ProviderVariants().others(chosen, nothing, caller, nothing)
    assert [each.name for each in others] == ["c", "a"]


def test_a_set_without_its_variable_has_no_turn(tmp_path: Path) -> None:
    environ = {name: value for name, value in ENVIRON.items() if name != "OPENAI_API_KEY"}
    plan = read(write(tmp_path, providers=ACCOUNTS), environ).plan
    assert plan is not None
    (credentials,) = plan.providers["openai"].accounts
    assert len(credentials.providers) == 2
    assert sorted(credentials.rotation) == [0, 0, 1]
