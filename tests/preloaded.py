"""What a process of `tests.processes` has before it is forked: `engine`, and its caches filled."""

import gc
import sys
from importlib import import_module

import engine.cli.serve
import engine.mock.app
import engine.server.worker
from engine.cli import MODULES
from engine.config.load import load
from engine.server.store import is_installed
from tests.processes import ROOT

load(ROOT, {}, 0.0)

PLAIN = frozenset(sys.modules)  # what the server has by itself
if is_installed():
    import engine.accounts.start
    import engine.admin.app
    import engine.cli.store  # noqa: F401
for command in MODULES.values():
    import_module(f"engine.cli.{command}")
EXTRA = (
    frozenset(sys.modules) - PLAIN
)  # what only servers with accounts, and other commands, import


def forget(package: str) -> None:
    """Leave `package` to be imported again, and all of the engine that may have imported it."""
    assert package not in PLAIN, f"the server imports {package} without any need"
    for name in EXTRA & sys.modules.keys():
        if name.partition(".")[0] in {package, "engine"}:
            del sys.modules[name]


gc.freeze()
