"""What a command writes to: whether it takes colour, and how wide it is; and JSON for programs."""

import json
import os
import shutil
from typing import IO, Any

import click

COLOUR = click.option(
    "--color", "colour", type=click.Choice(["auto", "always", "never"]), default="auto"
)


def wants_colour(stream: IO[Any], choice: str = "auto") -> bool:
    """Whether to colour what goes to `stream`: the option, then NO_COLOR, FORCE_COLOR, the terminal.

    The variables count when they are set and not empty (no-color.org, force-color.org).
    """
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def width_of(stream: IO[Any]) -> int | None:
    """The columns of the terminal behind `stream`; None for a pipe or a file."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def json_text(value: object) -> str:
    """`value` as all commands print it for programs; a newline ends it."""
    return json.dumps(value, indent=2) + "\n"
