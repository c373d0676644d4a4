"""Exit codes, and how a run ends that cannot continue. Imports nothing else of the engine: every command starts here."""

import sys
from typing import NoReturn

import click

FINE, FINDINGS, COULD_NOT_RUN = 0, 1, 2


def stop(message: str) -> NoReturn:
    """Print `engine: MESSAGE` to standard error and exit with COULD_NOT_RUN."""
    click.echo(f"engine: {message}", err=True)
    sys.exit(COULD_NOT_RUN)
