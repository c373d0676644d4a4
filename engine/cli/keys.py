"""`keys`: creates, lists and revokes the gateway keys of keys.yaml."""

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import NoReturn, Unpack

import click

from engine.cli.common import IN_DIRECTORY, refuse_unknown_name, render, report_and_stop
from engine.cli.console import json_text
from engine.cli.exits import FINDINGS, OK, stop
from engine.cli.files import only_writer, replace_file
from engine.cli.key_options import (
    ACCOUNT,
    OF_ACCOUNT,
    LimitOptions,
    expiry_of,
    limit_options,
    names_of,
)
from engine.cli.store import refuse_missing
from engine.config.diagnostics.diagnostic import Diagnostic, Severity
from engine.config.load import load
from engine.config.new_key import digest, new_key
from engine.config.schema.validation import check_schema
from engine.config.source.document import parse_document, unread_document
from engine.config.source.files import read_file, unreadable_reason
from engine.config.source.key_file import NotEditableError, entry_lines, with_entry, without_entry
from engine.config.units import parse_duration, parse_expiry
from engine.report.keys import render_text, view_keys

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
@ACCOUNT
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["use", "manage"]),
    help="With --account: what the key is for. Default: use.",
)
@limit_options
@IN_DIRECTORY
def keys_new(  # noqa: PLR0913, PLR0917 one parameter an option
    name: str,
    write: bool,  # noqa: FBT001 click's
    expires: str | None,
    models: tuple[str, ...],
    endpoints: tuple[str, ...],
    account: str | None,
    scopes: tuple[str, ...],
    directory: Path,
    **limits: Unpack[LimitOptions],
) -> None:
    """Make a key for NAME. The key is shown once; only its SHA-256 is stored.

    With --account it is one of that account in the database. Otherwise it is
    one of keys.yaml, which has its limits there.
    """
    if account is not None:
        if write:
            stop("`--write` is for keys.yaml; with `--account` the key is stored anyway")
        _new_of_account(directory, account, name, scopes, models, endpoints, expires, limits)
        return
    if any(value is not None for value in limits.values()):
        stop(
            "`--rpm` and the other limit options need `--account`; set limits of a keys.yaml key in the file"
        )
    if scopes:
        stop("`--scope` needs `--account`: a key of keys.yaml can only be used")
    key = new_key()
    fields: Fields = {"name": name, "sha256": digest(key)}
    fields |= {
        k: v
        for k, v in (("endpoints", names_of(endpoints)), ("models", names_of(models)))
        if v is not None
    }
    if expires is not None:
        fields["expires"] = expiry_of(expires, time.time())
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
@ACCOUNT
@IN_DIRECTORY
def keys_list(form: str, account: str | None, directory: Path) -> None:
    """Show the keys of keys.yaml, or with --account those of an account.

    Each with the start of its SHA-256, its limits and when it expires. Exits with 1 when keys.yaml has errors; what is wrong goes to stderr.
    """
    if account is not None:
        _account_keys().list_all(directory, account, form)
        return
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
    click.echo(json_text(view) if form == "json" else render_text(view) + "\n", nl=False)
    sys.exit(FINDINGS if errors else OK)


@keys.command("revoke")
@click.argument("name")
@ACCOUNT
@IN_DIRECTORY
def keys_revoke(name: str, account: str | None, directory: Path) -> None:
    """Remove the key NAME from keys.yaml, or end a key of an account.

    Everything else in the file stays. A running server takes the change like any other. With --account, NAME may be the id
    of a key, and it ends within a second.
    """
    if account is not None:
        _account_keys().revoke(directory, account, name)
        return
    file = directory / "keys.yaml"
    if not os.path.lexists(file):
        stop(f"there is no keys.yaml in {directory}")
    _changed(file, lambda old: (_without(old, name), ""), write=True)
    click.echo(f"removed `{name}` from {file}", err=True)


@keys.command("rotate")
@click.argument("name")
@OF_ACCOUNT
@click.option(
    "--grace",
    default="24h",
    show_default=True,
    help="How long the old key stays valid: 0s, 30m, 24h.",
)
@IN_DIRECTORY
def keys_rotate(name: str, account: str, grace: str, directory: Path) -> None:
    """Make a key in place of the key NAME of an account, with its limits.

    The new key is shown once. NAME may be an id.
    """
    if not re.fullmatch(r"[0-9]{1,6}(s|m|h)", grace):
        stop("`--grace` must be a duration such as 0s, 30m or 24h")
    _account_keys().rotate(directory, account, name, int(parse_duration(grace)))


@keys.command("import")
@OF_ACCOUNT
@IN_DIRECTORY
def keys_import(account: str, directory: Path) -> None:
    """Import keys.yaml into an account; the keys stay valid.

    keys.yaml stays as it is. Exits with 1 when a key was not imported.
    """
    loaded = load(directory, os.environ, time.time())
    errors = [d for d in loaded.diagnostics if d.span.file == "keys.yaml" and d.severity is Severity.ERROR]  # fmt: skip
    if errors:
        report_and_stop(errors, loaded)
    if not loaded.config.keys:
        stop(f"there are no keys in the keys.yaml of {directory}")
    _account_keys().import_all(directory, account, loaded.config.keys)


def _new_of_account(  # noqa: PLR0913, PLR0917 what the options say
    directory: Path,
    account: str,
    name: str,
    scopes: tuple[str, ...],
    models: tuple[str, ...],
    endpoints: tuple[str, ...],
    expires: str | None,
    limits: LimitOptions,
) -> None:
    expires_at = None if expires is None else parse_expiry(expiry_of(expires, time.time()))
    _refuse_unknown_endpoints(directory, names_of(endpoints) or ())
    _account_keys().new(
        directory,
        account,
        name=name,
        scopes=scopes,
        models=names_of(models),
        endpoints=names_of(endpoints),
        expires_at=None if expires_at is None else int(expires_at),
        limits=limits,
    )


def _account_keys() -> ModuleType:
    """The module that needs the packages of the store."""
    try:
        from engine.cli import account_keys  # noqa: PLC0415 optional packages
    except ImportError as error:
        refuse_missing(error)
    return account_keys


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
        stop(f"{file} cannot be read: {unreadable_reason(file, error)}")
