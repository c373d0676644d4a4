"""Which targets of a rule are skipped: what the gateway does, and what `engine route` says of it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import permutations, product
from pathlib import Path
from time import monotonic, time
from typing import Any

import pytest

from engine.config.load import Loaded, load
from engine.config.new_key import digest
from engine.gateway.access_log import AccessLog
from engine.gateway.app import Gateway
from engine.plan.plan import Plan
from engine.report.route import ExplainedRequest, view_route
from engine.report.route_text import render_text
from engine.upstream.http1.pool import Http1Client
from tests.servers import WAIT, free_port

OWN = """credentials: {key: {env: SET}}, headers: {x-key: "{{ credentials.key }}"}, REST"""
UNSET = OWN.replace("SET", "NOT_SET")
REST = "caller_credentials: {headers: {x-own-key: key}}, endpoints: {talk: /talk}"
STATES = {
    "works": f'base_url: "http://127.0.0.1:PORT/works", {OWN}',
    "keyless": f'base_url: "http://127.0.0.1:PORT/keyless", {UNSET}',
    "vips": f'base_url: "http://127.0.0.1:PORT/vips", {UNSET}, accounts: [{{callers: [vip], credentials: {{key: {{env: SET}}}}}}]',
    "no_url": f'base_url: "https://{{{{ variables.host }}}}", variables: {{host: {{env: NOT_SET_HOST}}}}, {OWN}',
    "down": f'base_url: "http://127.0.0.1:CLOSED", {OWN}',
    "limited": f'base_url: "http://127.0.0.1:PORT/limited", {OWN}, retry: {{attempts: 2, statuses: [429], max_wait: 1s}}',
}
# One that takes no caller's credential, and one whose only variable is for the caller to choose.
OTHERS = {
    "closed": STATES["works"].replace("works", "closed").replace("REST", "endpoints: {talk: /talk}"),
    "chosen": STATES["no_url"].replace("https://{{ variables.host }}", "http://127.0.0.1:PORT/{{ variables.host }}").replace("NOT_SET_HOST", "NOT_SET_HOST, choices: [eu]") + ", caller_variables: {headers: {x-host: host}}",
}  # fmt: skip
CALLERS = "vip", "joe"
COMBINATIONS = [
    *permutations(STATES, 1),
    *product(STATES, repeat=2),
    ("no_url", "closed"),
    ("chosen", "works"),
    ("limited", "vips", "keyless"),
    ("down", "no_url", "vips"),
    ("vips", "limited", "down"),
]
MISSING = (401, "provider_key_missing")
UNREACHABLE = (502, "upstream_connect_failed")
LIMITED = (429, "limited")
ENDS = {"down": UNREACHABLE, "limited": LIMITED}


@dataclass
class Stand:
    """A Gateway in this process, and its configuration."""

    loaded: Loaded
    plan: Plan
    gateway: Gateway
    runner: asyncio.Runner
    log: Path
    headers: dict[bytes, bytes] = field(default_factory=dict)
    text: str = ""

    def ask(self, targets: tuple[str, ...], who: str, **sent: str) -> tuple[int, str]:
        """The status, and the provider that sent the response or the code of the error."""
        body = json.dumps({"model": "-".join(targets)}).encode()
        headers = [
            (b"host", b"gateway"),
            (b"content-type", b"application/json"),
            (b"authorization", b"Bearer " + key(who).encode()),
            (b"content-length", b"%d" % len(body)),
            *((name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()),
        ]
        scope = {"method": "POST", "raw_path": b"/talk", "query_string": b"", "http_version": "1.1", "headers": headers}  # fmt: skip
        received = [{"type": "http.request", "body": body, "more_body": False}]
        messages: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not received:
                await asyncio.Event().wait()
            return received.pop()

        async def send(message: Any) -> None:
            messages.append(message)

        self.runner.run(self.gateway(scope, receive, send))
        self.headers = dict(messages[0]["headers"])
        self.text = b"".join(message.get("body", b"") for message in messages).decode()
        code = self.headers.get(b"x-engine-error")
        return messages[0]["status"], code.decode() if code else self.text

    def route(self, targets: tuple[str, ...], who: str | None) -> dict[str, Any]:
        """What `engine route` says."""
        caller = self.plan.callers[bytes.fromhex(digest(key(who)))] if self.plan.callers and who else None  # fmt: skip
        question = ExplainedRequest("POST", "/talk", "-".join(targets), caller, time())
        return view_route(self.plan, self.loaded.documents, question)

    def record(self) -> dict[str, Any]:
        """The access record of the last request, which is written a moment later."""
        written: list[dict[str, Any]] = []
        end = monotonic() + WAIT
        while not written and monotonic() < end:
            self.runner.run(asyncio.sleep(0.01))
            records = map(json.loads, self.log.read_text().rpartition("\n")[0].splitlines())
            written = [r for r in records if r["request_id"].encode() == self.headers[b"x-engine-request-id"]]  # fmt: skip
        return written[0]


def key(name: str) -> str:
    return f"sk-{name}"


async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One response for each connection: the name in the path, and 429 from `limited`."""
    with closing(writer):  # also if the test is over before the gateway has closed it
        head = await reader.readuntil(b"\r\n\r\n")
        name = head.split(b"/")[1]
        status = b"429 Too Many\r\nretry-after: 30" if name == b"limited" else b"200 OK"
        writer.write(b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (status, len(name), name))  # fmt: skip
        await writer.drain()
        await reader.read()


@contextmanager
def standing(folder: Path) -> Iterator[Stand]:
    with asyncio.Runner() as runner:
        server = runner.run(asyncio.start_server(respond, "127.0.0.1", 0))
        port, closed = server.sockets[0].getsockname()[1], free_port()
        rules = [
            f"- {{model: {'-'.join(names)}, targets: [{', '.join(f'{{provider: {n}}}' for n in names)}]}}"
            for names in COMBINATIONS
        ]
        (folder / "routes.yaml").write_text("version: 1\nendpoints: {talk: {path: /talk}}\nmodels:\n  " + "\n  ".join(rules))  # fmt: skip
        entries = [f"  {name}: {{{text}}}" for name, text in {**STATES, **OTHERS}.items()]
        text = "version: 1\nproviders:\n" + "\n".join(entries)
        for name, value in {"REST": REST, "PORT": port, "CLOSED": closed}.items():
            text = text.replace(name, str(value))
        (folder / "providers.yaml").write_text(text)
        keys = [f"  - {{name: {name}, sha256: {digest(key(name))}}}" for name in CALLERS]
        (folder / "keys.yaml").write_text("version: 1\nkeys:\n" + "\n".join(keys))
        loaded = load(folder, {"SET": "operators"}, time())
        assert loaded.plan is not None, loaded.diagnostics
        with (folder / "log").open("w") as stream:
            log = AccessLog(stream)
            gateway = Gateway(loaded.plan, {"http1": Http1Client()}, log, lambda: False)
            yield Stand(loaded, loaded.plan, gateway, runner, folder / "log")
            runner.run(gateway.close())
            log.close()
            server.close()


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with standing(tmp_path_factory.mktemp("targets")) as running:
        yield running


def expected(usable: list[str]) -> tuple[int, str]:
    """How a request ends that goes to these targets in their order."""
    serving = next((name for name in usable if name not in ENDS), None)
    if serving is not None:
        return 200, serving
    return ENDS[usable[-1]] if usable else MISSING


def is_usable(name: str, who: str) -> bool:
    """Whether the caller may reach the provider; `own` sends a credential."""
    if who == "own":
        return name not in ("no_url", "closed", "chosen")
    return name not in ("keyless", "no_url", "chosen") and (name != "vips" or who == "vip")


@pytest.mark.parametrize("who", [*CALLERS, "own"])
def test_a_target_that_cannot_be_called_is_skipped(stand: Stand, who: str) -> None:
    sent = {"x_own_key": "sk-own"} if who == "own" else {}
    caller = "joe" if who == "own" else who
    for targets in COMBINATIONS:
        usable = [name for name in targets if is_usable(name, who)]
        if who == "own":  # it goes to one origin alone, and `down` is another
            usable = [name for name in usable if (name == "down") == (usable[0] == "down")]
        assert stand.ask(targets, caller, **sent) == expected(usable), (targets, who)


@pytest.mark.parametrize("who", CALLERS)
def test_route_says_which_targets_are_passed_over(stand: Stand, who: str) -> None:
    for targets in COMBINATIONS:
        view = stand.route(targets, who)["target"]
        usable = [each["provider"] for each in view["targets"] if each["usable"]]
        assert stand.ask(targets, who) == expected(usable), (targets, who)
        assert view["missing"] == [] if usable else view["missing"] != []
        if not usable:
            assert f"`{view['provider']}`" in stand.text


def test_route_without_a_key_says_what_a_key_decides(stand: Stand) -> None:
    view = stand.route(("down", "vips"), None)
    assert [each["usable"] for each in view["target"]["targets"]] == [True, None]
    text = render_text(view)
    assert "if the key fits" in text
    assert "passed over" not in text
    assert "passed over" in render_text(stand.route(("down", "vips"), "joe"))
    assert "unless" in render_text(stand.route(("vips",), None))


def test_a_skipped_target_hides_no_failure(stand: Stand) -> None:
    assert stand.ask(("limited", "vips"), "joe") == LIMITED
    assert stand.headers[b"retry-after"] == b"30"
    assert b"x-should-retry" not in stand.headers
    assert stand.ask(("down", "vips"), "joe") == UNREACHABLE
    record = stand.record()
    assert (record["provider"], record["attempts"]) == ("down", 1)


def test_who_sends_a_credential_is_not_told_to_send_one(stand: Stand) -> None:
    for targets in (("no_url",), ("no_url", "closed")):
        assert stand.ask(targets, "joe", x_own_key="sk-own") == MISSING
        assert "a variable in its URL is not set" in stand.text
        assert "send your own" not in stand.text
    assert stand.ask(("keyless",), "joe") == MISSING
    assert "send your own in the header `x-own-key`" in stand.text


def test_a_target_whose_variable_the_caller_chooses_is_tried(stand: Stand) -> None:
    assert stand.ask(("chosen", "works"), "joe") == (200, "works")
    assert stand.ask(("chosen", "works"), "joe", x_host="eu") == (200, "eu")
