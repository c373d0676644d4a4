"""`init`: writes a configuration to start from."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from engine.cli.common import FolderPath
from engine.cli.exits import stop
from engine.config.new_key import digest, new_key
from engine.config.resources import shipped, starter
from engine.importers.starter import (
    chosen,
    configured,
    known_endpoints,
    known_providers,
    starter_files,
)
from engine.plan.suggest import nearest

FILES = "routes", "providers", "keys", "server", "prices"
SCHEMAS = [f"schemas/{name}.schema.json" for name in FILES]
EDITORS = {"vscode": ("settings.json", "extensions.json")}


@click.command()
@click.argument("directory", type=FolderPath(exists=False))
@click.option("--minimal", is_flag=True, help="Start from one provider, not all that are known.")
@click.option(
    "--providers", metavar="NAMES", help="Only these, separated by commas; `set`: those with a key."
)
@click.option("--endpoints", metavar="NAMES", help="Only these, separated by commas.")
@click.option("--key", metavar="NAME", help="Also make a gateway key, shown once.")
@click.option(
    "--editor", type=click.Choice(list(EDITORS)), help="Settings that show an editor the schemas."
)
def init(  # noqa: PLR0913, PLR0917 one parameter an option
    directory: Path,
    minimal: bool,  # noqa: FBT001 click's
    providers: str | None,
    endpoints: str | None,
    key: str | None,
    editor: str | None,
) -> None:
    """Write a configuration that works and its schemas into DIRECTORY; nothing is overwritten.

    Without options it is the shipped one, with all providers. On a terminal
    it asks which providers and endpoints you want.
    """
    if providers is None and endpoints is None and not minimal and _is_terminal():
        providers, endpoints = _ask()
    texts = _texts(minimal, providers, endpoints)
    texts |= {name: shipped(name).read_text("utf-8") for name in SCHEMAS}
    if editor:
        texts |= {
            f".{editor}/{n}": starter(f"{editor}-{n}").read_text("utf-8") for n in EDITORS[editor]
        }
    new = new_key() if key else ""
    if key:
        entry = f"version: 1\nkeys:\n  - {{name: {key}, sha256: {digest(new)}}}\n"
        texts["keys.yaml"] = f"# yaml-language-server: $schema=./{SCHEMAS[2]}\n{entry}"
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", key):
            stop("`--key` must be a name of letters, digits, `.`, `_` and `-`")
    taken = [name for name in texts if (directory / name).exists()]
    if taken:
        stop(f"{directory} already has {', '.join(taken)}; choose another folder")
    for name, text in texts.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, "utf-8")
        click.echo(f"wrote {directory / name}", err=bool(key))
    if key:
        click.echo("the key, shown this once:", err=True)
        click.echo(new)
    make_key = "" if key else f"engine keys new NAME --write -C {directory}; "
    click.echo(
        f"next: {_to_set(texts, directory)}{make_key}engine serve {directory}", err=bool(key)
    )


def _to_set(texts: Mapping[str, str], directory: Path) -> str:
    """What to do first, where a variable of .env.example is not set here."""
    found = re.findall(r"(?m)^(# optional\n)?(\w+)=", texts.get(".env.example", ""))
    missing = [name for optional, name in found if not optional and not os.environ.get(name)]
    return f"set what {directory / '.env.example'} names; " if missing else ""


def _texts(minimal: bool, providers: str | None, endpoints: str | None) -> dict[str, str]:  # noqa: FBT001 an option
    """The two files, and .env.example where providers were chosen."""
    if minimal and (providers or endpoints):
        stop("`--minimal` goes with neither `--providers` nor `--endpoints`")
    if providers is None and endpoints is None:
        find = starter if minimal else shipped
        return {name: find(name).read_text("utf-8") for name in ("routes.yaml", "providers.yaml")}
    known = list(known_providers())
    if providers is None or providers.strip() == "all":
        names = known
    elif providers.strip() == "set":
        names = configured(os.environ)
        if not names:
            stop("no variable of a known provider is set; name some with `--providers NAME,NAME`")
    else:
        names = _all_known("provider", providers, known)
    available = known_endpoints(names)
    chosen_endpoints = (
        available
        if endpoints is None or endpoints.strip() == "all"
        else _all_known("endpoint", endpoints or "", available)
    )
    return starter_files(names, chosen_endpoints)


def _all_known(kind: str, text: str, known: list[str]) -> list[str]:
    """The names in `text`; the run ends for one that is not known."""
    names, problem = _chosen(kind, text, known)
    if problem:
        stop(problem)
    return names


def _chosen(kind: str, text: str, known: list[str]) -> tuple[list[str], str]:
    """The names in `text`, and what is wrong with it, "" if nothing is."""
    names, others = chosen(text, known)
    for name in others:
        hint = nearest(name, known)
        end = f"; did you mean `{hint}`?" if hint else f": {', '.join(known)}"
        return names, f"there is no {kind} `{name}`{end}"
    return names, "" if names else f"no {kind} was named"


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask() -> tuple[str | None, str | None]:
    """Which providers and endpoints a person wants; None for the shipped configuration."""
    found = configured(os.environ)
    rest = [name for name in known_providers() if name not in found]
    if found:
        click.echo(f"with a key in this environment: {', '.join(found)}")
    click.echo(f"others: {', '.join(rest)}")
    providers = _prompt("provider", list(known_providers()), ",".join(found) or "all")
    if providers == "all":
        return None, None
    names, _ = chosen(providers, list(known_providers()))
    click.echo(f"endpoints: {', '.join(known_endpoints(names))}")
    return providers, _prompt("endpoint", known_endpoints(names), "all")


def _prompt(kind: str, known: list[str], default: str) -> str:
    """Ask until the names are known ones, or `all`."""

    def checked(text: str) -> str:
        problem = "" if text.strip() == "all" else _chosen(kind, text, known)[1]
        if problem:
            raise click.UsageError(problem)
        return text.strip()

    return str(click.prompt(f"{kind}s, or all", default=default, value_proc=checked))
