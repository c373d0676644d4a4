"""`check --fix`: reads the files, applies fixes, and writes or shows the change."""

import time
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from engine.cli.common import unified_diff
from engine.cli.exits import stop
from engine.cli.files import replace_file
from engine.config.diagnostics.diagnostic import Applicability, Diagnostic
from engine.config.diagnostics.fixes import Texts, fix_all
from engine.config.files import FILES
from engine.config.load import load
from engine.config.source.files import MAX_READ, read_file


def fix_options(command: Any) -> Any:
    """The options of `check` about fixes."""
    options = (
        click.option("--fix", is_flag=True, help="Apply the fixes that cannot change a meaning."),
        click.option("--unsafe-fixes", is_flag=True, help="With --fix or --diff, also likely fixes."),
        click.option("--diff", is_flag=True, help="Change nothing, and show what --fix would."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def fix_folder(
    directory: Path,
    environ: Mapping[str, str],
    codes: Container[str],
    *,
    unsafe: bool,
    only_diff: bool,
) -> None:
    """Fix the findings of `codes` in `directory`, or show what would change; a summary goes to stderr."""

    def check(texts: Texts) -> Sequence[Diagnostic]:
        overrides = {name: text.encode() for name, text in texts.items()}
        return load(directory, environ, time.time(), overrides=overrides).diagnostics

    texts = _texts(directory)
    fixed = fix_all(texts, check, unsafe=unsafe, codes=codes)
    for name, text in fixed.texts.items():
        if text != texts[name] and only_diff:
            click.echo(unified_diff(name, texts[name], text), nl=False)
        elif text != texts[name]:
            _write(directory / name, text)
    verb = "would fix" if only_diff else "fixed"
    for d in fixed.applied:
        click.echo(f"{verb} {d.span}: {d.code} {d.name}", err=True)
    for d in fixed.refused:
        click.echo(
            f"not fixed {d.span}: {d.code} {d.name}: the fix would leave more errors", err=True
        )
    unsure = sum(
        d.fix is not None and d.fix.applicability is Applicability.UNSAFE for d in fixed.left
    )
    if unsure and not unsafe:
        click.echo(f"{unsure} more with --unsafe-fixes, which are likely but not certain", err=True)


def fixable_summary(found: Iterable[Diagnostic]) -> str:
    """How many of the findings can be fixed, and how; "" if none can be."""
    fixes = Counter(d.fix.applicability for d in found if d.fix and d.fix.span.file in FILES)
    sure, unsure = fixes[Applicability.SAFE], fixes[Applicability.UNSAFE]
    ways = [(sure, "--fix"), (unsure, "--fix --unsafe-fixes")]
    offers = [f"{count} with {options}" for count, options in ways if count]
    return f"fixable: {', '.join(offers)}" if offers else ""


def _texts(directory: Path) -> dict[str, str]:
    """The texts that can be fixed; the check reports what is wrong with other files."""
    texts = {}
    for name in FILES:
        try:
            raw = read_file(directory / name)
            if len(raw) <= MAX_READ:
                texts[name] = raw.decode("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    return texts


def _write(file: Path, text: str) -> None:
    try:
        replace_file(file, text.encode())
    except OSError as error:
        stop(f"{file} cannot be written: {error.strerror}")
