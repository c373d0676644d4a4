"""Whatever provider serves whichever shipped endpoint: a whole response takes from a budget what it says.

Once for each of them, and for each recorded shape of a response, through the gateway and the shipped configuration.
"""

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from engine.gateway.response.usage_reader import usage_readers
from engine.plan.plan import Endpoint, Plan
from tests.integration.limits.stand import MANY, Stand, run, shipped
from tests.recorder import Arrival, Recorder, Reply, as_json, recording
from tests.servers import ROOT, read_yaml

SHAPES = read_yaml("tests/unit/gateway/usage_shapes.yaml")
FORM = (
    '--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n{}\r\n'
    '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\0\r\n--b--\r\n'
)
ENCODINGS = ("identity", "gzip")


@dataclass(frozen=True)
class Cell:
    """A request to one provider, and the response that it gets."""

    provider: str
    endpoint: Endpoint
    shape: dict[str, Any]
    encoding: str

    @property
    def tokens(self) -> int:
        """What the provider counts for it."""
        counts = self.shape["counts"]
        return int(counts.get("input_tokens", 0) + counts.get("output_tokens", 0))

    def request(self) -> tuple[bytes, str]:
        """Body and media type, as callers of the endpoint send them."""
        model = f"{self.provider}/unit-test"
        if self.endpoint.bodies == {"form"}:
            return FORM.format(model).encode(), "multipart/form-data; boundary=b"
        asked = {"model": model, "stream": "events" in self.shape}
        return json.dumps(asked).encode(), "application/json"

    def reply(self) -> Reply:
        """The response of the provider, whole."""
        if "events" in self.shape:
            kind = "text/event-stream"
            text = "".join(f"data: {json.dumps(event)}\n\n" for event in self.shape["events"])
        else:
            kind, text = "application/json", json.dumps(self.shape["body"])
        content = text.encode()
        if self.encoding == "gzip":
            content = gzip.compress(content)
        return Reply(content, headers=(("content-type", kind), ("content-encoding", self.encoding)))


def whole_shapes(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """By endpoint those that say all tokens that are counted there."""
    readers, found = usage_readers(plan.every_endpoint()), defaultdict(list)
    for shape in SHAPES:
        needed = readers[shape["endpoint"]].needed
        if needed and needed <= shape["counts"].keys():
            found[shape["endpoint"]].append(shape)
    return found


def cells(plan: Plan) -> Iterator[Cell]:
    """Each provider with each of its endpoints, and each shape at least once."""
    for name, shapes in whole_shapes(plan).items():
        endpoint = plan.endpoint(name)
        assert endpoint is not None
        serving = [p.name for p in plan.providers.values() if name in p.upstreams]
        count = max(len(shapes), len(serving))
        for _, provider, shape in zip(range(count), cycle(serving), cycle(shapes), strict=False):
            yield Cell(provider, endpoint, shape, ENCODINGS[shapes.index(shape) % 2])


@pytest.fixture(scope="module")
def upstream() -> Iterator[Recorder]:
    with recording() as recorder:
        yield recorder


def test_a_whole_response_takes_what_the_provider_counted(
    tmp_path: Path, upstream: Recorder
) -> None:
    plan = shipped(upstream.port)
    every = list(cells(plan))
    served = {(p.name, e) for p in plan.providers.values() for e in p.upstreams}
    counted = set(whole_shapes(plan))
    assert {(cell.provider, cell.endpoint.name) for cell in every} == {
        (provider, endpoint) for provider, endpoint in served if endpoint in counted
    }

    async def scenario(stand: Stand) -> None:
        for cell in every:
            sent: list[Arrival] = []

            def answer(arrival: Arrival, cell: Cell = cell, sent: list[Arrival] = sent) -> Reply:
                sent.append(arrival)
                return cell.reply()

            upstream.answer = answer
            body, kind = cell.request()
            found, taken = await stand.cost(cell.endpoint.path.decode(), body, content_type=kind)
            assert found.status == 200, (cell, found)
            assert len(sent) == 1
            assert taken == cell.tokens, cell
            assert stand.limits.records[-1].usage == "reported", cell

    run(plan, tmp_path, scenario)


def test_no_endpoint_goes_past_the_limits(tmp_path: Path, upstream: Recorder) -> None:
    plan = shipped(upstream.port)
    upstream.answer = lambda _: Reply()
    serving = {e: p.name for p in plan.providers.values() for e in p.upstreams}
    every = [(e, serving[e.name]) for e in plan.every_endpoint() if e.name in serving]
    shape: dict[str, Any] = {"counts": {}}

    async def scenario(stand: Stand) -> None:
        allowed = stand.limits.allowed
        for left, (endpoint, provider) in enumerate(every):
            body, kind = Cell(provider, endpoint, shape, "identity").request()
            allowed[0] = 0
            found = await stand.ask(endpoint.path.decode(), body, MANY, content_type=kind)
            assert (found.status, allowed) == (200, [1]), endpoint.name
            said = [
                value
                for name, value in found.headers.items()
                if name.endswith(("remaining-requests", "requests-remaining"))
            ]
            assert said == [str(999 - left)]

    run(plan, tmp_path, scenario)


def test_neither_another_path_nor_a_key_of_the_callers_own_goes_past_the_limits(
    tmp_path: Path, upstream: Recorder
) -> None:
    plan = shipped(upstream.port)
    whole = {"model": "openai/m", "usage": {"prompt_tokens": 40, "completion_tokens": 2}}
    upstream.answer = lambda _: as_json(whole)
    azure = "/openai/deployments/openai%2Fm/chat/completions"

    async def scenario(stand: Stand) -> None:
        for path in ("/v1/chat/completions", "/chat/completions", azure):
            for own in (dict[str, str](), {"x_provider_api_key": "sk-own"}):
                upstream.arrivals.clear()
                found, taken = await stand.cost(path, {"model": "openai/m"}, **own)
                assert (found.status, taken) == (200, 42), (path, found)
                is_own = upstream.take().value("authorization") == "Bearer sk-own"
                assert is_own == bool(own)

    run(plan, tmp_path, scenario)


def test_the_page_names_the_endpoints_that_are_free(plan: Plan) -> None:
    text = " ".join((ROOT / "docs" / "limits.md").read_text("utf-8").split())
    (said,) = re.findall(r"The shipped ones are ([^.]*)\.", text)
    free = {endpoint.name for endpoint in plan.every_endpoint() if endpoint.is_free}
    assert set(re.findall(r"`(\w+)`", said)) == free
