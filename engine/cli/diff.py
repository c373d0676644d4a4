"""`diff`: what a change of configuration does to requests."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from engine.cli.common import refuse_errors
from engine.cli.console import json_text
from engine.cli.exits import FINDINGS, OK, stop
from engine.config.files import FILES, OPTIONAL
from engine.config.load import Loaded, load
from engine.report.diff import render_text, view_diff
from engine.report.effects import effects, probes
from engine.report.matching_requests import matching_requests


@click.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW", default=".")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when they differ.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def diff(old: str, new: str, exit_code: bool, form: str) -> None:  # noqa: FBT001 click's
    """Say what changes for requests between OLD and NEW.

    Each is a folder, or git:REVISION for this folder at that revision, such as git:HEAD~1.
    """
    sides = [_loaded(name) for name in (old, new)]
    configs = [side.config for side in sides]
    models, asked = probes(*configs), matching_requests(*configs)
    view = view_diff(*(effects(side, models, asked) for side in sides))
    click.echo(json_text(view) if form == "json" else render_text(view), nl=False)
    sys.exit(FINDINGS if exit_code and not view["same"] else OK)


def _loaded(name: str) -> Loaded:
    with _folder(name) as folder:
        loaded = load(folder, os.environ, time.time())
    if loaded.plan_before_tests is None:
        click.echo(f"{name} has errors:\n", err=True)
        refuse_errors(loaded)
    return loaded


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    """The folder called `name`; a revision of git is written into a folder for the time being."""
    kind, _, revision = name.partition(":")
    if kind != "git" or Path(name).is_dir():
        if Path(name).is_file():
            stop(f"`{name}` is a file; give the folder it is in, or git:REVISION")
        if not Path(name).is_dir():
            stop(f"there is no folder {name}; a revision is written git:REVISION")
        yield Path(name)
        return
    with tempfile.TemporaryDirectory() as folder:
        for file in FILES:
            raw = _at_revision(revision, file)
            if raw is not None:
                (Path(folder) / file).write_bytes(raw)
        yield Path(folder)


def _at_revision(revision: str, file: str) -> bytes | None:
    """A file as it was at a revision; None for an optional one that was not there."""
    if not revision or revision.startswith("-"):
        stop(f"`{revision}` is not a revision")
    try:
        done = subprocess.run(  # noqa: S603 no shell, and the revision cannot be an option
            ["git", "show", f"{revision}:./{file}"],  # noqa: S607 the operator's own git
            capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except FileNotFoundError:
        stop("git is not installed")
    words = done.stderr.decode(errors="replace").strip()
    is_absent = re.search(r"exists on disk, but not in|does not exist in", words) is not None
    if done.returncode != 0 and not (file in OPTIONAL and is_absent):
        stop(f"git: {words}")
    return done.stdout if done.returncode == 0 else None
