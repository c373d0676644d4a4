"""Conditions of rules: which rule a request gets, against a search through all, and which sets tie."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.config.checks import conditions as checks
from engine.config.rules import ModelRule
from engine.gateway.errors import GatewayError
from engine.gateway.inbound.json_body import JsonBody
from engine.gateway.routing.conditions import Facts
from engine.gateway.routing.match import explain, find_target
from engine.plan.conditions import (
    Dimension,
    UnusableFieldError,
    When,
    conditions_of,
    describe,
)
from engine.plan.conditions import dimension_reader as described_request
from engine.plan.plan import Account, Caller, Rule
from tests.tables import each
from tests.unit.config.folders import codes, minimal, only, read, write
from tests.unit.gateway.plans import rule, shipped_plan, table_of

DIMENSIONS = [Dimension("key"), Dimension("header", "x-a"), Dimension("body", "/a/b")]
VALUES = ["1", "2"]
REQUESTS = [
    dict(zip(DIMENSIONS, found, strict=True)) for found in product([None, *VALUES], repeat=3)
]
LISTS = st.frozensets(st.sampled_from(VALUES), min_size=1)
SETS = st.lists(
    st.dictionaries(st.sampled_from(DIMENSIONS), LISTS, min_size=1), min_size=1, max_size=6
)
Request = Mapping[Dimension, str | None]


def met(conditions: list[When], request: Request) -> list[When]:
    return [when for when in conditions if all(request[d] in v for d, v in when.items())]


def best(conditions: list[When], request: Request) -> list[When]:
    """Those met than which no other that is met asks for more."""
    fitting = met(conditions, request)
    return [when for when in fitting if not any(when.keys() < each.keys() for each in fitting)]


def declared(conditions: list[When]) -> list[ModelRule]:
    return [
        ModelRule(("models", n), "a", False, "p", None, None, strip=False, when=when)
        for n, when in enumerate(conditions)
    ]


@given(SETS)
def test_sets_tie_only_if_some_request_has_two_best_rules(conditions: list[When]) -> None:
    ties = list(checks._ties(declared(conditions)))
    assert bool(ties) == any(len(best(conditions, request)) > 1 for request in REQUESTS)


@given(SETS)
def test_the_rule_that_asks_for_most_wins(conditions: list[When]) -> None:
    assume(not list(checks._ties(declared(conditions))))
    table = conditions_of((when, when) for when in conditions)
    assert table is not None
    for request in REQUESTS:
        wanted = best(conditions, request)
        assert table.find(request.__getitem__) == (wanted[0] if wanted else None)


def rules() -> Iterator[Rule]:
    """Rules for one model, of which those that are narrowed come before those that are not."""
    whens: list[When] = [{}, {DIMENSIONS[0]: frozenset("1")}]
    whens.append({**whens[1], DIMENSIONS[1]: frozenset("12")})
    for when in whens:
        yield replace(rule("a", is_prefix=False), when=when)
        yield replace(rule("a", is_prefix=False, endpoints=("messages",)), when=when)
    yield rule("")


@each(
    ("request_headers", "key", "wanted"),
    [({}, None, 0), ({}, "1", 1), ({"x-a": "2"}, "1", 2), ({"x-a": "3"}, "1", 1)],
)
def test_narrowed_rules_come_first_then_those_with_most_conditions(
    request_headers: Mapping[str, str], key: str | None, wanted: int
) -> None:
    made = list(rules())
    table = table_of(made)
    read = described_request(key, None, request_headers, None)
    assert table.find("messages", "a", read) is made[2 * wanted + 1]
    assert table.find("chat_completions", "a", read) is made[2 * wanted]
    assert table.find("messages", "b", read) is made[-1]
    assert set(map(id, table.possible_rules("messages", "a"))) == set(map(id, made[1:6:2]))


def test_a_rule_whose_conditions_are_not_met_leaves_the_model_to_a_shorter_prefix() -> None:
    first, second = replace(rule("ab"), when={DIMENSIONS[0]: frozenset("1")}), rule("a")
    table = table_of([first, second])
    assert table.find("messages", "abc", described_request("2", None, {}, None)) is second
    assert table.find("messages", "abc") is second
    assert list(table.possible_rules("messages", "abc")) == [first, second]


def test_each_loser_has_its_reason() -> None:
    made = list(rules())
    plan = replace(shipped_plan(), models=table_of(made), rules=tuple(made))
    read = described_request("1", None, {"x-a": "3"}, None)
    told = {id(each.rule): each.reason for each in explain(plan, "messages", "a", read)}
    assert [told[id(each)] for each in made] == [
        "is not limited to this endpoint; the rule that won is",
        "has fewer conditions than the rule that won",
        "is not limited to this endpoint; the rule that won is",
        None,
        "asks for header x-a = 1 or 2",
        "asks for header x-a = 1 or 2",
        "is a prefix, and an exact rule beats it",
    ]


@each(("name", "wanted"), [("joe", True), ("ann", False)])
def test_a_rule_admits_a_key_whatever_headers_it_asks_for(name: str, *, wanted: bool) -> None:
    conditions = {DIMENSIONS[0]: frozenset({"joe"}), DIMENSIONS[1]: frozenset("1")}
    assert replace(rule("a"), when=conditions).admits(name, None) is wanted
    assert describe(conditions) == "header x-a = 1, key = joe"


def test_keys_of_accounts_have_the_id_of_their_account() -> None:
    caller = Caller("@a/k", None, None, (), None, Account("a", {}))
    facts = Facts(caller, [(b"x-a", b" 1\t")], None)
    asked = [Dimension("key"), Dimension("account"), *DIMENSIONS[1:], Dimension("header", "x-b")]
    assert not facts.were_read
    assert [facts.read(dimension) for dimension in asked] == ["@a/k", "a", "1", None, None]
    assert facts.were_read


class Counted(dict[tuple[str | None, ...], int]):
    """A table that counts searches in it."""

    asked = 0

    def get(self, key: object, default: object = None) -> Any:
        Counted.asked += 1
        return super().get(key, default)  # type: ignore[call-overload] # as a dict


def test_more_rules_cost_no_more_searches() -> None:
    for count in (50, 5000):
        table = conditions_of(({DIMENSIONS[0]: frozenset({f"k{n}"})}, n) for n in range(count))
        assert table is not None
        counted = replace(table, tables=tuple((d, Counted(t)) for d, t in table.tables))
        Counted.asked = 0
        assert counted.find(lambda _: "k49") == 49
        assert Counted.asked == 1


def test_all_rules_together_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each combination is an entry of a table in each worker; here with a tenth of the bound."""
    assert checks.MAX_ALL_COMBINATIONS == 100_000
    monkeypatch.setattr(checks, "MAX_ALL_COMBINATIONS", 10_000)
    lists = ", ".join(f"x-{name}: [{', '.join(f'v{n}' for n in range(10))}]" for name in "abc")
    rules = [
        f"  - {{prefix: g, provider: openai, when: {{key: [k{n}], header: {{{lists}}}}}}}"
        for n in range(11)
    ]
    routes = minimal("routes") + "\n".join(rules[:10])
    assert codes(read(write(tmp_path, routes=f"{routes}\n"))) == []
    found = only(read(write(tmp_path, routes=f"{routes}\n{rules[10]}\n")))
    assert (found.code, found.path[1]) == ("X280", 12)


@each(("inner", "ties"), [("/m/t", False), ("/m2/t", True), ("/m", False)])
def test_a_string_and_a_field_inside_it_are_never_met_together(inner: str, *, ties: bool) -> None:
    outer = {Dimension("body", "/m"): frozenset("1")}
    inside = {Dimension("body", inner): frozenset("2"), Dimension("key"): frozenset("1")}
    assert bool(list(checks._ties(declared([outer, inside])))) == ties
    assert bool(list(checks._ties(declared([inside, outer])))) == ties


@each(
    ("place", "key"),
    [
        ("/tier", "Tier"),
        ("/Tier", "tier"),
        ("/key", "\u212aey"),
        ("/tier", "t\u0131er"),
        ("/a/b", "B"),
    ],
)
def test_a_described_body_in_another_spelling_is_refused_like_a_real_one(
    place: str, key: str
) -> None:
    body = {"a": {key: "1"}, key: "1"}
    read = described_request(None, None, {}, body)
    with pytest.raises(UnusableFieldError):
        read(Dimension("body", place))
    with pytest.raises(GatewayError, match="may be read as"):
        JsonBody(json.dumps(body["a"]).encode()).raw_value(place[-len(key) :].removeprefix("/"))


@each(("model", "words"), [("s", "that this request does not meet"), ("a/", "covers `a/`")])
def test_a_model_whose_conditions_are_not_met_is_not_said_to_be_the_nearest_to_itself(
    model: str, words: str, tmp_path: Path
) -> None:
    loaded = read(
        write(
            tmp_path,
            routes="version: 1\nendpoints: {chat_completions: {path: /v1/x}, embeddings: {path: /v1/y}}\nmodels:\n"
            "  - {model: s, provider: openai, when: {header: {x-a: [a]}}}\n"
            "  - {prefix: a/, provider: openai, strip: true}\n",
        )
    )
    assert loaded.plan is not None
    endpoint = loaded.plan.endpoint("chat_completions")
    assert endpoint is not None
    with pytest.raises(GatewayError, match=words) as raised:
        find_target(loaded.plan, endpoint, model)
    assert f"nearest are `{model}`" not in str(raised.value)


def test_a_described_header_has_no_spaces_around_its_value() -> None:
    read = described_request(None, None, {"x-a": " \t1 2\t "}, None)
    assert read(Dimension("header", "x-a")) == "1 2"
