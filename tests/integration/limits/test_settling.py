"""What a request takes from its caller's budget is what the provider counted, whatever happens to it."""

import asyncio
import json
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from engine.gateway.inbound.form_body import FormBody
from engine.gateway.inbound.payload import FormRequestBody
from engine.gateway.inbound.text_size import MAX_ENCODED
from engine.gateway.response import usage as reading
from engine.gateway.response.usage import estimated_input
from engine.plan.plan import Caller, Plan
from engine.server.hooks.limits import estimate_of
from tests.integration.limits.stand import (
    BUDGET,
    FREE,
    LIMITED,
    MANY,
    MONEY,
    RATED,
    SIDES,
    SPENT,
    Answer,
    Stand,
    run,
    written,
)
from tests.recorder import Arrival, Reply, as_json, recording
from tests.servers import Server, free_port, received
from tests.unit.gateway.inbound.forms import WATCHED, body_reader_of

SAID = [{"role": "user", "content": "Say something of several words, please."}]
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
CALLS: dict[str, dict[str, Any]] = {
    CHAT: {"model": "openai/m", "messages": SAID},
    "/v1/completions": {"model": "openai/m", "prompt": "one two three"},
    RESPONSES: {"model": "openai/m", "input": "one two three"},
    "/v1/embeddings": {"model": "openai/m", "input": "one two three"},
    MESSAGES: {"model": "anthropic/m", "max_tokens": 50, "messages": SAID},
    "/v2/chat": {"model": "cohere/m", "messages": SAID},
}
STREAMS = [path for path in CALLS if path != "/v1/embeddings"]
ASKED = {"stream_options": {"include_usage": True}}


def total(usage: dict[str, Any]) -> int:
    """What a provider's usage says in all, by the documentation of its API."""
    usage = usage.get("billed_units", usage)
    cache = ("cache_creation_input_tokens", "cache_read_input_tokens")
    names = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", *cache)
    return sum(usage.get(name) or 0 for name in names)


def usages(answer: Answer) -> list[dict[str, Any]]:
    """All usage in an answer, in its order."""
    documents = answer.events or [json.loads(answer.body)]
    holders = [
        data if holder is None else data.get(holder)
        for data in documents
        for holder in (None, "response", "message", "delta")
    ]
    return [each["usage"] for each in holders if isinstance(each, dict) and each.get("usage")]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_whole_json_response_takes_exactly_what_the_provider_counted(
    plan: Plan, tmp_path: Path, encoding: str
) -> None:
    async def scenario(stand: Stand) -> None:
        for path, body in CALLS.items():
            model = body["model"] + ("-mock-gzip" if encoding == "gzip" else "")
            answer, taken = await stand.cost(path, body | {"model": model})
            assert answer.status == 200, answer
            (usage,) = (
                usages(answer) if encoding == "identity" else usages(await stand.ask(path, body))
            )
            assert taken == total(usage) > 0, path

    run(plan, tmp_path, scenario)


def test_a_whole_stream_takes_exactly_what_the_provider_counted(plan: Plan, tmp_path: Path) -> None:
    async def scenario(stand: Stand) -> None:
        for path in STREAMS:
            body = CALLS[path] | {"stream": True} | ASKED
            answer, taken = await stand.cost(path, body)
            assert answer.status == 200, answer
            last: dict[str, Any] = {}
            for usage in usages(answer):
                last |= usage
            assert taken == total(last) > 0, path

    run(plan, tmp_path, scenario)


@pytest.mark.parametrize("accepted", ["gzip, br", "identity"])
def test_no_response_to_a_caller_whose_usage_counts_is_compressed(
    plan: Plan, tmp_path: Path, mock: Server, accepted: str
) -> None:
    async def scenario(stand: Stand) -> None:
        for who, encoding in ((LIMITED, "identity"), (FREE, accepted)):
            answer = await stand.ask(CHAT, CALLS[CHAT], who, accept_encoding=accepted)
            headers = received(mock, answer.headers["x-mock-id"])["headers"]
            assert dict(headers)["accept-encoding"] == encoding

    run(plan, tmp_path, scenario)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
def test_what_the_provider_refuses_takes_nothing(
    plan: Plan, tmp_path: Path, path: str, stream: bool
) -> None:
    async def scenario(stand: Stand) -> None:
        for status in (400, 429, 500):
            model = f"{CALLS[path]['model']}-mock-status-{status}"
            answer, taken = await stand.cost(path, CALLS[path] | {"model": model, "stream": stream})
            assert (answer.status, taken) == (status, 0)
        answer, taken = await stand.cost(path, CALLS[path] | {"model": "nobody-s"})
        assert (answer.status, taken) == (404, 0)

    run(plan, tmp_path, scenario)


# -- what breaks off -------------------------------------------------------------------------------


def test_a_stream_whose_caller_leaves_takes_what_was_counted(plan: Plan, tmp_path: Path) -> None:
    """Of Anthropic the input that it reported, and an output token for each event; its own is a placeholder."""

    async def scenario(stand: Stand) -> None:
        body = CALLS[MESSAGES] | {"model": "anthropic/mock-events-200-20", "stream": True}
        answer, taken = await stand.cost(MESSAGES, body, leave=lambda a: a.body.count(b"\n\n") > 20)
        (start,) = [data for data in answer.events if data["type"] == "message_start"]
        reported = total(start["message"]["usage"]) - start["message"]["usage"]["output_tokens"]
        (record,) = stand.limits.records
        assert (record.outcome, record.usage) == ("client_cancelled", "partial")
        assert record.input_tokens == reported
        assert record.output_tokens is not None
        assert 20 <= record.output_tokens < 60
        assert taken == reported + record.output_tokens

    run(plan, tmp_path, scenario)


@pytest.mark.parametrize(
    ("fault", "output"),
    [("hang", 0), ("stall", 1), ("cut", 3)],
)
def test_a_stream_that_breaks_off_takes_an_estimate(
    plan: Plan, tmp_path: Path, fault: str, output: int
) -> None:
    """The input by its size, and a token for each event that has passed, or by the time where none has; nothing stays held."""

    async def scenario(stand: Stand) -> None:
        body = CALLS[CHAT] | {"model": f"openai/mock-{fault}", "stream": True}
        waits = {"hang": 0, "stall": 1}.get(fault)
        leave = None if waits is None else lambda a: a.body.count(b"\n\n") >= waits
        answer, taken = await stand.cost(CHAT, body, leave=leave)
        (record,) = stand.limits.records
        assert record.outcome != "ok"
        most = 2 * output + 2 if output else (record.ms_total or 0) / 10 + 1
        assert output <= taken - (record.bytes_in // 4 + 1) <= most, answer
        assert fault != "hang" or taken > record.bytes_in // 4 + 1

    run(plan, tmp_path, scenario)


@pytest.mark.parametrize("reads", [True, False])
def test_a_stream_that_stands_still_before_its_caller_leaves_takes_output_by_that_time(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    """Not one that its caller does not read."""
    monkeypatch.setattr(reading, "QUIET_SECONDS", 0.2)

    async def scenario(stand: Stand) -> None:
        before = stand.limits.left()
        body = CALLS[CHAT] | {"model": "openai/mock-stall", "stream": True}
        asking = asyncio.ensure_future(stand.ask(CHAT, body, reads=reads))
        await asyncio.sleep(1)
        asking.cancel()
        await asyncio.wait([asking])
        (record,) = stand.limits.records
        silent = record.ms_silent if isinstance(record.ms_silent, float) else 0
        assert (silent > 0) == reads
        output = (record.output_tokens or 0) + ceil(silent / 10)
        assert before - stand.limits.left() == (record.input_tokens or 0) + output

    run(plan, tmp_path, scenario)


OK = {"usage": {"prompt_tokens": 40, "completion_tokens": 2}}
ROUTES = """
version: 1
endpoints:
  talk:
    path: /talk
    usage:
      {at: [/usage], events_at: [/usage], input_tokens: [prompt_tokens], output_tokens: [completion_tokens], estimate: true}
models:
  - {prefix: one-, provider: one}
  - {prefix: two-, targets: [{provider: one}, {provider: two}]}
"""
PROVIDERS = """
version: 1
providers:
  one: {base_url: "http://127.0.0.1:PORT", credentials: {}, endpoints: {talk: /one}}
  two: {base_url: "http://127.0.0.1:PORT", credentials: {}, endpoints: {talk: /two}, retry: {attempts: 3}}
"""


def test_a_json_response_whose_caller_leaves_takes_output_by_the_time(
    plan: Plan, tmp_path: Path
) -> None:
    """No more than the request allows, before the head as after it."""

    async def scenario(stand: Stand) -> None:
        for allowed in (2, 5000):
            body = CALLS[CHAT] | {"model": "openai/mock-hang", "max_tokens": allowed}
            _, taken = await stand.cost(CHAT, body, leave=lambda _: True)
            record = stand.limits.records[-1]
            assert record.outcome == "client_cancelled"
            output = taken - (record.bytes_in // 4 + 1)
            waited = (record.ms_total or 0) - (record.ms_engine or 0)
            assert output == 2 if allowed == 2 else abs(output - waited / 10) <= 1

    run(plan, tmp_path, scenario)


def test_after_a_retry_and_a_failover_the_response_that_was_relayed_counts(tmp_path: Path) -> None:
    with recording() as upstream:

        def answer(arrival: Arrival) -> Reply:
            if arrival.target == "/one" or len(upstream.arrivals) < 3:
                return Reply(b"{}", (503, "Busy"), (("retry-after", "0"),))
            return as_json(OK)

        upstream.answer = answer
        plan = written(tmp_path, ROUTES, PROVIDERS.replace("PORT", str(upstream.port)))

        async def scenario(stand: Stand) -> None:
            answer, taken = await stand.cost("/talk", {"model": "two-1"})
            assert (answer.status, taken) == (200, 42)
            assert [a.target for a in upstream.arrivals].count("/two") >= 1
            assert stand.limits.records[0].attempts >= 3
            upstream.answer = lambda _: Reply(b"{}", (503, "Busy"), (("retry-after", "0"),))
            answer, taken = await stand.cost("/talk", {"model": "two-1"})
            assert (answer.status, taken) == (503, 0)

        run(plan, tmp_path, scenario)


@pytest.mark.parametrize("framing", [{}, {"transfer_encoding": "chunked"}])
def test_a_form_of_a_size_that_is_not_declared_counts_as_any_other(
    framing: dict[str, str], tmp_path: Path
) -> None:
    """While it is sent its size is not known: then as much is held as the input of any request counts."""
    routes = ROUTES.replace("estimate: true", "estimate: false").replace(
        "path: /talk", "path: /talk\n    body: form"
    )
    form = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\none-1\r\n--b\r\n'
    form += b'content-disposition: form-data; name="file"; filename="a"\r\n\r\n'
    form += b"x" * 40_000 + b"\r\n--b--\r\n"
    headers = {"content_type": "multipart/form-data; boundary=b"} | framing
    with recording() as upstream:
        plan = written(tmp_path, routes, PROVIDERS.replace("PORT", str(upstream.port)))

        async def scenario(stand: Stand) -> None:
            arrived, taken = await stand.cost("/talk", form, **headers)
            assert arrived.status == 200, arrived
            assert taken == estimated_input(len(form))

        run(plan, tmp_path, scenario)
    endpoint = plan.endpoint("talk")
    assert endpoint is not None
    reader = body_reader_of([form])
    body = FormRequestBody(FormBody(reader, b"b", WATCHED), reader)
    assert estimate_of(endpoint, body, None)[0] == estimated_input(MAX_ENCODED)
    body.close()


def test_what_nobody_has_received_takes_nothing(tmp_path: Path) -> None:
    plan = written(tmp_path, ROUTES, PROVIDERS.replace("PORT", str(free_port())))

    async def scenario(stand: Stand) -> None:
        answer, taken = await stand.cost("/talk", {"model": "one-1"})
        assert (answer.status, taken) == (502, 0)

    run(plan, tmp_path, scenario)


def test_requests_that_are_cancelled_at_any_moment_hold_nothing(plan: Plan, tmp_path: Path) -> None:
    """Each takes at most its estimate, and the last one is admitted by a limit of one at once."""

    async def scenario(stand: Stand) -> None:
        body = CALLS[CHAT] | {"model": "openai/mock-events-9-1", "stream": True}
        for number in range(100):
            asking = asyncio.ensure_future(stand.ask(CHAT, body))
            await asyncio.sleep(number / 5000)
            asking.cancel()
            await asyncio.wait([asking])
        sent = sum(record.attempts for record in stand.limits.records)
        most = sent * (stand.limits.records[-1].bytes_in // 4 + 1 + 12)
        assert 0 < 10_000_000 - stand.limits.left() <= most
        assert (await stand.ask(CHAT, body)).status == 200

    run(plan, tmp_path, scenario)


OPENAI, ANTHROPIC = "x-ratelimit-{1}-{0}", "anthropic-ratelimit-{0}-{1}"
TOLD: dict[
    Caller, list[tuple[str, int, int | None]]
] = {  # of what, the limit and what is left, before the request has used anything
    RATED: [("requests", 5, 4), ("tokens", 100_000, None)],
    LIMITED: [("tokens", BUDGET, None)],
    SIDES: [("input-tokens", 2000, None), ("output-tokens", 3000, None)],
    MONEY: [],
}


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
@pytest.mark.parametrize("who", TOLD, ids=lambda who: who.name)
def test_what_is_left_of_a_key_stands_in_place_of_what_its_provider_says(
    plan: Plan, tmp_path: Path, path: str, who: Caller
) -> None:
    """Whatever the limits of the key are; nothing of the provider's contradicts them."""
    pattern = ANTHROPIC if path == MESSAGES else OPENAI
    said = TOLD[who] if path == MESSAGES or who is not SIDES else []  # OpenAI's SDKs know no sides
    ours = {
        pattern.format(kind, what) for kind, *_ in said for what in ("limit", "remaining", "reset")
    }

    async def scenario(stand: Stand) -> None:
        answer = await stand.ask(path, CALLS[path], who)
        assert answer.status == 200
        assert {name for name in answer.headers if "ratelimit" in name} == ours
        for kind, limit, left in said:
            assert answer.headers[pattern.format(kind, "limit")] == str(limit)
            found = int(answer.headers[pattern.format(kind, "remaining")])
            assert found == left if left else 0 < found < limit
        theirs = await stand.ask(path, CALLS[path], FREE)
        assert theirs.headers[pattern.format("requests", "limit")] != "5"
        assert len([name for name in theirs.headers if "ratelimit" in name]) >= 6

    run(plan, tmp_path, scenario)


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_every_refusal_and_failure_says_what_is_left(plan: Plan, tmp_path: Path, path: str) -> None:
    """A budget that is held, one that is spent, and a model that nobody has."""
    pattern = ANTHROPIC if path == MESSAGES else OPENAI

    def left(answer: Answer, kind: str) -> str | None:
        return answer.headers.get(pattern.format(kind, "remaining"))

    async def scenario(stand: Stand) -> None:
        model = CALLS[path]["model"]
        hanging = stand.ask(path, CALLS[path] | {"model": f"{model}-mock-hang"}, SPENT)
        holding = asyncio.ensure_future(hanging)
        while not stand.limits.allowed[0]:  # noqa: ASYNC110 no event
            await asyncio.sleep(0)
        busy = await stand.ask(path, CALLS[path], SPENT)
        assert (busy.status, busy.headers["x-engine-error"]) == (429, "rate_limited")
        assert (left(busy, "tokens"), left(busy, "requests")) == ("0", "8")
        holding.cancel()
        with suppress(asyncio.CancelledError):
            await holding
        spent = await stand.ask(path, CALLS[path], SPENT)
        assert (spent.status, spent.headers["x-engine-error"]) == (429, "budget_exceeded")
        assert (left(spent, "tokens"), left(spent, "requests")) == ("0", "8")
        unknown = await stand.ask(path, CALLS[path] | {"model": "of-nobody"}, RATED)
        assert (unknown.status, left(unknown, "requests")) == (404, "4")

    run(plan, tmp_path, scenario)


@pytest.mark.parametrize(("path", "field"), [(RESPONSES, "background"), (CHAT, "deferred")])
def test_a_limited_caller_may_not_have_work_go_on_after_the_response(
    plan: Plan, tmp_path: Path, path: str, field: str
) -> None:
    async def scenario(stand: Stand) -> None:
        body = CALLS[path] | {field: True}
        for who, status in ((LIMITED, 403), (MONEY, 403), (MANY, 200), (FREE, 200)):
            answer = await stand.ask(path, body, who)
            assert answer.status == status, who.name
            assert (await stand.ask(path, CALLS[path] | {field: False}, who)).status == 200

    run(plan, tmp_path, scenario)
