"""Plans for unit tests: the shipped one with made-up credentials, and model tables from rules."""

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

from engine.config.compile import compile as compiler
from engine.config.load import load
from engine.plan.plan import ModelTable, Plan, Rule
from tests.servers import ROOT

ENVIRON = {"OPENAI_API_KEY": "sk-openai", "ANTHROPIC_API_KEY": "sk-anthropic"}


@cache
def shipped_plan() -> Plan:
    plan = load(ROOT, ENVIRON, time.time()).plan
    assert plan is not None
    return plan


def rule(
    pattern: str,
    *,
    is_prefix: bool = True,
    endpoints: tuple[str, ...] | None = None,
    provider: str = "openai",
) -> Rule:
    where = f"routes.yaml:{pattern}:{is_prefix}:{endpoints}"
    return Rule(pattern, is_prefix, provider, endpoints, rename=None, strip=False, where=where)


def table_of(rules: Sequence[Rule]) -> ModelTable:
    build = cast(Callable[[Sequence[Rule]], ModelTable], vars(compiler)["_model_table"])
    return build(rules)
