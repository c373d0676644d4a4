"""Limits of a model hold under every name by which callers reach it, and for no other model."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.config.load import load
from engine.config.schema.build_limits import build_limits
from engine.limits.ledger import Ledger
from engine.limits.store import Grant
from engine.limits.table import SharedMemory, Table
from engine.plan.limits import CallerLimits, Rate
from engine.plan.plan import Caller
from engine.server.hooks.limits import scopes_of
from engine.server.hooks.model_names import ModelNames
from tests.tables import each
from tests.unit.config.folders import NOW, write

ROUTES = """version: 1
endpoints: {chat_completions: {path: /v1/chat/completions}, embeddings: {path: /v1/embeddings}}
models:
  - {prefix: gpt-, provider: openai}
  - {prefix: openai/, provider: openai, strip: true}
  - {model: best, provider: openai, as: gpt-5}
  - {model: group, targets: [{provider: openai, as: gpt-5}, {provider: openai, as: gpt-4}]}
"""


@pytest.fixture
def names(tmp_path: Path) -> ModelNames:
    loaded = load(write(tmp_path, routes=ROUTES), {"OPENAI_API_KEY": "x"}, NOW)
    assert loaded.plan is not None, loaded.diagnostics
    return ModelNames(loaded.plan)


def limited(names: ModelNames, patterns: Sequence[str], model: str) -> str | None:
    """The pattern whose limits hold for `model`."""
    rate = CallerLimits(requests=Rate(1, 60))
    limits = CallerLimits(models=tuple((pattern, rate) for pattern in patterns))
    caller = Caller("app", None, None, (), None, limits=limits)
    _, *further = scopes_of(caller, names.of("chat_completions", model))
    return further[0][0].removeprefix("app ") if further else None


@each("pattern", ["gpt-5", "gpt-5*", "GPT-5", "openai/gpt-5", "openai/*", "best"])
@each("model", ["gpt-5", "openai/gpt-5", "best", "openai/GPT-5", "group"])
def test_a_limit_of_a_model_holds_under_all_of_its_names(
    names: ModelNames, pattern: str, model: str
) -> None:
    assert limited(names, [pattern], model) == pattern


@each("model", ["gpt-5", "gpt-4", "best", "openai/gpt-4"])
def test_a_limit_of_a_name_for_several_models_holds_for_that_name_alone(
    names: ModelNames, model: str
) -> None:
    assert limited(names, ["group"], model) is None
    assert limited(names, ["group"], "group") == "group"


def test_other_models_and_the_first_that_matches(names: ModelNames) -> None:
    assert limited(names, ["gpt-5", "openai/gpt-5"], "gpt-4") is None
    assert limited(names, ["gpt-5-mini", "gpt-5*"], "openai/gpt-5-mini") == "gpt-5-mini"
    assert limited(names, ["gpt-5*", "gpt-5-mini"], "gpt-5-mini") == "gpt-5*"
    assert limited(names, ["nobody"], "nobody") == "nobody", "no rule leads there"


def test_an_entry_without_limits_keeps_those_after_it_from_its_models(names: ModelNames) -> None:
    limits = build_limits({"models": {"gpt-5-mini": {}, "gpt-5*": {"requests": "1/h"}}})
    caller = Caller("app", None, None, (), None, limits=limits)
    table = Table(SharedMemory(1, records=16, leases=4))
    table.use_part(0)
    ledger = Ledger(table)
    made = [
        ledger.reserve(scopes_of(caller, names.of("chat_completions", model)), (1, 1))
        for model in ("gpt-5-mini", "openai/gpt-5-mini", "gpt-5", "gpt-5")
    ]
    assert [isinstance(each, Grant) for each in made] == [True, True, True, False]
