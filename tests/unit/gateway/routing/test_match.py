"""Which rule wins, against a search through all of them, and what the search costs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.errors import GatewayError
from engine.gateway.routing.match import explain, find_target, find_targets
from engine.plan.plan import ModelTable, PatternRules, Rule, RuleTarget
from tests.tables import each
from tests.unit.gateway.plans import rule, shipped_plan, table_of

ENDPOINTS = ["chat_completions", "embeddings", "messages"]
PATTERNS = st.text("ab-", min_size=1, max_size=4)


@st.composite
def rules(draw: st.DrawFn) -> list[Rule]:
    """Rules of which no two claim the same pattern at the same endpoint."""
    made = []
    pairs = st.lists(st.tuples(PATTERNS, st.booleans()), max_size=12, unique=True)
    for pattern, is_prefix in draw(pairs):
        chosen = draw(st.lists(st.sampled_from(ENDPOINTS), max_size=3, unique=True))
        at = draw(st.integers(0, len(chosen)))
        groups = [tuple(group) for group in (chosen[:at], chosen[at:]) if group]
        if not groups or draw(st.booleans()):
            made.append(rule(pattern, is_prefix=is_prefix))
        made += [rule(pattern, is_prefix=is_prefix, endpoints=group) for group in groups]
    return draw(st.permutations(made))


def fits(candidate: Rule, model: str) -> bool:
    starts = model.startswith(candidate.pattern)
    return starts if candidate.is_prefix else model == candidate.pattern


def applies(candidate: Rule, endpoint: str, model: str) -> bool:
    here = candidate.endpoints is None or endpoint in candidate.endpoints
    return here and fits(candidate, model)


def rank(candidate: Rule) -> tuple[bool, int, bool]:
    """Exact beats prefix, longer beats shorter, narrowed beats not at the same pattern."""
    return not candidate.is_prefix, len(candidate.pattern), candidate.endpoints is not None


def best(candidates: list[Rule], endpoint: str, model: str) -> Rule | None:
    fitting = [each for each in candidates if applies(each, endpoint, model)]
    return max(fitting, key=rank, default=None)


@given(rules(), st.sampled_from([*ENDPOINTS, "rerank"]), st.text("ab-", max_size=6))
def test_the_most_specific_rule_wins(made: list[Rule], endpoint: str, model: str) -> None:
    assert table_of(made).find(endpoint, model) is best(made, endpoint, model)


@given(rules(), st.sampled_from(ENDPOINTS), st.text("ab-", max_size=6))
def test_every_fitting_rule_is_explained(made: list[Rule], endpoint: str, model: str) -> None:
    plan = replace(shipped_plan(), models=table_of(made), rules=tuple(made))
    told = explain(plan, endpoint, model)
    assert {c.rule.where for c in told} == {each.where for each in made if fits(each, model)}
    winner = best(made, endpoint, model)
    assert [c.rule for c in told if c.reason is None] == ([winner] if winner else [])
    assert winner is None or told[0].rule is winner


class Counting(Mapping[str, PatternRules]):
    """A table that counts how often it is asked."""

    def __init__(self, inner: Mapping[str, PatternRules]) -> None:
        self._inner = inner
        self.asked = 0

    def __getitem__(self, key: str) -> PatternRules:
        self.asked += 1
        return self._inner[key]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("a look-up may not walk the rules")

    def __len__(self) -> int:
        return len(self._inner)


@cache
def many(count: int) -> tuple[list[Rule], ModelTable]:
    """Some `count` rules, and their table."""
    made = [rule(f"p{number:04}-") for number in range(count // 2)]
    made += [rule(f"p{number:04}-x", is_prefix=False) for number in range(count // 2)]
    made += [rule("p"), rule("p0001-longer-")]
    return made, table_of(made)


def probes(count: int, model: str) -> int:
    """How many look-ups a table of `count` rules takes for `model`."""
    made, table = many(count)
    exact, prefixes = Counting(table.exact), Counting(table.prefixes)
    counted = replace(table, exact=exact, prefixes=prefixes)
    assert counted.find("chat_completions", model) is best(made, "chat_completions", model)
    return exact.asked + prefixes.asked


@each("model", ["p0001-x", "p0001-longer-one", "p9999-none", "q", "p" * 256])
def test_more_rules_cost_no_more_look_ups(model: str) -> None:
    assert probes(5000, model) == probes(50, model) <= 4


def model_refusal(endpoint: str, model: str) -> GatewayError:
    plan = shipped_plan()
    found = plan.endpoint(endpoint)
    assert found is not None
    with pytest.raises(GatewayError) as caught:
        find_target(plan, found, model)
    return caught.value


def test_an_unknown_model_names_the_nearest() -> None:
    error = model_refusal("chat_completions", "cluade-3")
    assert (error.code, error.param) == ("model_not_found", "model")
    assert "claude-" in error.message


def test_an_endpoint_the_provider_lacks_lists_what_it_serves() -> None:
    error = model_refusal("rerank", "claude-x")
    assert error.code == "endpoint_not_supported"
    assert "`anthropic`" in error.message
    assert "messages" in error.message


def test_a_prefix_with_nothing_behind_it_is_no_model() -> None:
    assert model_refusal("chat_completions", "openai/").code == "model_not_found"


def order_of(
    rule_targets: Sequence[RuleTarget],
    draw: Callable[[], float],
    key: str = "key",
    *,
    is_sticky: bool = False,
) -> list[str]:
    """The models of the targets of a rule, in the order in which they are tried."""
    plan = shipped_plan()
    endpoint = plan.endpoint("chat_completions")
    assert endpoint is not None
    found = find_target(plan, endpoint, "gpt-4o")
    rule = replace(found.rule, targets=tuple(rule_targets), is_sticky=is_sticky)
    targets = find_targets(plan, endpoint, replace(found, rule=rule), key, draw)
    return [target.sent_model for target in targets]


def rule_target(name: str, weight: int | None, tier: int = 1) -> RuleTarget:
    return RuleTarget("openai", name, strip=False, weight=weight, where=name, tier=tier)


def test_callers_are_spread_over_two_models_of_one_provider() -> None:
    """What tells two targets of a sticky rule apart is the model as well as the provider."""
    both = [rule_target(name, None) for name in ("a", "b")]
    keys = [f"key-{number}" for number in range(64)]
    sent = [order_of(both, lambda: 0.5, key, is_sticky=True)[0] for key in keys]
    assert sent == [order_of(both, lambda: 0.1, key, is_sticky=True)[0] for key in keys]
    assert 16 < sent.count("a") < 48


def test_a_tier_goes_before_weights() -> None:
    places = [("a", None, 1), ("b", 5, 2), ("c", None, 2), ("d", 5, 3)]
    assert order_of([rule_target(*place) for place in places], lambda: 0.5) == ["a", "b", "c", "d"]


def test_a_draw_of_zero_is_no_logarithm_of_zero() -> None:
    """`random()` may give it."""
    draws = iter([0.0, 0.5])
    weighted = [rule_target(name, 5) for name in ("a", "b")]
    assert order_of(weighted, lambda: next(draws)) == ["b", "a"]
