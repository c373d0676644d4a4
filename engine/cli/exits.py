"""Exit codes, and how a run ends that cannot continue. Imports nothing else of the engine: every command starts here."""

from typing import NoReturn

import click

OK, FINDINGS, COULD_NOT_RUN = 0, 1, 2


class Stopped(SystemExit):
    """The end of a run that cannot continue; `message` has been printed."""

    def __init__(self, message: str) -> None:
        super().__init__(COULD_NOT_RUN)
        self.message = message


def stop(message: str) -> NoReturn:
    """Print `engine: MESSAGE` to standard error and exit with COULD_NOT_RUN."""
    click.echo(f"engine: {message}", err=True)
    raise Stopped(message)
