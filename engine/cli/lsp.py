"""`lsp`: the language server that editors start."""

import os
import sys

import click

from engine.cli.exits import stop
from engine.config.extras import installing


@click.command()
def lsp() -> None:
    """Serve an editor over standard input and output, as a language server.

    It shows the findings of `check` as you type, in all files of a
    configuration.
    docs/editors.md says how to set up an editor. Needs: pip install -e '.[lsp]'
    """
    try:
        from engine.lsp.server import run  # noqa: PLC0415 an optional package
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        stop(f"`engine lsp` needs one more package: {installing('lsp')}")
    sys.exit(run(os.environ))
