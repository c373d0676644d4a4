"""Usage in streams is asked for where a limit needs it, and the caller sees the stream that it asked for."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from engine.plan.plan import Plan
from tests.integration.limits.stand import FREE, Stand, run, written
from tests.recorder import Arrival, Recorder, Reply, recording
from tests.servers import Server, received

CHAT = "/v1/chat/completions"
ROUTES = """
version: 1
endpoints:
  chat:
    path: /v1/chat/completions
    usage:
      at: [/usage]
      events_at: [/usage]
      input_tokens: [prompt_tokens]
      output_tokens: [completion_tokens]
      estimate: true
      include_usage: {field: /stream_options/include_usage, extra_event: {choices: []}WHEN}
models:
  - {prefix: one-, provider: one}
  - {prefix: never-, provider: never}
  - {prefix: drops-, provider: drops}
  - {prefix: always-, provider: always}
"""
PROVIDERS = """
version: 1
providers:
  one: {base_url: "http://127.0.0.1:PORT", credentials: {}, endpoints: {chat: /chat}}
  never: {base_url: "http://127.0.0.1:PORT", credentials: {}, endpoints: {chat: {path: /chat, include_usage: never}}}
  drops: {base_url: "http://127.0.0.1:PORT", credentials: {}, endpoints: {chat: {path: /chat, body: {drop: [stream_options]}}}}
  always: {base_url: "http://127.0.0.1:PORT", credentials: {}, endpoints: {chat: {path: /chat, include_usage: always}}}
"""
TEXT = b'data: {"choices":[{"delta":{"content":"Hi"}}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":8}}\n\n'
MORE = b'data: {"choices":[{"delta":{"content":"!"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
EVENTS = (("content-type", "text/event-stream"),)
BODY = b'{ "model":"%b-1", "stream" : true,\n "n":1 }'
SET = b'{"stream_options": {"include_usage": true},  "model":"%b-1", "stream" : true,\n "n":1 }'


def provider(arrival: Arrival) -> Reply:
    """Sends usage, and not as the last chunk, when it is asked to."""
    asked = json.loads(arrival.body).get("stream_options", {}).get("include_usage")
    return Reply(TEXT + (USAGE if asked else b"") + MORE + DONE, headers=EVENTS)


@pytest.fixture
def upstream() -> Any:
    with recording() as made:
        made.answer = provider
        yield made


def play(folder: Path, upstream: Recorder, scenario: Any, when: str = "") -> None:
    plan = written(
        folder, ROUTES.replace("WHEN", when), PROVIDERS.replace("PORT", str(upstream.port))
    )
    run(plan, folder, scenario)


def test_usage_is_asked_for_a_limited_caller_alone_and_its_event_is_taken_out(
    tmp_path: Path, upstream: Recorder
) -> None:
    async def scenario(stand: Stand) -> None:
        answer, taken = await stand.cost(CHAT, BODY % b"one")
        assert upstream.take().body == SET % b"one"
        assert (answer.body, taken) == (TEXT + MORE + DONE, 17)
        answer = await stand.ask(CHAT, BODY % b"one", FREE)
        assert upstream.take().body == BODY % b"one"
        assert answer.body == TEXT + MORE + DONE
        assert [record.usage for record in stand.limits.records] == ["reported", "estimated"]

    play(tmp_path, upstream, scenario)


@pytest.mark.parametrize("options", [b'{"include_usage":true}', b'{"include_usage" :true, "a":1}'])
def test_a_caller_that_asks_itself_gets_the_event(
    tmp_path: Path, upstream: Recorder, options: bytes
) -> None:
    async def scenario(stand: Stand) -> None:
        body = b'{"model":"one-1","stream":true,"stream_options":%b}' % options
        answer, taken = await stand.cost(CHAT, body)
        assert upstream.take().body == body
        assert (answer.body, taken) == (TEXT + USAGE + MORE + DONE, 17)

    play(tmp_path, upstream, scenario)


def test_a_caller_that_asks_for_none_gets_none(tmp_path: Path, upstream: Recorder) -> None:
    async def scenario(stand: Stand) -> None:
        body = b'{"model":"one-1","stream":true,"stream_options":{"include_usage":false,"a":1}}'
        answer, taken = await stand.cost(CHAT, body)
        assert upstream.take().body == body.replace(b"false", b"true")
        assert (answer.body, taken) == (TEXT + MORE + DONE, 17)

    play(tmp_path, upstream, scenario)


@pytest.mark.parametrize("model", [b"never", b"drops"])
def test_a_provider_that_refuses_the_field_does_not_get_it(
    tmp_path: Path, upstream: Recorder, model: bytes
) -> None:
    """Usage that it sends anyway counts, and passes."""

    async def scenario(stand: Stand) -> None:
        answer, taken = await stand.cost(CHAT, BODY % model)
        assert upstream.take().body == BODY % model
        assert answer.body == TEXT + MORE + DONE
        assert stand.limits.records[0].usage == "estimated"
        assert taken == len(BODY % model) // 4 + 1 + 1  # its events came in one chunk
        upstream.answer = lambda _: Reply(TEXT + USAGE + DONE, headers=EVENTS)
        answer, taken = await stand.cost(CHAT, BODY % model)
        assert (answer.body, taken) == (TEXT + USAGE + DONE, 17)

    play(tmp_path, upstream, scenario)


def test_a_refusal_of_the_field_reaches_the_caller_and_takes_nothing(
    tmp_path: Path, upstream: Recorder
) -> None:
    async def scenario(stand: Stand) -> None:
        refused = b'{"error":{"message":"stream_options: extra inputs are not permitted"}}'
        upstream.answer = lambda _: Reply(refused, (422, "No"))
        answer, taken = await stand.cost(CHAT, BODY % b"one")
        assert (answer.status, answer.body, taken) == (422, refused, 0)

    play(tmp_path, upstream, scenario)


def test_the_switches(tmp_path: Path, upstream: Recorder) -> None:
    async def never(stand: Stand) -> None:
        await stand.ask(CHAT, BODY % b"one")
        assert upstream.take().body == BODY % b"one"
        await stand.ask(CHAT, BODY % b"always", FREE)
        assert upstream.take().body == SET % b"always", "the provider's goes before the endpoint's"

    async def always(stand: Stand) -> None:
        whole = BODY.replace(b"true", b"false") % b"one"
        await stand.ask(CHAT, whole, FREE, accept_encoding="gzip")
        assert upstream.take().value("accept-encoding") == "gzip"
        answer = await stand.ask(CHAT, BODY % b"one", FREE, accept_encoding="gzip")
        arrival = upstream.take()
        assert arrival.body == SET % b"one"
        assert arrival.value("accept-encoding") == "identity", "or the event could not be taken out"
        assert answer.body == TEXT + MORE + DONE
        body = BODY.replace(b"true", b"false") % b"one"
        await stand.ask(CHAT, body, FREE)
        assert upstream.take().body == body, "only a stream is asked"

    play(tmp_path, upstream, never, ", when: never")
    play(tmp_path, upstream, always, ", when: always")


def test_the_shipped_endpoints_ask_and_a_stream_takes_what_a_provider_counts(
    tmp_path: Path, mock: Server, plan: Plan
) -> None:
    calls: dict[str, dict[str, Any]] = {
        CHAT: {"model": "openai/m", "messages": [{"role": "user", "content": "Say something."}]},
        "/v1/completions": {"model": "openai/m", "prompt": "one two three"},
    }

    async def scenario(stand: Stand) -> None:
        for path, call in calls.items():
            body = call | {"stream": True}
            answer, taken = await stand.cost(path, body)
            sent = received(mock, answer.headers["x-mock-id"])
            assert int(answer.headers["x-mock-bytes"]) > len(json.dumps(body)), sent
            assert all(event["choices"] for event in answer.events)
            asked = await stand.ask(path, body | {"stream_options": {"include_usage": True}}, FREE)
            assert taken == asked.events[-1]["usage"]["total_tokens"]
            assert len(asked.events) == len(answer.events) + 1

    run(plan, tmp_path, scenario)


def test_what_a_request_may_use_is_held_while_it_is_under_way(tmp_path: Path, plan: Plan) -> None:
    """The output that its body allows, for each of several responses, and the input by its size."""

    async def scenario(stand: Stand) -> None:
        for path, fields, output in (
            (CHAT, {"max_completion_tokens": 300, "n": 2, "messages": []}, 600),
            (CHAT, {"messages": []}, 1000),
            (CHAT, {"max_tokens": 1 << 80, "messages": []}, None),
            ("/v1/responses", {"max_output_tokens": 70, "input": "a"}, 70),
            ("/v1/embeddings", {"input": "a"}, 0),
            ("/v1/messages", {"max_tokens": 90, "messages": []}, 90),
        ):
            prefix = "anthropic" if path == "/v1/messages" else "openai"
            body: dict[str, Any] = fields | {"model": f"{prefix}/mock-hang"}
            before = stand.limits.left()
            held: list[int] = []

            def leave(_: Any, before: int = before, held: list[int] = held) -> bool:
                return bool(held)

            raw = json.dumps(body).encode()
            asking = asyncio.ensure_future(stand.ask(path, raw, leave=leave))
            async with asyncio.timeout(60):
                while stand.limits.left() == before:  # noqa: ASYNC110 nothing says when
                    await asyncio.sleep(0.005)
            held.append(before - stand.limits.left())
            asking.cancel()
            await asyncio.wait([asking])
            expected = before if output is None else len(raw) // 4 + 1 + output
            assert held == [expected], path

    run(plan, tmp_path, scenario)
