"""What the commands share: arguments, and how a run ends whose configuration is not usable."""

import difflib
import sys
from collections.abc import Iterable, Sized
from pathlib import Path
from typing import Any, NoReturn

import click

from engine.cli.console import wants_colour, width_of
from engine.cli.exits import stop
from engine.config.diagnostics.diagnostic import Diagnostic, Severity
from engine.config.load import Loaded
from engine.plan.plan import Plan
from engine.plan.suggest import nearest
from engine.report.text import render_text, summary

LIST_LENGTH = 20  # names in one line


class FolderPath(click.Path):
    """A folder. For a file in its place the message says what to give."""

    def __init__(self, *, exists: bool = True) -> None:
        super().__init__(exists=exists, file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if Path(value).is_file():
            or_nothing = "" if param and param.required else ", or nothing for the current folder"
            self.fail(f"`{value}` is a file; give the folder it is in{or_nothing}.", param, ctx)
        return super().convert(value, param, ctx)


FOLDER = FolderPath()
DIRECTORY = click.argument("directory", default=".", type=FOLDER)
IN_DIRECTORY = click.option("-C", "--directory", default=".", type=FOLDER)
ENDPOINT = click.option("--endpoint", metavar="NAME", help="Only this endpoint.")
PROVIDER = click.option("--provider", metavar="NAME", help="Only this provider.")


def refuse_errors(loaded: Loaded, outcome: str = "") -> Plan:
    """The Plan. For a configuration with errors, report them and end the run with `outcome`."""
    if loaded.plan is None:
        errors = [d for d in loaded.diagnostics if d.severity is Severity.ERROR]
        report_and_stop(errors, loaded, outcome)
    return loaded.plan


def report_and_stop(found: list[Diagnostic], loaded: Loaded, outcome: str = "") -> NoReturn:
    """Report what keeps a configuration from being used and end the run.

    The last line is `outcome` and cause; it counts all that `engine check` finds.
    """
    click.echo(render(found, loaded.documents), err=True)
    words = summary(loaded.diagnostics, len(loaded.documents), len(loaded.suppressed))
    first = found[0]
    stop(f"{outcome}: {first.span} {first.code} {first.name}; {words}" if outcome else words)


def refuse_unknown(plan: Plan, endpoint: str | None, provider: str | None) -> None:
    """End the run when an endpoint or provider is asked for that is not there."""
    names = [e.name for methods in plan.endpoints.values() for e in methods.values()]
    if endpoint is not None:
        refuse_unknown_name("endpoint", endpoint, "routes.yaml", names)
    if provider is not None:
        refuse_unknown_name("provider", provider, "providers.yaml", plan.providers)


def refuse_unknown_name(kind: str, name: str, file: str, known: Iterable[str]) -> None:
    known = list(known)
    if name not in known:
        hint = nearest(name, known)
        words = f"; did you mean `{hint}`?" if hint else ""
        stop(f"there is no {kind} `{name}` in {file}{words}")


def number(items: Sized, word: str) -> str:
    """A count with its noun in singular or plural."""
    return f"{len(items)} {word}" + ("" if len(items) == 1 else "s")


def render(found: Any, documents: Any) -> str:
    diagnostics: list[Diagnostic] = list(found)
    colour = wants_colour(sys.stderr)
    return render_text(diagnostics, documents, colour=colour, width=width_of(sys.stderr))


def unconfigured_line(loaded: Loaded) -> list[str]:
    """One line for all providers that have no credential in this environment."""
    names = unconfigured_providers(loaded)
    if not names:
        return []
    reported = ", ".join(names[:LIST_LENGTH]) + (
        f" and {len(names) - LIST_LENGTH} more" * (len(names) > LIST_LENGTH)
    )
    lacking = "a key or variable is not set here for these providers"
    first = f"note: {lacking}; calls to them fail with `provider_key_missing`: {reported}"
    return [first, *(f"note: {d.message}" for d in _uninstalled(loaded))]


def _uninstalled(loaded: Loaded) -> list[Diagnostic]:
    """What to install for providers that lack nothing else."""
    others = {d.path[1] for d in _of_providers(loaded) if d.code != "E404"}
    found = {d.path[1]: d for d in _of_providers(loaded) if d.code == "E404"}
    return [d for name, d in found.items() if name not in others]


def unconfigured_providers(loaded: Loaded) -> list[str]:
    """The providers that lack a credential or variable in this environment."""
    return list(dict.fromkeys(str(d.path[1]) for d in _of_providers(loaded)))


def _of_providers(loaded: Loaded) -> list[Diagnostic]:
    """What the environment lacks for providers."""
    return [d for d in loaded.diagnostics if d.code[0] == "E" and d.path[:1] == ("providers",)]


def unified_diff(name: str, old: str, new: str) -> str:
    """What changes from `old` to `new`, in the format of `diff -u`."""
    before, after = ((text.replace("\r\n", "\n")).splitlines(keepends=True) for text in (old, new))
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(before, after, name, f"{name}, changed")
    )
