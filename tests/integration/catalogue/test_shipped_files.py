"""The shipped files as a whole: in every environment, in another spelling, and as `engine show` prints them."""

import random
import re
from collections.abc import Callable
from pathlib import Path

from engine.config.diagnostics.diagnostic import Severity
from engine.config.load import load
from tests.servers import ROOT
from tests.unit.cli.running import engine, plain
from tests.unit.cli.test_show import check_bare
from tests.unit.config.folders import NOW

__all__ = ["plain"]

TURNS = 7  # of which each loads all
PLAUSIBLE = ("acme", "acme-prod-01", "eu-west-1", "2025-01-01", "a" * 32, "10.0.0.7")


def shaping() -> dict[str, tuple[str, ...]]:
    """The variables of the shipped file, and the choices of each."""
    variables = [v for p in load(ROOT, {}, NOW).config.providers for v in p.variables if v.env]
    return {variable.env[0]: tuple(variable.choices or ()) for variable in variables}


def evenly(choices: tuple[str, ...], most: int) -> tuple[str, ...]:
    """At most `most` of `choices`: the regions of a cloud all have one form."""
    return choices[:: -(-len(choices) // most)]


def environments(shapes: dict[str, tuple[str, ...]]) -> list[dict[str, str]]:
    """The choices of every variable, of many some, and plausible values of the others."""
    chosen = {name: evenly(choices, TURNS) for name, choices in shapes.items() if choices}
    others = [n for n in shapes if n not in chosen and not n.endswith(("_URL", "_BASE"))]
    return [
        {name: choices[turn % len(choices)] for name, choices in chosen.items()}
        | {name: PLAUSIBLE[turn % len(PLAUSIBLE)] for name in others}
        for turn in range(TURNS)
    ]


def test_the_shipped_tests_hold_in_every_environment() -> None:
    shapes = shaping()
    chosen = {name for name, choices in shapes.items() if choices}
    assert chosen >= {"OPENAI_HOST", "AWS_REGION", "MOONSHOT_HOST"}
    for environ in environments(shapes):
        loaded = load(ROOT, environ, NOW)
        errors = [d for d in loaded.diagnostics if d.severity is Severity.ERROR]
        assert errors == [], environ
        assert loaded.plan is not None


def shuffled(text: str) -> str:
    """routes.yaml with its rules and tests in another order."""
    lines = text.splitlines()
    moved = [n for n, line in enumerate(lines) if re.match(r"  - \{(prefix|model):", line)]
    order = random.Random(7).sample(moved, len(moved))
    taken = [lines[n] for n in order]
    for n, line in zip(moved, taken, strict=True):
        lines[n] = line
    return "\n".join(lines) + "\n"


REWRITES: dict[str, Callable[[str, str], str]] = {
    "another order": lambda name, text: shuffled(text) if name == "routes" else text,
    "no comments": lambda _, text: re.sub(r"(^|\s)#.*", "", text),
    "equal durations": lambda _, text: text.replace("10m", "600s").replace("64MiB", "65536KiB"),
    "spaces in templates": lambda _, text: text.replace("{{ ", "{{").replace(" }}", "  }}").replace(" | ", "|"),
    "other quotes": lambda _, text: re.sub(r'"([^"\'\\\n]*)"', r"'\1'", text),
}  # fmt: skip


def respelled(name: str, text: str) -> str:
    """The shipped file `name` with every rewrite, of which each changes it or the other one."""
    for rewrite in REWRITES.values():
        text = rewrite(name, text)
    return text


def test_every_rewrite_changes_a_shipped_file() -> None:
    texts = {name: (ROOT / f"{name}.yaml").read_text("utf-8") for name in ("routes", "providers")}
    for rewrite in REWRITES.values():
        after = {name: rewrite(name, text) for name, text in texts.items()}
        assert after != texts
        texts = after


def test_another_spelling_has_no_effect(tmp_path: Path) -> None:
    for name in ("routes", "providers"):
        text = (ROOT / f"{name}.yaml").read_text("utf-8")
        (tmp_path / f"{name}.yaml").write_text(respelled(name, text), "utf-8")
    result = engine("diff", ROOT, tmp_path, "--exit-code")
    assert (result.stdout, result.exit_code) == ("no effect\n", 0)


def test_what_is_shown_bare_compiles_to_the_same_plan(tmp_path: Path) -> None:
    check_bare(ROOT, tmp_path)


def test_one_endpoint_of_the_shipped_files_fits_a_few_pages() -> None:
    shown = engine("show", ROOT, "--endpoint", "rerank").stdout
    assert len(shown.splitlines()) < 450
    assert "listing:" not in shown
    assert "  - {prefix: jina/, provider: jina, strip: true}  # routes.yaml:" in shown
