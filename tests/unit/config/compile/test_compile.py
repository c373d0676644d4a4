"""Whole configurations as compiled plans, and which of two rules wins."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from engine.config.compile.upstream import path_of
from engine.plan.plan import Plan
from tests.tables import each
from tests.unit.config.folders import ENVIRON, SECRET, minimal, provider, read, write

PLANS = Path(__file__).parent / "plans"


def view(value: Any) -> Any:
    """A plan as plain data: bytes as text, functions as a word, sets in order, secrets masked."""
    if is_dataclass(value):
        return {field.name: view(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): view(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(view(item) for item in value)
    if isinstance(value, list | tuple):
        return [view(item) for item in value]
    if isinstance(value, bytes):
        return value.decode().replace(SECRET, "***")
    return "made for each request" if callable(value) else value


def _key(key: Any) -> str:
    if isinstance(key, bytes):
        return key.hex() if len(key) == 32 else key.decode()
    return str(key)


@pytest.mark.parametrize("name", sorted(path.name for path in PLANS.iterdir()))
def test_plan(name: str, snapshot: SnapshotAssertion) -> None:
    loaded = read(PLANS / name)
    assert loaded.diagnostics == ()
    plan = view(loaded.plan)
    del plan["fingerprint"]
    assert SECRET not in json.dumps(plan)
    assert plan == snapshot(extension_class=JSONSnapshotExtension)


def test_a_plan_does_not_show_its_secrets() -> None:
    loaded = read(PLANS / "credentials")
    assert loaded.plan is not None
    for provider_plan in loaded.plan.providers.values():
        assert SECRET not in repr(provider_plan)
    assert SECRET not in repr(loaded.plan)


def rendered(
    folder: Path, headers: dict[str, str], context: dict[str, Any]
) -> dict[str, str | None]:
    """The headers of a provider with these templates, for one request."""
    credentials = {
        "api_key": {"env": "OPENAI_API_KEY"},
        "absent": {"env": "NOT_SET", "optional": True},
    }
    text = provider(headers=headers, credentials=credentials, variables={"region": "eu"})
    plan = read(write(folder, providers=text)).plan
    assert plan is not None
    return {
        h.name.decode(): h.value.decode() if isinstance(h.value, bytes) else h.value(context)
        for h in plan.providers["openai"].headers
    }


def test_headers_are_left_out_or_bound(tmp_path: Path) -> None:
    headers = {
        "x-absent": "{{ credentials.absent }}",
        "x-both": "{{ credentials.api_key }} {{ credentials.absent }}",
        "x-default": "{{ credentials.absent | default('none') }}",
        "x-key": "{{ credentials.api_key }}",
        "x-model": "{{ model | upper }} {{ variables.region }}",
        "x-caller": "{{ request.headers['x-caller'] }}",
    }
    context = {"model": "gpt", "request": {"headers": {}}}
    assert rendered(tmp_path, headers, context) == {
        "x-default": "none",
        "x-key": SECRET,
        "x-model": "GPT eu",
        "x-caller": None,
    }


# -- the most specific rule wins -----------------------------------------------------------------

LADDER = [
    ("{model: gpt-4o, endpoint: embeddings, provider: openai, as: exact-narrowed}", "exact-narrowed"),
    ("{model: gpt-4o, provider: openai, as: exact}", "exact"),
    ("{prefix: gpt-4, endpoint: embeddings, provider: a, strip: true}", "o"),
    ("{prefix: gpt-4, provider: b, strip: true}", "o"),
    ("{prefix: gpt-, provider: a, strip: true}", "4o"),
    ('{prefix: "", provider: b}', "gpt-4o"),
]  # fmt: skip


def ladder_plan(folder: Path, rules: list[str]) -> Plan:
    head, _, rest = minimal("providers").partition("  openai:\n")
    providers = head + "".join(f"  {name}:\n{rest}" for name in ("openai", "a", "b"))
    routes = minimal("routes").partition("models:")[0] + "models:\n"
    routes += "".join(f"  - {rule}\n" for rule in rules)
    plan = read(write(folder, routes=routes, providers=providers)).plan
    assert plan is not None
    return plan


@each("top", range(len(LADDER)))
def test_the_most_specific_rule_wins_in_any_order(top: int, tmp_path: Path) -> None:
    rules = [rule for rule, _ in LADDER[top:]]
    for order in list(permutations(rules))[:: max(1, len(rules) * 6)]:
        plan = ladder_plan(tmp_path, list(order))
        decision = plan.decide("embeddings", "gpt-4o")
        assert decision.sent_model == LADDER[top][1]
        assert decision.rule is not None
        assert f"provider: {decision.rule.provider}" in rules[0]


def test_a_rule_for_another_endpoint_does_not_count(tmp_path: Path) -> None:
    plan = ladder_plan(tmp_path, [rule for rule, _ in LADDER])
    assert plan.decide("chat_completions", "gpt-4o").sent_model == "exact"
    assert plan.decide("chat_completions", "gpt-4x").sent_model == "x"


RULES = st.lists(
    st.tuples(
        st.sampled_from(["model", "prefix"]),
        st.text("ab", min_size=1, max_size=3),
        st.sampled_from([None, "embeddings", "chat_completions"]),
    ),
    unique=True,
    min_size=1,
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(rules=RULES, model=st.text("ab", min_size=1, max_size=4))
def test_the_table_agrees_with_looking_at_every_rule(
    tmp_path: Path, rules: list[tuple[str, str, str | None]], model: str
) -> None:
    lines = [
        f"{{{kind}: {word}, provider: openai{f', endpoint: {where}' if where else ''}}}"
        for kind, word, where in rules
    ]
    plan = ladder_plan(tmp_path, lines)
    fitting = [
        (kind == "model", len(word), where is not None, word)
        for kind, word, where in rules
        if (model == word if kind == "model" else model.startswith(word))
        and where in (None, "embeddings")
    ]
    rule = plan.decide("embeddings", model).rule
    found = rule and (
        not rule.is_prefix,
        len(rule.pattern),
        rule.endpoints is not None,
        rule.pattern,
    )
    assert found == max(fitting, default=None)


# -- URLs ----------------------------------------------------------------------------------------


@each(
    ("url", "path"),
    [("https://a.b/c/d", "/c/d"), ("https://a.b", "/"), ("https://a.b/", "/"), ("https://a.b/c//d/../e", "/c//d/../e")],
)  # fmt: skip
def test_the_path_of_a_url_is_left_as_it_stands(url: str, path: str) -> None:
    assert path_of(url) == path


def test_timeouts_come_from_the_nearest_place(tmp_path: Path) -> None:
    routes = minimal("routes").replace(
        "    path: /v1/embeddings",
        "    path: /v1/embeddings\n    timeouts: {idle: 2s, connect: 2s}",
    )
    routes += "defaults: {timeouts: {idle: 1s, connect: 1s, caller_idle: 1s}}\n"
    text = provider(timeouts={"connect": "3s"})
    plan = read(write(tmp_path, routes=routes, providers=text)).plan
    assert plan is not None
    upstream = plan.providers["openai"].upstreams["embeddings"]
    assert upstream is not None
    assert (upstream.timeouts.connect, upstream.timeouts.idle, upstream.timeouts.caller_idle) == (3, 2, 1)  # fmt: skip


def test_environ_of_these_tests_holds_nothing_real() -> None:
    assert set(ENVIRON.values()) == {SECRET, "eu-west-1"}
