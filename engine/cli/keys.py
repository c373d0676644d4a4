"""`keys`: creates, lists and revokes the gateway keys of keys.yaml."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import click

from engine.cli.common import (
    FINDINGS,
    FINE,
    IN_DIRECTORY,
    refuse_unknown_name,
    render,
    report_and_stop,
    stop,
)
from engine.cli.files import only_writer, replace_file
from engine.config.diagnostics.diagnostic import Diagnostic, Severity
from engine.config.load import load
from engine.config.new_key import digest, new_key
from engine.config.schema.validation import check_schema
from engine.config.source.document import parse_document, unread_document
from engine.config.source.files import read_file, why_not
from engine.config.source.key_file import NotEditableError, entry_lines, with_entry, without_entry
from engine.config.units import parse_expiry
from engine.report.keys import text_of, view_keys

Fields = dict[str, str | Sequence[str]]


@click.group()
def keys() -> None:
    """Gateway keys."""


@keys.command("new")
@click.argument("name")
@click.option("--write", is_flag=True, help="Add the entry to keys.yaml.")
@click.option(
    "--expires", metavar="WHEN", help="A date, a time with its zone, or days such as 90d."
)
@click.option("--models", multiple=True, metavar="NAMES", help="Only these, separated by commas.")
@click.option(
    "--endpoints", multiple=True, metavar="NAMES", help="Only these, separated by commas."
)
@IN_DIRECTORY
def keys_new(  # noqa: PLR0913, PLR0917 one parameter an option
    name: str,
    write: bool,  # noqa: FBT001 click's
    expires: str | None,
    models: tuple[str, ...],
    endpoints: tuple[str, ...],
    directory: Path,
) -> None:
    """Make a key for NAME. The key is shown once; keys.yaml holds only its SHA-256."""
    key = new_key()
    fields: Fields = {"name": name, "sha256": digest(key)}
    fields |= {
        k: v
        for k, v in (("endpoints", _names(endpoints)), ("models", _names(models)))
        if v is not None
    }
    if expires is not None:
        fields["expires"] = _when(expires, time.time())
    _refuse_unknown_endpoints(directory, fields.get("endpoints", ()))
    file = directory / "keys.yaml"
    added = _changed(file, lambda old: _with(old, fields, file), write=write)
    where = f"added to {file}" if write else "add this under `keys:` in keys.yaml"
    click.echo(f"{where}:\n{added}", err=True)
    click.echo("the key, shown this once:", err=True)
    click.echo(key)


@keys.command("list")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@IN_DIRECTORY
def keys_list(form: str, directory: Path) -> None:
    """Show the keys of keys.yaml.

    Each with the start of its SHA-256, its limits and when it expires. Exits with 1 when keys.yaml has errors; what is wrong goes to stderr.
    """
    now = time.time()
    loaded = load(directory, os.environ, now)
    errors = [d for d in loaded.diagnostics if d.span.file == "keys.yaml" and d.severity is Severity.ERROR]  # fmt: skip
    if loaded.config.keys is None:
        if errors:
            report_and_stop(errors, loaded)
        stop(f"there is no keys.yaml in {directory}: `engine keys new NAME --write` makes one")
    if errors:
        click.echo(render(errors, loaded.documents), err=True)
    view = view_keys(loaded.config.keys, now)
    click.echo(json.dumps(view, indent=2) if form == "json" else text_of(view))
    sys.exit(FINDINGS if errors else FINE)


@keys.command("revoke")
@click.argument("name")
@IN_DIRECTORY
def keys_revoke(name: str, directory: Path) -> None:
    """Remove the key NAME from keys.yaml.

    Everything else in the file stays. A running server takes the change like any other.
    """
    file = directory / "keys.yaml"
    if not os.path.lexists(file):
        stop(f"there is no keys.yaml in {directory}")
    _changed(file, lambda old: (_without(old, name), ""), write=True)
    click.echo(f"removed `{name}` from {file}", err=True)


def _without(old: str, name: str) -> str:
    try:
        return without_entry(old, name)
    except NotEditableError as error:
        _refuse(error, old)


def _changed(file: Path, change: Callable[[str], tuple[str, str]], *, write: bool) -> str:
    """Apply `change`, which returns the new text and what was added; write the file if `write`."""
    try:
        with only_writer(file) if write else nullcontext():
            new, added = change(_text_of(file))
            if write:
                replace_file(file, new.encode())
    except OSError as error:
        stop(f"{file} cannot be written: {error.strerror}")
    return added


def _with(old: str, fields: Fields, file: Path) -> tuple[str, str]:
    """The text with the entry, checked, and the entry."""
    try:
        new = with_entry(old, fields)
    except NotEditableError as error:
        _refuse(error, old)
    new = (_modeline(file.parent) if not old.strip() else "") + new
    document, found = parse_document(file.name, new.encode())
    found += check_schema(document, "keys")[0] if document else []
    found = [d for d in found if d.severity is Severity.ERROR]
    if found:
        click.echo(render(found, {file.name: document} if document else {}), err=True)
        stop("the entry was not written")
    return new, "\n".join(entry_lines(fields)) + "\n"


def _refuse(error: NotEditableError, text: str) -> NoReturn:
    found: list[Diagnostic] = list(error.found)
    if found:
        shown = unread_document("keys.yaml", text.encode())
        click.echo(render(found, {"keys.yaml": shown} if shown else {}), err=True)
    stop(f"{error}; nothing was changed")


def _names(given: tuple[str, ...]) -> list[str] | None:
    """The names of an option that may be repeated and may hold commas; None when it is not given."""
    if not given:
        return None
    return list(
        dict.fromkeys(n for text in given for part in text.split(",") if (n := part.strip()))
    )


def _when(text: str, now: float) -> str:
    """A time for `expires`: as it was given, or so many days from now."""
    if re.fullmatch(r"[1-9][0-9]{0,4}d", text):
        return (
            (datetime.fromtimestamp(now, UTC) + timedelta(days=int(text[:-1]))).date().isoformat()
        )
    moment = parse_expiry(text) if re.match(r"\d{4}-\d\d-\d\d", text) else None
    if moment is None:
        stop(
            "`--expires` must be a date such as 2030-01-01, a time with its zone, or days such as 90d"
        )
    if moment <= now:
        stop("`--expires` is in the past")
    return text


def _refuse_unknown_endpoints(directory: Path, wanted: Sequence[str]) -> None:
    known = load(directory, os.environ, time.time()).config.known_endpoints if wanted else ()
    for name in wanted if known else ():
        refuse_unknown_name("endpoint", name, "routes.yaml", known)


def _modeline(directory: Path) -> str:
    """The first line of a new keys.yaml, which names the schema to an editor if it is there."""
    schema = "schemas/keys.schema.json"
    if not (directory / schema).exists():
        return ""
    return f"# yaml-language-server: $schema=./{schema}\n"


def _text_of(file: Path) -> str:
    """The text of `file` with its line ends as they are; "" when it is not there."""
    try:
        return read_file(file).decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        stop(f"{file} is not UTF-8 text")
    except OSError as error:
        stop(f"{file} cannot be read: {why_not(file, error)}")
