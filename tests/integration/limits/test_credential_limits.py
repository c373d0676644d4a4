"""Limits of the operator's credentials: the next one in turn is used, then the next target, then the request is refused."""

import asyncio
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.config.load import load
from engine.gateway.cancellation import Deadline
from engine.gateway.errors import GatewayError
from engine.gateway.hooks import NO_HOOKS
from engine.gateway.inbound.payload import json_request_body
from engine.gateway.outbound.credential_permits import CredentialPermits
from engine.gateway.outbound.exchange import Exchange
from engine.gateway.routing.match import find_target
from engine.plan.plan import Plan, Provider
from tests.integration.limits.stand import FREE, Answer, Stand, run
from tests.recorder import Arrival, Recorder, Reply, as_json, recording
from tests.unit.config.folders import NOW

ROUTES = """
version: 1
endpoints:
  talk:
    path: /talk
    usage: {at: [/usage], input_tokens: [prompt_tokens], output_tokens: [completion_tokens], unmetered: [/background]}
  count: {path: /count, usage: free}
models:
  - {prefix: one-, provider: first}
  - {model: both, targets: [{provider: first, as: one-1}, {provider: second, as: one-1}]}
"""
PROVIDERS = """
version: 1
providers:
  first:
    base_url: "http://127.0.0.1:PORT"
    credentials: {api_key: {env: KEY_1}}
    headers: {authorization: "Bearer {{ credentials.api_key }}"}
    caller_credentials: {headers: {x-own-key: api_key}}
    endpoints: {talk: /talk, count: /count}
    LIMITS
  second:
    base_url: "http://127.0.0.1:PORT"
    credentials: {api_key: {env: KEY_9}}
    headers: {authorization: "Bearer {{ credentials.api_key }}"}
    endpoints: {talk: /talk}
"""
ENVIRONMENT = {"KEY_1": "k1", "KEY_2": "k2", "KEY_9": "k9"}
USAGE = {"usage": {"prompt_tokens": 40, "completion_tokens": 2}}
TWO = "credential_limits: {requests: 2/h}\n    accounts: [{credentials: {api_key: {env: KEY_2}}}]"


def plan_of(folder: Path, port: int, limits: str) -> Plan:
    (folder / "routes.yaml").write_text(ROUTES)
    text = PROVIDERS.replace("PORT", str(port)).replace("LIMITS", limits)
    (folder / "providers.yaml").write_text(text)
    loaded = load(folder, ENVIRONMENT, NOW)
    assert loaded.plan is not None, loaded.diagnostics
    return loaded.plan


def used(upstream: Recorder) -> str:
    """The keys with which requests have arrived since the last call, by their last digits."""
    arrivals, upstream.arrivals = upstream.arrivals, []
    return "".join(sorted(arrival.value("authorization")[-1] for arrival in arrivals))


async def ask(stand: Stand, *, model: str = "one-1", path: str = "/talk", **headers: Any) -> Answer:
    return await stand.ask(path, {"model": model}, FREE, **headers)


def test_each_credential_has_its_limit_and_the_next_in_turn_takes_what_is_too_much(
    tmp_path: Path,
) -> None:
    with recording(as_json(USAGE)) as upstream:

        async def scenario(stand: Stand) -> None:
            answers = [await ask(stand) for _ in range(5)]
            assert [answer.status for answer in answers] == [200] * 4 + [429]
            assert used(upstream) == "1122"
            refused = answers[-1]
            error = json.loads(refused.body)["error"]
            assert error["code"] == "rate_limited"
            assert "provider `first` allows 2 requests an hour;" in error["message"]
            assert int(refused.headers["retry-after"]) == 1800
            assert "x-ratelimit-limit-requests" not in refused.headers
            records = stand.limits.records
            assert (records[-1].outcome, records[-1].attempts) == ("credential_limited", 0)
            assert (await ask(stand, model="both")).status == 200, "the next target"
            assert used(upstream) == "9"
            assert stand.limits.records[-1].tried == ("first credential_limited",)
            assert (await ask(stand, x_own_key="own-3")).status == 200, "the caller's own"
            assert used(upstream) == "3"

        run(plan_of(tmp_path, upstream.port, TWO), tmp_path, scenario)


@pytest.mark.parametrize(
    ("limits", "admitted"),
    [
        ("credential_limits: {tokens: 100/h}", 3),  # of 42 each, admitted while one is left
        ("credential_limits: {budgets: [{tokens: 84, per: month}]}", 2),
        ("credential_limits: {budgets: [{usd: 0.000084, per: month, unpriced: {usd: 0.000042}}]}", 2),
        ("credential_limits: {requests: 3/h}\n    accounts: [{credentials: {api_key: {env: KEY_1}}}]", 3),
    ],
    ids=["tokens", "budget", "usd", "the same key twice"],
)  # fmt: skip
def test_tokens_and_money_count_for_each_credential_and_free_requests_do_not(
    tmp_path: Path, limits: str, admitted: int
) -> None:
    with recording(as_json(USAGE)) as upstream:

        async def scenario(stand: Stand) -> None:
            statuses = [(await ask(stand)).status for _ in range(admitted + 1)]
            assert statuses == [200] * admitted + [429]
            is_rate = "requests" in limits
            assert (await ask(stand, path="/count")).status == (429 if is_rate else 200)

        run(plan_of(tmp_path, upstream.port, limits), tmp_path, scenario)


def test_a_request_is_settled_with_its_caller_and_with_its_credential(tmp_path: Path) -> None:
    with recording(as_json(USAGE)) as upstream:

        async def scenario(stand: Stand) -> None:
            costs = [(await stand.cost("/talk", {"model": "one-1"}))[1] for _ in range(2)]
            assert costs == [42, 42]
            statuses = [(await ask(stand)).status for _ in range(2)]
            assert statuses == [200, 429], "of 100 tokens it has room for a third one"

        plan = plan_of(tmp_path, upstream.port, "credential_limits: {tokens: 100/h}")
        run(plan, tmp_path, scenario)


@pytest.mark.parametrize(("limit", "status"), [("tokens: 10k/h", 403), ("concurrent: 9", 200)])
def test_where_tokens_of_a_credential_count_work_may_not_go_on_after_the_response(
    tmp_path: Path, limit: str, status: int
) -> None:
    with recording(as_json(USAGE)) as upstream:

        async def scenario(stand: Stand) -> None:
            body = {"model": "one-1", "background": True}
            answer = await stand.ask("/talk", body, FREE)
            assert (answer.status, len(used(upstream))) == (status, int(status == 200))
            assert status == 200 or "`background` may not be set" in answer.body.decode()
            assert (await ask(stand)).status == 200

        run(plan_of(tmp_path, upstream.port, f"credential_limits: {{{limit}}}"), tmp_path, scenario)


def test_the_tokens_that_a_request_may_use_are_held_of_its_credential(tmp_path: Path) -> None:
    go_on = threading.Event()

    def answer(_arrival: Arrival) -> Reply:
        go_on.wait(20)
        return as_json(USAGE)

    with recording() as upstream:
        upstream.answer = answer

        async def scenario(stand: Stand) -> None:
            first = asyncio.ensure_future(ask(stand))
            while not upstream.arrivals:  # noqa: ASYNC110 no event
                await asyncio.sleep(0.001)
            async with asyncio.timeout(20):
                refused = await ask(stand)
            go_on.set()
            statuses = refused.status, (await first).status, (await ask(stand)).status
            assert statuses == (429, 200, 200), "its 1,000 tokens of output are held"

        plan = plan_of(tmp_path, upstream.port, "credential_limits: {tokens: 500/h}")
        run(plan, tmp_path, scenario)


def test_a_response_whose_tokens_count_for_a_credential_is_not_compressed(tmp_path: Path) -> None:
    with recording(as_json(USAGE)) as upstream:

        async def scenario(stand: Stand) -> None:
            assert (await ask(stand, accept_encoding="br")).status == 200
            assert upstream.take().value("accept-encoding") == "identity"

        limits = "credential_limits: {tokens: 100/h}"
        run(plan_of(tmp_path, upstream.port, limits), tmp_path, scenario)


def test_a_credential_with_a_budget_and_no_price_is_passed_over(tmp_path: Path) -> None:
    usd = "credential_limits: {budgets: [{usd: 1, per: day}]}"
    second = "\n    accounts: [{credentials: {api_key: {env: KEY_2}}, credential_limits: %s}]"
    prices = "version: 1\nsource: a list\ndate: 2026-11-20\nmodels: {other: {usd_per_request: 1}}\n"
    (tmp_path / "prices.yaml").write_text(prices)
    with recording(as_json(USAGE)) as upstream:

        async def other(stand: Stand) -> None:
            assert [(await ask(stand)).status for _ in range(4)] == [200, 200, 429, 429]
            assert used(upstream) == "22"

        async def none(stand: Stand) -> None:
            assert (await ask(stand)).status == 403
            assert (await ask(stand, model="both")).status == 200, "the next target"

        plan = plan_of(tmp_path, upstream.port, usd + second % "{requests: 2/h}")
        run(plan, tmp_path, other)
        run(plan_of(tmp_path, upstream.port, usd), tmp_path, none)


@pytest.mark.parametrize("rates", [("1/h", "1/m"), ("1/m", "1/h")])
def test_a_refusal_says_when_the_first_of_the_credentials_is_free(
    tmp_path: Path, rates: tuple[str, str]
) -> None:
    limits = "credential_limits: {requests: %s}\n    accounts: [{credentials: {api_key: {env: KEY_2}}, credential_limits: {requests: %s}}]"
    with recording(as_json(USAGE)) as upstream:

        async def scenario(stand: Stand) -> None:
            answers = [await ask(stand) for _ in range(4)]
            assert [each.status for each in answers] == [200, 200, 429, 429]
            assert all(int(each.headers["retry-after"]) <= 60 for each in answers[2:])

        run(plan_of(tmp_path, upstream.port, limits % rates), tmp_path, scenario)


def test_an_attempt_that_another_follows_gives_its_credential_back(tmp_path: Path) -> None:
    limits = "credential_limits: {concurrent: 1, budgets: [{tokens: 42, per: month}]}\n    retry: {attempts: 3}"
    with recording() as upstream:

        def answer(_: Arrival) -> Reply:
            if len(upstream.arrivals) < 3:
                return Reply(b"{}", (503, "Busy"), (("retry-after", "0"),))
            return as_json(USAGE)

        upstream.answer = answer

        async def scenario(stand: Stand) -> None:
            assert (await ask(stand)).status == 200
            assert len(upstream.arrivals) == 3
            refused = await ask(stand)
            assert refused.status == 429
            assert json.loads(refused.body)["error"]["code"] == "budget_exceeded"

        run(plan_of(tmp_path, upstream.port, limits), tmp_path, scenario)


def test_requests_that_are_cancelled_hold_no_credential(tmp_path: Path) -> None:
    with recording(as_json(USAGE)) as upstream:

        async def scenario(stand: Stand) -> None:
            for number in range(30):
                asking = asyncio.ensure_future(ask(stand))
                for _ in range(number):
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.wait([asking])
            assert (await ask(stand)).status == 200

        run(
            plan_of(tmp_path, upstream.port, "credential_limits: {concurrent: 1}"),
            tmp_path,
            scenario,
        )


def test_a_bug_of_the_limits_lets_nothing_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise LookupError

    with recording(as_json(USAGE)) as upstream:

        async def scenario(stand: Stand) -> None:
            monkeypatch.setattr(stand.limits, "admit_credentials", fail)
            assert (await ask(stand, model="both")).status == 500
            assert used(upstream) == ""

        run(plan_of(tmp_path, upstream.port, TWO), tmp_path, scenario)


@pytest.mark.parametrize("code", ["rate_limited", "budget_exceeded", "not_allowed", "overloaded"])
def test_what_sending_raises_is_no_refusal_of_the_credential(tmp_path: Path, code: str) -> None:
    """Or the request would be sent again, with the next one."""
    plan, sent = plan_of(tmp_path, 1, TWO), list[Provider]()
    endpoint = plan.endpoint("talk")
    assert endpoint is not None
    body = json_request_body(b'{"model": "one-1"}', endpoint)
    target = find_target(plan, endpoint, "one-1")

    async def send(provider: Provider) -> Exchange:
        sent.append(provider)
        raise GatewayError(code, "from below")

    async def main() -> None:
        runtime: Any = SimpleNamespace(
            hooks=NO_HOOKS, variants=SimpleNamespace(others=lambda *_: [target.provider])
        )
        head: Any = SimpleNamespace(endpoint=endpoint)
        permits = CredentialPermits(runtime, Deadline(asyncio.current_task()), None)
        with pytest.raises(GatewayError, match="from below"):
            await permits.send(target.provider, target, head, body, send)

    asyncio.run(main())
    assert len(sent) == 1
