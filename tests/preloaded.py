"""What a process of `tests.processes` has before it is forked: `engine`, and its caches filled."""

import engine.cli.serve
import engine.mock.app
import engine.server.worker  # noqa: F401
from engine.config.load import load
from tests.processes import ROOT

load(ROOT, {}, 0.0)
