"""`fmt`: one layout for configuration files."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from engine.cli.common import render, unified_diff
from engine.cli.exits import COULD_NOT_RUN, FINDINGS, OK, stop
from engine.cli.files import replace_file
from engine.config.files import FILES
from engine.config.source.document import parse_document
from engine.config.source.files import read_file, unreadable_reason
from engine.config.source.formatting import FormatError, format_text

STDIN = "-"


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, allow_dash=True, path_type=Path))
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Change nothing; exit with 1 when something would be.",
)
@click.option("--diff", "only_diff", is_flag=True, help="The same, and show what would change.")
def fmt(paths: tuple[Path, ...], only_check: bool, only_diff: bool) -> None:  # noqa: FBT001 click's
    """Format configuration files; only spaces and empty lines change.

    PATHS are files, or folders with a configuration; the current folder by default. With - the text
    comes from stdin and goes to stdout.
    """
    if [str(path) for path in paths] == [STDIN]:
        sys.exit(_stdin(only_check=only_check, only_diff=only_diff))
    worst = OK
    for file in _files(paths or (Path(),)):
        code = _file(file, only_check=only_check, only_diff=only_diff)
        worst = max(worst, code)
    sys.exit(worst)


def _files(paths: Sequence[Path]) -> list[Path]:
    found = []
    for path in paths:
        if str(path) == STDIN:
            stop("- cannot be combined with other paths")
        inside = [path / name for name in FILES if (path / name).exists()] if path.is_dir() else []
        if path.is_dir() and not inside:
            stop(f"{path} has no {', '.join(FILES)}")
        found += inside or [path]
    return found


def _stdin(*, only_check: bool, only_diff: bool) -> int:
    raw = sys.stdin.buffer.read()
    made = _formatted("stdin", raw)
    if made is None:
        return COULD_NOT_RUN
    if only_diff:
        click.echo(unified_diff("stdin", raw.decode(), made), nl=False)
    elif not only_check:
        sys.stdout.buffer.write(made.encode())
    return FINDINGS if (only_check or only_diff) and made != raw.decode() else OK


def _file(file: Path, *, only_check: bool, only_diff: bool) -> int:
    try:
        raw = read_file(file)
        made = _formatted(str(file), raw)
        if made is None or made.encode() == raw:
            return COULD_NOT_RUN if made is None else OK
        if only_diff:
            click.echo(unified_diff(str(file), raw.decode(), made), nl=False)
        elif only_check:
            click.echo(f"would format {file}")
        else:
            replace_file(file, made.encode())
            click.echo(f"formatted {file}")
    except OSError as error:
        click.echo(f"engine: {file}: {unreadable_reason(file, error)}", err=True)
        return COULD_NOT_RUN
    return FINDINGS if only_check or only_diff else OK


def _formatted(name: str, raw: bytes) -> str | None:
    """The formatted text; None when it is left as it is, with the reason on stderr."""
    document, found = parse_document(name, raw)
    if document is None:
        click.echo(render(found, {}), err=True)
        return None
    try:
        return format_text(raw.decode())
    except FormatError as error:
        click.echo(f"engine: {name} is left as it is: {error}", err=True)
        return None
