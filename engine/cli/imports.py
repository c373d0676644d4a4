"""`import`: the configuration of another gateway -> files of this one, and a report on every setting."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from engine.cli.common import FolderPath, render
from engine.cli.console import json_text
from engine.cli.exits import FINDINGS, OK, stop
from engine.cli.files import replace_file
from engine.config.diagnostics.diagnostic import Severity
from engine.config.load import load
from engine.config.source.any_yaml import ForeignDocument, UnreadableError, read_foreign
from engine.config.source.files import read_file, unreadable_reason
from engine.importers.draft import ImportContext
from engine.importers.litellm import import_litellm
from engine.importers.others import READERS, import_other
from engine.importers.result import ImportResult
from engine.report.imported import render_import, view_import

MAX_FILES = 32
Importer = Callable[[Sequence[ForeignDocument], ImportContext], ImportResult]
IMPORTERS: dict[str, Importer] = {
    "litellm": import_litellm,
    **{program: partial(import_other, program) for program in READERS},
}


@click.command("import")
@click.argument("program", type=click.Choice(list(IMPORTERS)))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("directory", type=FolderPath(exists=False))
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option(
    "--keys",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="LiteLLM's virtual keys, as /key/list?return_full_object=true gives them.",
)
@click.option("--dry-run", is_flag=True, help="Only report; write nothing.")
def import_(  # noqa: PLR0913, PLR0917 one parameter an option
    program: str,
    file: Path,
    directory: Path,
    form: str,
    keys: Path | None,
    dry_run: bool,  # noqa: FBT001 click's
) -> None:
    """Write the configuration of another program as files in DIRECTORY.

    Nothing is overwritten. The report says of every setting what became of
    it. Literal keys become environment variables, which .env.example names.

    Exits with 1 when a setting asks something of you or was not carried.
    """
    today = datetime.now(UTC).date().isoformat()
    around = ImportContext(os.environ, today, _read(keys, keys.name) if keys else None)
    result = IMPORTERS[program](_read_all(file), around)
    if not dry_run:
        _write(result, directory)
    text = json_text(view_import(result)) if form == "json" else render_import(result)
    click.echo(text, nl=False)
    if not result.files:
        click.echo("engine: nothing could be imported, and nothing was written", err=True)
    elif not dry_run:
        _check(directory)
        click.echo(
            f"next: set what {directory / '.env.example'} names; engine check {directory}", err=True
        )
    is_carried = all(row.status.value.startswith("carried") for row in result.rows)
    sys.exit(OK if result.files and is_carried else FINDINGS)


def _read_all(file: Path) -> list[ForeignDocument]:
    """The file, and those that its `include` names, as far as they are there."""
    documents = [_read(file, file.name)]
    data = documents[0].data
    names = data.get("include") if isinstance(data, dict) else None
    for name in names[:MAX_FILES] if isinstance(names, list) else ():
        path = file.parent / str(name)
        if path.is_file():
            documents.append(_read(path, str(name)))
    return documents


def _read(file: Path, name: str) -> ForeignDocument:
    try:
        return read_foreign(name, read_file(file))
    except OSError as error:
        stop(f"{file} cannot be read: {unreadable_reason(file, error)}")
    except UnreadableError as error:
        stop(str(error))


def _write(result: ImportResult, directory: Path) -> None:
    taken = [name for name in result.files if os.path.lexists(directory / name)]
    if taken:
        stop(f"{directory} already has {', '.join(taken)}; choose another folder")
    try:
        for name, text in result.files.items():
            directory.mkdir(parents=True, exist_ok=True)
            replace_file(directory / name, text.encode())
    except OSError as error:
        stop(f"{directory} cannot be written: {error.strerror}")


def _check(directory: Path) -> None:
    """Report what is wrong with the files that were written, which is a bug of the importer."""
    loaded = load(directory, None, time.time())
    errors = [d for d in loaded.diagnostics if d.severity is Severity.ERROR]
    if errors:
        click.echo(render(errors, loaded.documents), err=True)
        stop("the files have errors, which is a bug of this importer: correct them by hand")
