"""`test`: asks whether requests go where the tests of a configuration say."""

import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from engine.cli.common import refuse_errors, render
from engine.cli.console import json_text
from engine.cli.exits import FINDINGS, OK, stop
from engine.config.checks.registry import CheckContext
from engine.config.checks.tests import read_tests, run_test
from engine.config.load import Loaded, load
from engine.config.rules import RoutingTest
from engine.config.source.document import Document
from engine.config.source.files import read_file, unreadable_reason
from engine.report.tests import render_junit, render_text, view_tests

LocatedTest = tuple[Document, RoutingTest]


class _Pattern(click.ParamType[re.Pattern[str]]):
    name = "regex"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> re.Pattern[str]:
        try:
            return re.compile(str(value))
        except re.error as error:
            self.fail(f"{value!r} is not a regular expression: {error.msg}", param, ctx)


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--run", type=_Pattern(), help="Only tests whose `ENDPOINT MODEL` this finds.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "junit"]), default="text",
    show_default=True,
)  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="A line for each test that passes, too.")
def test(
    paths: tuple[Path, ...],
    run: re.Pattern[str] | None,
    form: str,
    verbose: bool,  # noqa: FBT001 click's
) -> None:
    """Run the `tests:` of routes.yaml and of the files in PATHS; nothing is called.

    A folder in PATHS is the configuration, the current one by default. A file holds `tests:` as in
    routes.yaml. Exits with 0 when all pass, 1 when one fails, 2 when they could not be run.
    """
    folders = [path for path in paths if path.is_dir()]
    if len(folders) > 1:
        stop("name one folder; more tests are named as files")
    loaded = load(folders[0] if folders else Path(), os.environ, time.time())
    plan = loaded.declared() if loaded.declared else refuse_errors(loaded)
    every = [(loaded.documents["routes.yaml"], t) for t in loaded.config.tests]
    every += _more(loaded, [path for path in paths if not path.is_dir()])
    chosen = [(d, t) for d, t in every if run is None or run.search(f"{t.endpoint} {t.model}")]
    if run is not None and not chosen:
        stop(f"--run fits none of {len(every)} tests")
    view = view_tests([(d, run_test(plan, t)) for d, t in chosen], len(every) - len(chosen))
    match form:
        case "json":
            text = json_text(view)
        case "junit":
            text = render_junit(view)
        case _:
            text = render_text(view, verbose=verbose)
    click.echo(text, nl=False)
    sys.exit(OK if view["ok"] else FINDINGS)


def _more(loaded: Loaded, files: Sequence[Path]) -> list[LocatedTest]:
    """The tests of separate files; a file with errors ends the run."""
    subject = CheckContext(loaded.config, loaded.documents, {}, 0)
    found: list[LocatedTest] = []
    for file in files:
        tests, document, problems = read_tests(str(file), _bytes_of(file), subject)
        if problems or document is None:
            click.echo(render(problems, {str(file): document} if document else {}), err=True)
            stop(f"the tests of {file} were not run")
        found += [(document, test) for test in tests]
    return found


def _bytes_of(file: Path) -> bytes:
    try:
        return read_file(file)
    except OSError as error:
        stop(f"{file} cannot be read: {unreadable_reason(file, error)}")
