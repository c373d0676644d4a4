"""Serve the mock for the tests: ``python serve_mock.py PORT FAULT_OR_EMPTY REQUIRE_AUTH``."""

import sys
from collections.abc import Callable
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from engine.mock.app import create_app


def load() -> Callable[..., Any]:
    """Make the app in the worker."""
    return create_app(sys.argv[2] or None, require_auth=sys.argv[3] == "True")


if __name__ == "__main__":
    Granian(
        "mock",
        address="127.0.0.1",
        port=int(sys.argv[1]),
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=1,
        log_level=LogLevels.warning,
    ).serve(target_loader=load, wrap_loader=False)
