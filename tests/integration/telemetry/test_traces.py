"""Traces of requests as a collector gets them, over real sockets and from a real gateway."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import httpx2
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from engine.telemetry.spans import SCHEMA_URL
from tests import loopback
from tests.integration.upstream.fault_server import FaultServer
from tests.listening import listening
from tests.otlp import Collector, collecting, values
from tests.servers import KEY, Server, free_port, gateway, write_keys

ROUTES = """
version: 1
defaults:
  timeouts: {{connect: 300ms, first_byte: 400ms, idle: 400ms, total: 2s}}
endpoints:
  talk:
    path: /talk
    also: [/other]
    operation: chat
    usage: {{at: [/usage], input_tokens: [in], output_tokens: [out]}}
  plain: {{path: "/of/{{model}}/plain"}}
models:
  - {{prefix: h-, targets: [{{provider: first}}, {{provider: second}}]}}
  - {{prefix: refused-, targets: [{{provider: refused}}, {{provider: second, strip: true}}]}}
  - {{prefix: dead-, targets: [{{provider: refused}}, {{provider: refused}}]}}
  - {{prefix: alone-, provider: second, strip: true}}
  - {{prefix: echo-, provider: echo}}
  - {{prefix: quiet-, provider: quiet}}
tracing: {{endpoint: "{collector}", sample: {sample}, trust: {trust}}}
"""
PROVIDERS = """
version: 1
providers:
  first: {{base_url: "http://127.0.0.1:{first}", endpoints: {{talk: /talk}}, retry: {{attempts: 2, max_wait: 1s}}}}
  second: {{base_url: "http://127.0.0.1:{first}", telemetry_name: second.maker, endpoints: {{talk: /talk, plain: /plain}}}}
  refused: {{base_url: "http://127.0.0.1:{closed}", endpoints: {{talk: /talk}}}}
  echo: {{base_url: "http://127.0.0.1:{echo}", trace: true, forward_headers: [traceparent], endpoints: {{talk: /talk}}}}
  quiet: {{base_url: "http://127.0.0.1:{echo}", endpoints: {{talk: /talk}}}}
"""
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{}"
TRACE_ID = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
CALLER_SPAN = bytes.fromhex("00f067aa0ba902b7")
SAMPLED, KNOWN, REMOTE = (
    1,
    0x100,
    0x300,
)  # flags of OTLP: it is known whether the parent is remote, and it is
ECHOED = ("traceparent", "tracestate", "baggage")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Respond with usage, and with the trace headers of the request as `x-got-...`."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:] if line)
            await reader.readexactly(int(lines["content-length"]))
            got = "".join(f"x-got-{n}: {lines[n]}\r\n" for n in ECHOED if n in lines)
            body = b'{"model": "m-2", "usage": {"in": 11, "out": 7}}'
            start = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            writer.write(f"{start}{got}content-length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()


@dataclass
class Traced:
    """A gateway that traces, and what its collector has."""

    server: Server
    collector: Collector

    def ask(self, model: str, path: str = "/talk", **headers: str) -> httpx2.Response:
        return loopback.post(
            self.server.url + path,
            json={"model": model},
            headers={"x-api-key": KEY, **headers},
            timeout=60,
        )

    def spans(self, answer: httpx2.Response) -> list[Span]:
        return self.collector.trace_of(answer.headers["x-engine-request-id"])


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with FaultServer().running() as first, listening(echo) as port:
        yield {"first": first.port, "echo": port, "closed": free_port()}


def start(
    folder_of: pytest.TempPathFactory, ports: dict[str, int], sample: str, trust: str
) -> Iterator[Traced]:
    folder = folder_of.mktemp("traces")
    with collecting() as collector:
        text = ROUTES.format(collector=collector.url, sample=sample, trust=trust)
        (folder / "routes.yaml").write_text(text)
        (folder / "providers.yaml").write_text(PROVIDERS.format(**ports))
        write_keys(folder)
        environ = {
            "OTEL_BSP_SCHEDULE_DELAY": "20",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20a-token,x-tenant=t",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.name=other",
            "OTEL_SERVICE_NAME": "gate",
        }
        with gateway(folder, folder / "log", environ=environ) as server:
            yield Traced(server, collector)
            assert "Traceback" not in server.text
            assert "a hook failed" not in server.text
            assert "a-token" not in server.text


@pytest.fixture(scope="module")
def all_of(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[Traced]:
    yield from start(tmp_path_factory, ports, "100%", "none")


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[Traced]:
    yield from start(tmp_path_factory, ports, "0%", "sampled")


def test_a_request_and_its_attempt(all_of: Traced, ports: dict[str, int]) -> None:
    answer = all_of.ask("quiet-m", path="/other")
    record = all_of.server.record(answer.headers["x-engine-request-id"])
    server, client = all_of.spans(answer)
    assert (server.name, server.kind) == ("POST /talk", Span.SPAN_KIND_SERVER)
    assert (client.name, client.kind) == ("chat quiet-m", Span.SPAN_KIND_CLIENT)
    assert client.trace_id == server.trace_id == bytes.fromhex(record["trace_id"])
    assert (server.parent_span_id, client.parent_span_id) == (b"", server.span_id)
    assert server.start_time_unix_nano <= client.start_time_unix_nano
    assert client.start_time_unix_nano < client.end_time_unix_nano <= server.end_time_unix_nano
    assert abs(server.end_time_unix_nano / 1e9 - time.time()) < 60
    assert values(server) == {
        "http.request.method": "POST",
        "url.scheme": all_of.server.scheme,
        "http.route": "/talk",
        "http.response.status_code": 200,
        "orqen.request_id": record["request_id"],
        "orqen.endpoint": "talk",
        "orqen.key": "tests",
        "orqen.model": "quiet-m",
        "orqen.rule": record["rule"],
        "orqen.outcome": "ok",
        "orqen.attempts": 1,
    }
    assert values(client) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "quiet",
        "gen_ai.request.model": "quiet-m",
        "gen_ai.response.model": "m-2",
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": ports["echo"],
        "orqen.provider": "quiet",
        "orqen.usage": "reported",
    }
    assert server.status.code == client.status.code == Status.STATUS_CODE_UNSET


def test_what_the_spans_come_from(all_of: Traced) -> None:
    all_of.spans(all_of.ask("quiet-m"))
    (group, head) = all_of.collector.groups[-1], all_of.collector.heads[-1]
    found = values(group.resource)
    assert (found["service.name"], found["deployment.environment.name"]) == ("gate", "test")
    assert found["process.pid"] in all_of.server.worker_pids()
    assert len(str(found["service.instance.id"])) == 36
    assert group.scope_spans[0].schema_url == SCHEMA_URL
    assert (head["authorization"], head["x-tenant"]) == ("Bearer a-token", "t")
    assert head["content-type"] == "application/x-protobuf"


def test_each_attempt_has_a_span_with_its_result(all_of: Traced) -> None:
    server, *clients = all_of.spans(all_of.ask("h-busy"))
    results = [(values(s)["gen_ai.provider.name"], values(s)["error.type"]) for s in clients]
    assert results == [("first", "429"), ("first", "429"), ("second.maker", "429")]
    assert [values(s).get("http.request.resend_count") for s in clients] == [None, 1, 2]
    assert all(s.status.code == Status.STATUS_CODE_ERROR for s in clients)
    assert clients[0].end_time_unix_nano <= clients[1].start_time_unix_nano
    assert values(server)["http.response.status_code"] == 429
    assert server.status.code == Status.STATUS_CODE_UNSET, "a 4xx is no error of a server"


def test_a_failover(all_of: Traced) -> None:
    server, first, second = all_of.spans(all_of.ask("refused-h-ok"))
    assert values(first)["error.type"] == "connect_failed"
    assert "http.response.status_code" not in values(first)
    assert values(second)["http.response.status_code"] == 200
    assert (second.name, server.status.code) == ("chat h-ok", Status.STATUS_CODE_UNSET)


@pytest.mark.parametrize(
    ("model", "status", "errors"),
    [
        ("dead-x", 502, ["connect_failed", "connect_failed", "connect_failed"]),
        ("alone-h-hang", 504, ["timeout_headers", "timeout_headers"]),
        ("alone-h-cut-events", 200, ["truncated", "truncated"]),
        ("alone-h-error", 500, ["500", "500"]),
    ],
)
def test_failures(all_of: Traced, model: str, status: int, errors: list[str]) -> None:
    spans = all_of.spans(all_of.ask(model))
    assert [values(s)["error.type"] for s in spans] == errors
    assert {s.status.code for s in spans} == {Status.STATUS_CODE_ERROR}
    assert values(spans[0])["http.response.status_code"] == status


def test_a_refusal_has_no_attempt(all_of: Traced) -> None:
    (span,) = all_of.spans(all_of.ask("nobody-has-it"))
    assert (values(span)["orqen.error"], span.name) == ("model_not_found", "POST /talk")
    (span,) = all_of.spans(all_of.ask("x", path="/nowhere/a-secret"))
    assert (span.name, "a-secret" in str(span)) == ("POST", False)


def test_a_path_with_the_model_is_its_route(all_of: Traced) -> None:
    span = all_of.spans(all_of.ask("x", path="/of/alone-h-ok/plain"))[0]
    assert (span.name, values(span)["orqen.endpoint"]) == ("POST /of/{model}/plain", "plain")


def test_a_stream_and_a_caller_who_leaves(all_of: Traced) -> None:
    url = all_of.server.url + "/talk"
    for model, read, outcome in (("alone-h-events", True, "ok"), ("alone-h-drip", False, "client_cancelled")):  # fmt: skip
        body = {"model": model, "stream": True}
        with loopback.stream("POST", url, json=body, headers={"x-api-key": KEY}) as answer:
            if read:
                answer.read()
            else:
                next(answer.iter_raw())
        server, client = all_of.spans(answer)
        assert values(server)["orqen.outcome"] == outcome
        assert values(client)["gen_ai.request.stream"] is True
        assert values(client).get("error.type") == (None if read else outcome)
        assert server.status.code == Status.STATUS_CODE_UNSET
        assert client.end_time_unix_nano - client.start_time_unix_nano > 0


def test_a_caller_who_is_not_trusted_gets_a_link(all_of: Traced) -> None:
    answer = all_of.ask("echo-m", traceparent=PARENT.format("01"), tracestate="a=b", baggage="k=v")
    server, client = all_of.spans(answer)
    assert server.trace_id != TRACE_ID
    assert [(link.trace_id, link.span_id) for link in server.links] == [(TRACE_ID, CALLER_SPAN)]
    assert (server.flags, server.links[0].flags) == (SAMPLED, SAMPLED | REMOTE)
    sent = f"00-{server.trace_id.hex()}-{client.span_id.hex()}-01"
    got = {n: answer.headers.get(f"x-got-{n}") for n in ECHOED}
    assert got == {"traceparent": sent, "tracestate": None, "baggage": None}
    quiet = all_of.ask("quiet-m", traceparent=PARENT.format("01"), baggage="k=v")
    assert not any(name.startswith("x-got") for name in quiet.headers)


def test_a_caller_who_is_trusted_decides(trusting: Traced) -> None:
    answer = trusting.ask("echo-m", traceparent=PARENT.format("01"), tracestate="a=b,c=d")
    server, client = trusting.spans(answer)
    assert (server.trace_id, server.parent_span_id) == (TRACE_ID, CALLER_SPAN)
    assert (len(server.links), server.trace_state) == (0, "a=b,c=d")
    assert (server.flags, client.flags) == (SAMPLED | REMOTE, SAMPLED | KNOWN), "who the parent is"
    sent = PARENT.format("01").replace(CALLER_SPAN.hex(), client.span_id.hex())
    assert answer.headers["x-got-traceparent"] == sent
    assert answer.headers["x-got-tracestate"] == "a=b,c=d"
    unsampled = trusting.ask("echo-m", traceparent=PARENT.format("00"))
    record = trusting.server.record(unsampled.headers["x-engine-request-id"])
    assert record["trace_id"] == TRACE_ID.hex(), "logs can be joined with the caller's trace"
    alone = trusting.ask("echo-m")
    assert trusting.server.record(alone.headers["x-engine-request-id"])["trace_id"] is None
    for other in (unsampled, alone):
        assert other.headers["x-got-traceparent"].endswith("-00")
    wrong = {"x-api-key": "nobody", "traceparent": PARENT.format("01")}
    keyless = trusting.ask("echo-m", **wrong)
    assert keyless.status_code == 401
    trusting.spans(trusting.ask("echo-m", traceparent=PARENT.format("01")))
    ids = {values(span).get("orqen.request_id") for span in trusting.collector.spans}
    assert ids.isdisjoint({a.headers["x-engine-request-id"] for a in (unsampled, alone, keyless)})


def test_a_worker_that_takes_the_place_of_another_exports(all_of: Traced) -> None:
    all_of.spans(all_of.ask("quiet-m"))
    os.kill(all_of.server.worker_pids()[0], signal.SIGKILL)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(httpx2.TransportError):
            answer = all_of.ask("quiet-m")
            break
        time.sleep(0.02)
    all_of.spans(answer)
    pids = [values(group.resource)["process.pid"] for group in all_of.collector.groups]
    names = {values(group.resource)["service.instance.id"] for group in all_of.collector.groups}
    assert (pids[-1], len(names)) == (all_of.server.worker_pids()[0], 2)
    assert pids[0] != pids[-1]
