"""Every entry of the shipped catalogue, requested once: where it arrives, and how it signs in."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from engine.config.load import Loaded, load
from engine.config.model import Config
from engine.plan.plan import Endpoint, Plan
from tests import loopback
from tests.recorder import Arrival, Recorder, recording
from tests.servers import CANARY, KEY, ROOT, Server, gateway, read_yaml, ship
from tests.unit.config.folders import TextSnapshot

MODEL = "unit/test:1"
FORM = (
    '--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n{}\r\n'
    '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\0\r\n--b--\r\n'
)
PROVIDERS: dict[str, Any] = read_yaml("providers.yaml")["providers"]


@pytest.fixture(scope="module")
def loaded(canaries: dict[str, str]) -> Loaded:
    return load(ROOT, canaries, time.time())


@pytest.fixture(scope="module")
def plan(loaded: Loaded) -> Plan:
    assert loaded.plan is not None
    return loaded.plan


@pytest.fixture(scope="module")
def upstream() -> Iterator[Recorder]:
    with recording() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, upstream: Recorder, canaries: dict[str, str]
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("cells")
    arguments = ("--mock-port", str(upstream.port))
    with gateway(ship(folder), folder / "log", *arguments, environ=canaries) as running:
        yield running


def requested(connection: Any, endpoint: Endpoint, model: str) -> int:
    """The status of one request in the form that callers of the endpoint send."""
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    body = json.dumps({"model": model})
    if endpoint.bodies == {"form"}:
        headers["content-type"] = "multipart/form-data; boundary=b"
        body = FORM.format(model)
    connection.request(endpoint.method, endpoint.path.decode(), body.encode(), headers)
    response = connection.getresponse()
    response.read()
    return int(response.status)


def model_for(provider: str) -> str:
    """A name with the marks of real ones; some providers take it as one segment of a path."""
    takes = [e for e in PROVIDERS[provider]["endpoints"].values() if "segment" in e["path"]]
    return MODEL.replace("/", "-") if takes else MODEL


def line(plan: Plan, provider: str, endpoint: str, arrival: Arrival) -> str:
    """An entry as it was on the wire; the host is the one that would have been called."""
    upstream = plan.providers[provider].upstreams[endpoint]
    assert upstream is not None
    sent = [f"{name}: {value}" for name, value in arrival.headers if CANARY in value]
    sent += [f"anthropic-version: {v}" for v in arrival.values("anthropic-version")]
    return f"{provider} {endpoint}\n  {upstream.origin}{arrival.target}\n  {'; '.join(sent) or 'no credential'}"


def test_every_entry_arrives_where_it_should_and_signs_in(
    server: Server, upstream: Recorder, plan: Plan, snapshot: SnapshotAssertion
) -> None:
    connection = loopback.connection(server.port)
    lines = []
    for provider in plan.providers.values():
        model = model_for(provider.name)
        for name in provider.upstreams:
            endpoint = plan.endpoint(name)
            assert endpoint is not None
            status = requested(connection, endpoint, f"{provider.name}/{model}")
            assert status == 200, f"{provider.name} {name}: {status}"
            arrival = upstream.take()
            edits = PROVIDERS[provider.name]["endpoints"][name].get("body", {})
            kept = b"model" not in json.dumps(edits.get("drop", [])).encode()
            assert (f'"{model}"'.encode() in arrival.body.replace(b"\r\n", b'"')) == kept
            lines.append(line(plan, provider.name, name, arrival))
    connection.close()
    text = "\n".join(lines).replace(CANARY + "-", "$") + "\n"
    assert text == snapshot(extension_class=TextSnapshot)


# -- what the catalogue promises -----------------------------------------------------------------


def test_there_are_enough_and_nothing_weak_is_enabled(loaded: Loaded) -> None:
    config: Config = loaded.config
    assert len(config.providers) >= 40
    for provider in config.providers:
        assert all(entry.grade in ("sdk", "docs") for entry in provider.endpoints), provider.name
        weak = [entry.grade for entry in provider.not_enabled]
        assert all(grade in ("second-hand", "guess") for grade in weak), provider.name


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_has_all_it_needs(name: str) -> None:
    """A description, a credential by its usual name, and a way for callers to bring their own."""
    provider = PROVIDERS[name]
    assert provider["description"]
    assert provider["credentials"]
    caller_credentials = provider["caller_credentials"]
    assert set(caller_credentials["headers"]) == {"x-provider-api-key"}
    assert "api_key" in caller_credentials["body"]
    messages = "messages" in provider["endpoints"]
    passed = {*provider.get("forward_headers", ()), *provider.get("default_headers", {})}
    assert not messages or "anthropic-beta" in passed, "the messages API needs it"


def test_findings_are_nothing_but_what_is_not_set_here(tmp_path: Path) -> None:
    assert {d.code for d in load(ROOT, {}, time.time()).diagnostics} == {"E401"}
