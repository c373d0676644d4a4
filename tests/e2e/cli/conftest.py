"""Commands that run in this process do so as if on a machine where nothing is set."""

from tests.unit.cli.running import plain
from tests.unit.cli.test_cli import folder

__all__ = ["folder", "plain"]
