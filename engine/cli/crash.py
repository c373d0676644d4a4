"""How a bug ends: in one sentence and exit code 2, with a traceback only on request."""

import errno
import gc
import sys
import traceback
from typing import Any

import click

from engine import __version__
from engine.cli.exits import COULD_NOT_RUN, stop

GC_THRESHOLD = (
    100_000  # made before the collector looks for cycles: 5 % less CPU for `engine check`
)


class Commands(click.Group):
    """A group of commands, whose option `debug` lets bugs through."""

    def invoke(self, ctx: click.Context) -> Any:
        gc.set_threshold(GC_THRESHOLD)  # a command keeps most of what it imports and builds
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except OSError as error:
            if error.errno == errno.EPIPE:  # who read the output has gone; click ends quietly
                raise
            stop(f"{error.strerror or 'the system refused'}: {error.filename or 'a file'}")
        except Exception as error:  # noqa: BLE001 the outermost frame
            if ctx.params.get("debug"):
                traceback.print_exc()
            # The message of the exception may quote a file, and so a secret.
            click.echo(
                f"engine: this is a bug in engine {__version__}: {_place(error)}; "
                "`engine --debug` before the command shows where",
                err=True,
            )
            sys.exit(COULD_NOT_RUN)


def _place(error: Exception) -> str:
    """The kind of an exception, and the line it came from."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {'/'.join(frame.filename.split('/')[-3:])}:{frame.lineno}"
