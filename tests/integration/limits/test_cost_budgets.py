"""A key with a budget in US dollars: what is reserved, what is charged, and models without a price."""

from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from engine.accounts.key_limits import KeyLimits
from engine.config.load import load
from engine.gateway.errors import GatewayError
from engine.gateway.inbound.form_body import FormBody
from engine.gateway.inbound.payload import FormRequestBody, RequestBody, json_request_body
from engine.gateway.inbound.text_size import MAX_ENCODED
from engine.gateway.record import RecordBuilder, RequestUsage, Timestamps
from engine.gateway.response.cost import record_cost
from engine.gateway.response.usage import estimated_input
from engine.gateway.routing.match import find_target
from engine.limits.core import Refused
from engine.limits.specs import numbers_of
from engine.limits.windows import Windows
from engine.plan.limits import Budget, CallerLimits, Period, Rate
from engine.plan.plan import Account, Caller, Endpoint, Plan
from engine.server.hooks.limit_permits import OUTPUT_TOKENS, LimitPermit, used_tokens
from engine.server.hooks.limits import LimitHooks
from tests.unit.config.folders import NOW, write
from tests.unit.gateway.inbound.forms import (
    BOUNDARY,
    WATCHED,
    body_reader_of,
    cut,
    file,
    form,
    part,
)
from tests.unit.gateway.inbound.forms import run as run_form

ROUTES = """version: 1
endpoints:
  chat_completions:
    path: /v1/chat/completions
    usage: {at: [/usage], input_tokens: [prompt_tokens], output_tokens: [completion_tokens],
      output_limit: {times: [/n], default: 1000}, bytes_each: {characters: 1, seconds: 2000},
      service_tier: {at: [/service_tier], standard: [default, auto]}}
  embeddings: {path: /v1/embeddings, usage: free}
models:
  - {prefix: gpt-, provider: openai}
  - {model: alias, provider: openai, as: gpt-cheap}
  - {model: both, targets: [{provider: openai, as: gpt-cheap}, {provider: openai, as: gpt-dear}]}
  - {model: half, targets: [{provider: openai, as: gpt-cheap}, {provider: openai, as: gpt-unknown}]}
"""
PRICES = """version: 1
source: a list
date: 2026-11-20
models:
  gpt-cheap: {input_usd_per_million: 1, output_usd_per_million: 1}
  gpt-dear: {input_usd_per_million: 10, output_usd_per_million: 100}
  gpt-input: {input_usd_per_million: 100}
  gpt-output: {output_usd_per_million: 1000}
  gpt-cached: {cached_input_usd_per_million: 1, output_usd_per_million: 1000}
  gpt-pages: {usd_per_page: 0.25}
  gpt-voice: {usd_per_million_characters: 15}
  gpt-ears: {usd_per_second: 0.0001}
  gpt-long: {input_usd_per_million: 1, output_usd_per_million: 1, above_input_tokens: {200k: {input_usd_per_million: 3}}}
service_tiers:
  flex: {models: {gpt-cheap: {input_usd_per_million: 0.5, output_usd_per_million: 0.5}}}
  priority: {providers: {openai: {gpt-cheap: {input_usd_per_million: 3, output_usd_per_million: 3}}}}
"""
NANO = 10**9
BODY = b'{"model": "m", "messages": []}'


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    loaded = load(write(tmp_path, routes=ROUTES, prices=PRICES), {"OPENAI_API_KEY": "x"}, NOW)
    assert loaded.plan is not None, loaded.diagnostics
    return loaded.plan


class Desk:
    """Admits and settles requests of one caller."""

    def __init__(self, plan: Plan | None, dollars: int, unpriced: int | None = None) -> None:
        self.plan = plan
        self.hooks = LimitHooks(None)
        if plan is not None:
            self.hooks.set_plan(plan)
        budget = Budget(dollars * NANO, Period.MONTH, is_usd=True, unpriced=unpriced)
        limits = CallerLimits(budgets=(budget,))
        self.caller = Caller("app", None, None, (), None, limits=limits)

    @property
    def endpoint(self) -> Endpoint:
        endpoint = self.plan.endpoint("chat_completions") if self.plan else None
        assert endpoint is not None
        return endpoint

    def admit(self, model: str, raw: bytes = BODY) -> LimitPermit:
        return self.admit_body(model, json_request_body(raw, self.endpoint), len(raw))

    def admit_body(self, model: str, body: RequestBody, size: int | None) -> LimitPermit:
        permit = self.hooks.admit(self.caller, self.endpoint, model, body, size)
        assert isinstance(permit, LimitPermit)
        return permit

    def settle(self, permit: LimitPermit, model: str, counts: dict[str, int], **fields: Any) -> int:
        """The cost in billionths of a dollar that was charged."""
        before = self.left()
        self.charge(permit, model, counts, **fields)
        return before + permit.grant.held[2] - self.left()

    def charge(
        self,
        permit: LimitPermit,
        model: str,
        counts: dict[str, int],
        tier: str | None = None,
        **fields: Any,
    ) -> None:
        assert self.plan is not None
        assert self.plan.prices is not None
        record = RecordBuilder(request_id="req_1", **fields)
        record.provider, record.sent_model = "openai", model
        record.state.price = self.plan.prices.find("openai", model)
        record.state.metered = RequestUsage(counts, tier=tier)
        record_cost(record, self.plan.prices)
        permit.settle(record.freeze(Timestamps()))

    def left(self) -> int:
        limits = self.caller.limits
        assert limits is not None
        made: Any = self.hooks._store.reserve([("app", limits)], (0, 0, 1 << 40))
        if isinstance(made, Refused):
            return 0
        self.hooks._store.settle(made, (0, 0, 0))
        held: int = made.held[2]
        return held


SENT: dict[str, Any] = {"attempts": 1, "status": 200, "outcome": "ok"}


def test_the_dearest_target_is_reserved_and_what_it_has_cost_is_charged(plan: Plan) -> None:
    desk = Desk(plan, 100)
    tokens = len(BODY) // 4 + 1
    cheap, dear = desk.admit("gpt-cheap"), desk.admit("both")
    output = cheap.estimate[1]
    assert cheap.grant.held[2] == (tokens + output) * 1000
    assert dear.grant.held[2] == tokens * 10_000 + output * 100_000
    counts = {"input_tokens": 1_000_000, "output_tokens": 0}
    assert desk.settle(cheap, "gpt-cheap", counts, **SENT) == 1 * NANO
    assert desk.settle(dear, "gpt-dear", counts, **SENT) == 10 * NANO
    assert desk.admit("gpt-pages").grant.held[2] == NANO // 4


def test_each_of_several_images_or_pages_is_reserved_and_charged_where_none_are_counted(
    plan: Plan,
) -> None:
    desk = Desk(plan, 100)
    permit = desk.admit("gpt-pages", b'{"n": 10}')
    assert permit.grant.held[1:] == (10_000, 10 * NANO // 4)
    assert desk.settle(permit, "gpt-pages", {}, **SENT) == 10 * NANO // 4


@pytest.mark.parametrize("is_first", [True, False])
def test_all_images_that_a_form_asks_for_are_charged_also_where_their_number_comes_after_a_file(
    plan: Plan, is_first: bool
) -> None:
    """At most one more than was left is admitted then, as of any response that costs more than was reserved."""
    desk, image = Desk(plan, 100), file(b"x" * 100, "image")
    chunks = [form(part("model", b"gpt-pages"), part("n", b"10"), image)]
    if not is_first:
        chunks = cut(form(part("model", b"gpt-pages"), image, part("n", b"10")), [200])
    reader = body_reader_of(chunks)
    body = FormRequestBody(FormBody(reader, BOUNDARY.encode(), WATCHED, counted=frozenset("n")), reader)  # fmt: skip

    async def sent() -> None:
        content = body.upload({}, frozenset(), ()).body
        assert isinstance(content, bytes) or [chunk async for chunk in content]

    run_form(body._form.read_head())
    permit = desk.admit_body("gpt-pages", body, None)
    assert permit.grant.held[2] == (10 if is_first else 1) * NANO // 4
    run_form(sent())
    assert desk.settle(permit, "gpt-pages", {}, **SENT) == 10 * NANO // 4
    body.close()


@pytest.mark.parametrize(
    ("model", "size", "cost"),
    [
        ("gpt-voice", 4096, 4096 * 15_000),
        ("gpt-ears", 6_000_001, 3001 * NANO // 10_000),
        ("gpt-ears", None, ceil(MAX_ENCODED / 2000) * NANO // 10_000),
    ],
)
def test_units_of_a_response_that_counts_none_are_reserved_and_charged_by_the_size_of_the_request(
    plan: Plan, model: str, size: int | None, cost: int
) -> None:
    """Speech is audio, and a transcript may be text alone."""
    desk = Desk(plan, 100)
    permit = desk.admit_body(model, json_request_body(BODY, desk.endpoint), size)
    assert permit.grant.held[2] == cost
    assert desk.settle(permit, model, {}, **SENT) == cost
    permit = desk.admit_body(model, json_request_body(BODY, desk.endpoint), size)
    each = 15_000 if model == "gpt-voice" else NANO // 10_000
    assert desk.settle(permit, model, {"seconds": 7, "characters": 7}, **SENT) == 7 * each


def test_new_requests_are_reserved_by_the_prices_of_the_new_plan(
    plan: Plan, tmp_path: Path
) -> None:
    desk = Desk(plan, 100)
    before = desk.admit("gpt-cheap").grant.held[2]
    dearer = PRICES.replace("_per_million: 1,", "_per_million: 7,").replace(
        "million: 1}", "million: 7}"
    )
    loaded = load(write(tmp_path, routes=ROUTES, prices=dearer), {"OPENAI_API_KEY": "x"}, NOW)
    assert loaded.plan is not None, loaded.diagnostics
    desk.hooks.set_plan(loaded.plan)
    assert desk.admit("gpt-cheap").grant.held[2] == 7 * before


@pytest.mark.parametrize(
    ("fields", "is_charged"),
    [
        ({"error": "invalid_json"}, False),
        ({**SENT, "status": 400}, False),
        ({**SENT, "error": "upstream_connect_failed"}, False),
        ({**SENT, "error": "upstream_timeout"}, True),
        ({"attempts": 1, "outcome": "client_cancelled"}, True),
    ],
)
def test_what_may_have_been_processed_is_charged_as_it_was_reserved(
    plan: Plan, fields: dict[str, Any], is_charged: bool
) -> None:
    desk = Desk(plan, 100)
    permit = desk.admit("gpt-dear")
    cost = desk.settle(permit, "gpt-dear", {}, **fields)
    assert cost == (permit.grant.held[2] if is_charged else 0)


@pytest.mark.parametrize(
    ("model", "is_input"), [("gpt-input", True), ("gpt-output", False), ("gpt-cached", False)]
)
def test_a_price_of_one_side_is_refused_or_charged_at_least_the_known_part(
    plan: Plan, model: str, is_input: bool
) -> None:
    with pytest.raises(GatewayError) as refused:
        Desk(plan, 100).admit(model)
    assert refused.value.code == "not_allowed"
    permit = Desk(plan, 100, unpriced=1).admit(model)
    tokens = permit.estimate[0] * 100_000 if is_input else permit.estimate[1] * 1_000_000
    assert permit.grant.held[2] == tokens
    dear = Desk(plan, 100, unpriced=NANO * 50).admit(model)
    assert dear.grant.held[2] == NANO * 50


def test_a_part_that_is_not_reported_counts_as_it_was_reserved(plan: Plan) -> None:
    desk = Desk(plan, 100)
    permit = desk.admit("gpt-dear")
    cost = desk.settle(permit, "gpt-dear", {"output_tokens": 1}, **SENT)
    assert cost == permit.grant.held[2]
    for counts, used in (({"output_tokens": 3}, (65_537, 3)), ({"input_tokens": 7}, (7, 100))):
        record = RecordBuilder(request_id="req_1", **SENT, bytes_in=900_000, bytes_out=400)
        record.state.metered = RequestUsage(counts)
        assert used_tokens(record.freeze(Timestamps()), (65_537, 4096)) == used


@pytest.mark.parametrize("model", ["gpt-unknown", "half", "nobody"])
def test_a_model_without_a_price_is_refused_or_charged_what_is_declared(
    plan: Plan, model: str
) -> None:
    with pytest.raises(GatewayError) as refused:
        Desk(plan, 100).admit(model)
    assert (refused.value.code, refused.value.param) == ("not_allowed", "model")
    desk = Desk(plan, 100, unpriced=NANO)
    permit = desk.admit(model)
    assert permit.grant.held[2] == NANO
    assert (
        desk.settle(permit, "gpt-unknown", {"input_tokens": 1, "output_tokens": 1}, **SENT) == NANO
    )


def tiered(tier: str) -> bytes:
    return b'{"model": "m", "messages": [], "service_tier": %b}' % tier.encode()


@pytest.mark.parametrize(
    ("tier", "times"),
    [("null", 1), ('"auto"', 1), ('"default"', 1), ('"flex"', 3), ('"new"', 3), ("7", 3)],
)
def test_the_dearest_tier_is_reserved_where_a_request_asks_for_another_than_the_ordinary_one(
    plan: Plan, tier: str, times: int
) -> None:
    permit = Desk(plan, 100).admit("gpt-cheap", tiered(tier))
    assert permit.grant.held[2] == sum(permit.estimate[:2]) * 1000 * times


def test_a_tier_without_prices_is_refused_or_charged_what_is_declared(plan: Plan) -> None:
    desk = Desk(plan, 100)
    with pytest.raises(GatewayError) as refused:
        desk.admit("gpt-dear", tiered('"flex"'))
    assert (refused.value.code, "in this service tier" in str(refused.value)) == (
        "not_allowed",
        True,
    )
    assert desk.admit("gpt-dear", tiered('"auto"')).grant.held[2] > 0
    assert Desk(plan, 100, unpriced=NANO * 50).admit("gpt-dear", tiered('"flex"')).grant.held[2] == 50 * NANO  # fmt: skip


@pytest.mark.parametrize(
    ("tier", "usd"), [(None, 1000), ("flex", 500), ("priority", 3000), ("scale", None)]
)
def test_what_a_response_says_of_its_tier_is_charged(
    plan: Plan, tier: str | None, usd: int | None
) -> None:
    """One that has no price costs what was reserved."""
    desk = Desk(plan, 100)
    permit = desk.admit("gpt-cheap")
    counts = {"input_tokens": 1, "output_tokens": 0}
    cost = desk.settle(permit, "gpt-cheap", counts, tier=tier, **SENT)
    assert cost == (permit.grant.held[2] if usd is None else usd)


def test_a_bug_in_what_was_used_charges_what_was_reserved_and_holds_nothing(plan: Plan) -> None:
    desk = Desk(plan, 100)
    before, permit = desk.left(), desk.admit("gpt-cheap")
    record = RecordBuilder(request_id="req_1", **SENT)
    record.bytes_out = None  # type: ignore[assignment] # what no record has
    with pytest.raises(TypeError):
        permit.settle(record.freeze(Timestamps()))
    assert before - desk.left() == permit.estimate[2] > 0
    assert desk.admit("gpt-cheap").grant.held == permit.grant.held


def test_a_long_context_is_charged_at_its_own_price(plan: Plan) -> None:
    desk = Desk(plan, 100)
    for tokens, usd in ((200_000, 1000), (200_001, 3000)):
        counts = {"input_tokens": tokens, "output_tokens": 10}
        cost = desk.settle(desk.admit("gpt-long"), "gpt-long", counts, **SENT)
        assert cost == tokens * usd + 10_000


def test_in_a_tier_without_a_price_more_tokens_than_were_reserved_cost_more(plan: Plan) -> None:
    """No less than in the ordinary tier, at the dearest target."""
    desk = Desk(plan, 100)
    counts = {"input_tokens": 3, "output_tokens": 10_000}
    cost = desk.settle(desk.admit("gpt-dear"), "gpt-dear", counts, tier="scale", **SENT)
    assert 3 * 10_000 + 10_000 * 100_000 <= cost <= 1.01 * 10_000 * 100_000


def test_a_budget_of_an_account_counts_besides_that_of_its_key(plan: Plan) -> None:
    desk = Desk(plan, 100)
    limits = KeyLimits(monthly_nano_usd_budget=5 * NANO).caller_limits()
    desk.caller = replace(desk.caller, account=Account("a", {}, limits))
    counts = {"input_tokens": 200_000, "output_tokens": 0}
    assert desk.settle(desk.admit("gpt-dear"), "gpt-dear", counts, **SENT) == 2 * NANO
    of_another_key = replace(desk.caller, name="other", limits=None)
    desk.caller, key = of_another_key, desk.caller
    desk.charge(desk.admit("gpt-dear"), "gpt-dear", {**counts, "input_tokens": 300_000}, **SENT)
    for caller in (desk.caller, key):
        desk.caller = caller
        with pytest.raises(
            GatewayError, match="account `a` allows 5 US dollars a month, which are spent"
        ):
            desk.admit("gpt-cheap")
    with pytest.raises(GatewayError, match="price of this model is not known"):
        desk.admit("gpt-unknown")


def test_tokens_are_held_of_an_account_whose_key_has_no_limits(plan: Plan) -> None:
    desk = Desk(plan, 100)
    account = Account("a", {}, CallerLimits(budgets=(Budget(5000, Period.DAY),)))
    desk.caller = replace(desk.caller, limits=None, account=account)
    assert desk.admit("gpt-cheap").grant.held == (estimated_input(len(BODY)), OUTPUT_TOKENS)


def test_a_limit_of_a_model_holds_under_the_names_of_the_plan_that_is_followed(plan: Plan) -> None:
    desk = Desk(plan, 100)
    models = (("gpt-cheap", CallerLimits(requests=Rate(1, 3600))),)
    desk.caller = replace(desk.caller, limits=CallerLimits(models=models))
    desk.admit("gpt-cheap")
    with pytest.raises(GatewayError, match="key `app` allows 1 request an hour for `gpt-cheap`"):
        desk.admit("alias")


def test_a_free_endpoint_needs_no_price_and_no_budget(plan: Plan) -> None:
    limits = CallerLimits(Rate(3, 60), budgets=(Budget(1, Period.DAY), Budget(1, Period.DAY, is_usd=True)))  # fmt: skip
    caller = Caller("app", None, None, (), None, limits=limits)
    hooks, endpoint = LimitHooks(None), plan.endpoint("embeddings")
    hooks.set_plan(plan)
    assert endpoint is not None
    body = json_request_body(BODY, endpoint)
    for _ in range(2):
        permit = hooks.admit(caller, endpoint, "gpt-unknown", body, 400_000)
        assert isinstance(permit, LimitPermit)
        permit.settle(
            RecordBuilder(request_id="req_1", **SENT, bytes_out=9000).freeze(Timestamps())
        )
    priced = plan.endpoint("chat_completions")
    assert priced is not None
    assert hooks.admit(caller, priced, "gpt-cheap", body, 40) is not None  # neither budget was used
    with pytest.raises(GatewayError, match="key `app` allows 3 requests a minute"):
        hooks.admit(caller, endpoint, "gpt-unknown", body, 40)
    spent = replace(caller, name="other", limits=CallerLimits(budgets=limits.budgets))
    assert hooks.admit(spent, endpoint, "gpt-unknown", body, 40) is None
    free = limits.for_free
    assert free is not None  # its requests let no budget of the scope expire in a store
    kept = [numbers_of(of, Windows(), 0)[:8] for of in (limits, free)]  # the first number
    assert kept[0] == kept[1] != bytes(8)
    target = find_target(plan, endpoint, "gpt-unknown")
    assert target.price is not None
    assert target.price.cost({}) == 0
    assert find_target(plan, priced, "gpt-unknown").price is None


def test_a_spent_budget_says_so_in_dollars(plan: Plan) -> None:
    desk = Desk(plan, 100)
    counts = {"input_tokens": 10_000_000, "output_tokens": 0}
    desk.settle(desk.admit("gpt-dear"), "gpt-dear", counts, **SENT)
    with pytest.raises(GatewayError) as refused:
        desk.admit("gpt-cheap")
    assert refused.value.code == "budget_exceeded"
    assert "allows 100 US dollars a month, which are spent" in refused.value.message


@pytest.mark.parametrize(
    ("limits", "kinds"),
    [
        (CallerLimits(tokens=Rate(100, 60)), 2),
        (CallerLimits(budgets=(Budget(NANO, Period.DAY, is_usd=True),)), 3),
        (CallerLimits(requests=Rate(100, 60), concurrent=9), 2),
    ],
)
def test_limits_of_a_model_alone_count_what_they_limit(
    plan: Plan, limits: CallerLimits, kinds: int
) -> None:
    """Tokens are held for those that count them, and costs for those in US dollars."""
    desk = Desk(plan, 1)
    models = (("gpt-cheap", limits),)
    desk.caller = Caller("app", None, None, (), None, limits=CallerLimits(models=models))
    held = desk.admit("gpt-cheap").grant.held
    assert len(held) == kinds
    assert (held[0] > 0) == limits.counts_tokens


def test_a_charge_for_unknown_prices_is_needed_of_each_budget(plan: Plan) -> None:
    charging = Budget(NANO, Period.DAY, is_usd=True, unpriced=7)
    for other, is_admitted in ((Budget(NANO, Period.MONTH, is_usd=True), False), (replace(charging, per=Period.MONTH), True)):  # fmt: skip
        desk = Desk(plan, 1)
        limits = CallerLimits(budgets=(charging, other))
        desk.caller = Caller("app", None, None, (), None, limits=limits)
        if is_admitted:
            assert desk.admit("gpt-unknown").grant.held[2] == 7
        else:
            with pytest.raises(GatewayError, match="price of this model is not known"):
                desk.admit("gpt-unknown")
