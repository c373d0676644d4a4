"""`check` and `schema`: whether a configuration is right, and what it may contain."""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from engine.cli.common import FOLDER, FolderPath, number, unconfigured_line
from engine.cli.console import COLOUR, wants_colour, width_of
from engine.cli.exits import FINDINGS, OK, stop
from engine.cli.fix import fix_folder, fix_options, fixable_summary
from engine.config.diagnostics.catalogue import UnknownFindingError, find_kinds
from engine.config.diagnostics.codes import FINDING_KINDS
from engine.config.diagnostics.diagnostic import Diagnostic, Severity
from engine.config.files import FILES
from engine.config.load import Loaded, load, startup_problems, stops_serving
from engine.config.schema.schemas import read_schema
from engine.config.source.document import MAX_BYTES

_ORDER = [Severity.ERROR, Severity.WARNING, Severity.NOTE]
_LEVELS = click.Choice([severity.value for severity in _ORDER])
_FORMATS = click.Choice(["auto", "text", "concise", "json", "sarif", "github"])
_STDIN = Path("-")


class _Source(FolderPath):
    """A folder, or - for standard input."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return _STDIN if value == "-" else super().convert(value, param, ctx)


@dataclass(frozen=True, slots=True)
class _Report:
    """What to report: the chosen findings, those left out, and how to write them."""

    loaded: Loaded
    chosen: tuple[Diagnostic, ...]
    ignored: tuple[Diagnostic, ...]
    folder: str
    colour: str
    verbose: bool
    offers_fixes: bool


def _codes(_context: Any, parameter: click.Parameter, words: tuple[str, ...]) -> frozenset[str]:
    """The codes that an option names, by code, name or prefix."""
    found: set[str] = set()
    for word in ",".join(words).replace(" ", "").split(",") if words else ():
        try:
            kinds = find_kinds(word)
        except UnknownFindingError as error:
            raise click.BadParameter(str(error)) from error
        if parameter.name == "ignore":
            kept = [r for r in kinds if r.ignorable or r.severity is not Severity.ERROR]
            if not kept:
                raise click.BadParameter(
                    f"`{word}` cannot be ignored: nothing could be served then"
                )
            kinds = kept
        found |= {kind.code for kind in kinds}
    return frozenset(found)


@click.command()
@click.argument("directory", default=".", type=_Source())
@click.option("-C", "--directory", "folder", type=FOLDER, help="With -, where the other files are.")  # fmt: skip
@click.option(
    "--stdin-filename",
    type=click.Path(path_type=Path),
    help="With -, the file whose text is read from standard input.",
)
@click.option("--format", "form", type=_FORMATS, default="auto", show_default=True)
@click.option("--select", multiple=True, metavar="CODES", callback=_codes, help="Report only these: codes, names, or prefixes such as X2.")  # fmt: skip
@click.option("--ignore", multiple=True, metavar="CODES", callback=_codes, help="Report all but these.")  # fmt: skip
@click.option("--fail-on", type=_LEVELS, default="error", show_default=True)
@click.option("--audit", is_flag=True, help="Also report advice.")
@click.option("--serve", "as_serve", is_flag=True, help="Also fail on what keeps `engine serve` from starting in this environment.")  # fmt: skip
@COLOUR
@click.option(
    "-v", "--verbose", is_flag=True, help="Name each environment variable that is not set."
)
@fix_options
def check(  # noqa: PLR0913, PLR0917 one parameter an option
    directory: Path,
    folder: Path | None,
    stdin_filename: Path | None,
    form: str,
    select: frozenset[str],
    ignore: frozenset[str],
    fail_on: str,
    audit: bool,  # noqa: FBT001 click's
    as_serve: bool,  # noqa: FBT001 click's
    colour: str,
    verbose: bool,  # noqa: FBT001 click's
    fix: bool,  # noqa: FBT001 click's
    unsafe_fixes: bool,  # noqa: FBT001 click's
    diff: bool,  # noqa: FBT001 click's
) -> None:
    """Check the configuration in DIRECTORY exactly as `serve` would, without starting it.

    DIRECTORY may be -, to check the text of one file from standard input.

    Exits with 0 when it is fine, 1 when something was found, 2 when it could not be checked.
    """
    directory, overrides = _source(directory, folder, stdin_filename)
    reported = (select or set(FINDING_KINDS)) - ignore
    if unsafe_fixes and not (fix or diff):
        raise click.UsageError("--unsafe-fixes needs --fix or --diff")
    if fix or diff:
        if overrides:
            raise click.UsageError("--fix and --diff need a folder, not -")
        fix_folder(directory, os.environ, reported, unsafe=unsafe_fixes, only_diff=diff)
    loaded = load(directory, os.environ, time.time(), overrides=overrides, audit=audit)
    form = _format() if form == "auto" else form
    chosen = tuple(
        d
        for d in loaded.diagnostics
        if d.code in reported
        and (verbose or form == "json" or d.code in select or not _is_local(d))
    )
    ignored = tuple(d for d in loaded.diagnostics if d.code not in reported)
    offers = not (fix or diff or overrides)
    report = _Report(loaded, chosen, ignored, _shown(directory, form), colour, verbose, offers)
    _WRITERS.get(form, _write_data)(report, form)
    failing = _ORDER[: _ORDER.index(Severity(fail_on)) + 1]
    found = [d for d in loaded.diagnostics if d.code in reported and d.severity in failing]
    sys.exit(FINDINGS if found or (as_serve and startup_problems(loaded)) else OK)


def _source(
    directory: Path, folder: Path | None, name: Path | None
) -> tuple[Path, Mapping[str, bytes]]:
    """The folder to check, and the text from standard input that stands for one of its files."""
    if directory != _STDIN:
        if folder is not None or name is not None:
            raise click.UsageError("-C and --stdin-filename need - in place of DIRECTORY")
        return directory, {}
    if name is None or name.name not in FILES:
        names = ", ".join(FILES)
        raise click.UsageError(f"- needs --stdin-filename, and it ends in one of {names}")
    where = folder or name.parent
    if not where.is_dir():
        stop(f"there is no folder {where}")
    return where, {name.name: sys.stdin.buffer.read(MAX_BYTES + 1)}


def _format() -> str:
    return "github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text"


def _is_local(d: Diagnostic) -> bool:
    """Whether it is only about something missing in this environment, which one line sums up."""
    return d.code.startswith("E") and d.severity is Severity.NOTE


def _shown(directory: Path, form: str) -> str:
    """What to put before file names: the folder as seen from here, or from the repository's root."""
    root = os.environ.get("GITHUB_WORKSPACE") if form in ("github", "sarif") else None
    relative = Path(os.path.relpath(directory.resolve(), Path(root or ".").resolve()))
    shown = directory if relative.parts[:1] == ("..",) else relative
    return "" if shown == Path() else f"{shown.as_posix()}/"


def _write_data(report: _Report, form: str) -> None:
    from engine.report.view import Findings  # noqa: PLC0415 only the format asked for is imported

    loaded = report.loaded
    findings = Findings(report.chosen, loaded.documents, loaded.suppressed, report.folder)
    match form:
        case "json":
            from engine.report.json import render_json as render  # noqa: PLC0415 the same
        case "sarif":
            from engine.report.sarif import render_sarif as render  # noqa: PLC0415 the same
        case "concise":
            from engine.report.lines import render_concise as render  # noqa: PLC0415 the same
        case _:
            from engine.report.lines import render_github as render  # noqa: PLC0415 the same
    click.echo(render(findings), nl=False)


def _write_github(report: _Report, form: str) -> None:
    _write_data(report, form)
    _close(report)


def _write_text(report: _Report, _form: str) -> None:
    from engine.report.text import render_text  # noqa: PLC0415 only the format asked for

    colour = wants_colour(sys.stdout, report.colour)
    if report.chosen:
        text = render_text(
            report.chosen,
            report.loaded.documents,
            colour=colour,
            width=width_of(sys.stdout),
            folder=report.folder,
        )
        click.echo(text, color=colour)
    _close(report)


def _close(report: _Report) -> None:
    """The last lines: a summary of what was found or checked, and what was left out."""
    from engine.report.text import summary  # noqa: PLC0415 only the format asked for

    loaded, chosen, ignored = report.loaded, report.chosen, report.ignored
    hidden = len(loaded.suppressed)
    if chosen:
        click.echo(summary(chosen, len(loaded.documents), hidden))
        worst = min(chosen, key=lambda d: _ORDER.index(d.severity))
        click.echo(f"for more about a code: engine explain {worst.code}")
        if report.offers_fixes and (offer := fixable_summary(chosen)):
            click.echo(offer)
    else:
        config = loaded.config
        click.echo(
            f"ok: {number(loaded.documents, 'file')}, {number(config.endpoints, 'endpoint')}, "
            f"{number(config.providers, 'provider')}, {number(config.rules, 'model rule')}, "
            f"{number(config.tests, 'test')}" + (f" ({hidden} suppressed)" if hidden else "")
        )
    errors = sum(stops_serving(d) for d in ignored)
    if ignored:
        stops = f"; {errors} of them would stop `engine serve`" if errors else ""
        click.echo(f"note: left out by --select or --ignore: {len(ignored)}{stops}")
    if loaded.plan is not None and (words := startup_problems(loaded)):
        click.echo(f"note: `engine serve` does not start here: {'; '.join(words)}")
    if not report.verbose:
        for note in unconfigured_line(loaded):
            click.echo(note)


_WRITERS = {"text": _write_text, "github": _write_github}


@click.command()
@click.argument("name", type=click.Choice([*FILES.values(), "tests", "diagnostics"]))
def schema(name: str) -> None:
    """Print the JSON Schema of a configuration file, of a file of tests, or of findings."""
    click.echo(read_schema(name), nl=False)
