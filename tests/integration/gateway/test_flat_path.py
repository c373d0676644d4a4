"""The way of a request from the app to the wire: which packages its own code calls, and in which order."""

import asyncio
import sys
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

from engine.gateway.hooks import NO_HOOKS
from tests.integration.gateway.test_hooks import standing
from tests.servers import ROOT
from tests.tables import each

ENGINE = ROOT / "engine"
MAX_RETURNS = 3
PATHS = {
    "m-1": "response inbound outbound",
    "two-1": "response inbound routing outbound routing outbound",
}


def package_of(frame: FrameType | None) -> str | None:
    """The package of a function of the engine, relative to the engine: `gateway/inbound`."""
    path = Path(frame.f_code.co_filename) if frame else ENGINE
    return str(path.parent.relative_to(ENGINE)) if path.is_relative_to(ENGINE) else None


async def packages_called(model: str, tmp: Path) -> list[str]:
    """What modules of `gateway` itself call in its packages, until the request is sent, in order."""
    called: list[str] = []
    begun: set[FrameType] = set()  # a coroutine that goes on is another event of the same frame
    is_sent = False

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal is_sent
        if event != "call" or frame in begun or is_sent:
            return
        begun.add(frame)
        package = package_of(frame) or ""
        is_sent = package == "upstream/http1"
        if package.startswith("gateway/") and package_of(frame.f_back) == "gateway":
            called.append(package.removeprefix("gateway/"))

    async with standing(NO_HOOKS, tmp) as stand:
        assert await stand.ask(model) == 200  # what is made once is made
        sys.setprofile(note)
        try:
            assert await stand.ask(model) == 200
        finally:
            sys.setprofile(None)
    assert is_sent
    return [package for package, _ in groupby(called)]


@each("model", PATHS)
def test_a_request_goes_from_package_to_package_and_seldom_back(model: str, tmp_path: Path) -> None:
    path = asyncio.run(packages_called(model, tmp_path))
    assert path == PATHS[model].split()
    assert len(path) - len(set(path)) <= MAX_RETURNS
