"""`init` and `keys`: the commands that write files."""

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from engine.cli.common import IN_DIRECTORY, render, stop
from engine.cli.writing import only_writer, replace_file
from engine.config.document import parse_document
from engine.config.schema import check_schema
from engine.files import read_file, why_not
from engine.keys import new_key, with_entry
from engine.resources import shipped, starter

SCHEMAS = [f"schemas/{name}.schema.json" for name in ("routes", "providers", "keys")]
EDITORS = {"vscode": ("settings.json", "extensions.json")}


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--minimal", is_flag=True, help="One provider to start from, not all that are known.")
@click.option(
    "--editor", type=click.Choice(list(EDITORS)), help="Settings that show an editor the schemas."
)
def init(directory: Path, minimal: bool, editor: str | None) -> None:  # noqa: FBT001 click's
    """Write a configuration that works and its schemas into DIRECTORY; nothing is overwritten."""
    find = starter if minimal else shipped
    files = {name: find(name) for name in ("routes.yaml", "providers.yaml")}
    files |= {name: shipped(name) for name in SCHEMAS}
    if editor:
        files |= {f".{editor}/{n}": starter(f"{editor}-{n}") for n in EDITORS[editor]}
    taken = [name for name in files if (directory / name).exists()]
    if taken:
        stop(f"{directory} already has {', '.join(taken)}; choose another folder")
    for name, source in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, directory / name)
        click.echo(f"wrote {directory / name}")
    click.echo(f"next: engine keys new NAME --write -C {directory}; engine serve {directory}")


@click.group()
def keys() -> None:
    """Gateway keys."""


@keys.command("new")
@click.argument("name")
@click.option("--write", is_flag=True, help="Add the entry to keys.yaml.")
@IN_DIRECTORY
def keys_new(name: str, write: bool, directory: Path) -> None:  # noqa: FBT001 click's
    """Make a key for NAME. The key is shown once; keys.yaml holds only its SHA-256."""
    key = new_key()
    file = directory / "keys.yaml"
    try:
        with only_writer(file) if write else nullcontext():
            added = _add(file, name, key, write=write)
    except OSError as error:
        stop(f"{file} cannot be written: {error.strerror}")
    where = f"added to {file}" if write else "add this under `keys:` in keys.yaml"
    click.echo(f"{where}:\n{added}", err=True)
    click.echo("the key, shown this once:", err=True)
    click.echo(key)


def _add(file: Path, name: str, key: str, *, write: bool) -> str:
    """The entry of a new key, written into the file if asked for."""
    old = _text_of(file)
    text = _modeline(file.parent, old) + with_entry(old, name, key)
    added = text.removeprefix(old) if write else with_entry("", name, key).partition("keys:\n")[2]
    document, found = parse_document(file.name, text.encode())
    found += check_schema(document, "keys")[0] if document else []
    if document is not None and not _is_last_and_unique(document.data, name):
        stop(
            "keys.yaml cannot take the entry as it is; the name may be taken, or `keys:` is not its last section"
        )
    if found:
        click.echo(render(found, {file.name: document} if document else {}), err=True)
        stop("the entry was not written")
    if write:
        replace_file(file, text.encode())
    return added


def _modeline(directory: Path, old: str) -> str:
    """The first line of a new keys.yaml, which names the schema to an editor if it is there."""
    schema = "schemas/keys.schema.json"
    if old.strip() or not (directory / schema).exists():
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


def _is_last_and_unique(data: Any, name: str) -> bool:
    entries = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(entries, list) or not isinstance(entries[-1], dict):
        return False
    names = [entry.get("name") for entry in entries if isinstance(entry, dict)]
    return names[-1] == name and names.count(name) == 1
