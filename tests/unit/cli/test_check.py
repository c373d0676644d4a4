"""The formats and options of `engine check`, and its words on a terminal."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result
from syrupy.assertion import SnapshotAssertion

from engine.cli import main
from engine.config.diagnostics.codes import FINDING_KINDS
from engine.config.examples import example
from engine.config.schema.schemas import read_schema
from engine.report.json import render_json
from engine.report.sarif import render_sarif
from engine.report.view import Findings
from tests.servers import ROOT
from tests.tables import each
from tests.unit.config.cases import load_case
from tests.unit.config.folders import TextSnapshot, minimal, provider, write

OASIS = json.loads((ROOT / "tests/unit/report/sarif-schema-2.1.0.json").read_text("utf-8"))
BROKEN = minimal("routes").replace("provider: openai}", "provider: opena}", 1)
DATA = ["json", "sarif", "concise", "github"]
LEVELS = ("level", "severity", "kind", "applicability")

Check = Callable[..., Result]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Runs `engine check` in a minimal folder, with nothing of this machine around it."""
    for name in ("NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "set")
    write(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*words: str, text: str | None = None, **files: str) -> Result:
        write(tmp_path, **files)
        result = CliRunner().invoke(main, ["check", *words], input=text)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def several(check: Check, *words: str) -> Result:
    """A folder with errors, a warning, a note and something suppressed."""
    text = provider(
        headers={"authorization": "Bearer {{ credentials.apikey }}"},
        credentials={"api_key": {"env": "NOT_SET"}},
    )
    routes = minimal("routes").replace("prefix: gpt-", "prefixx: gpt-")
    routes = routes.replace("models:", "  rerank:  # engine: ignore[X206] soon, 100 %\n    path: /v1/rerank\nmodels:")  # fmt: skip
    return check(*words, routes=routes + "  - {model: no, provider: openai}\n", providers=text)


# -- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", *DATA])
def test_each_format(form: str, check: Check, snapshot: SnapshotAssertion) -> None:
    result = several(check, "--format", form)
    assert result.exit_code == 1
    assert result.stdout == snapshot(extension_class=TextSnapshot)
    assert result.stderr == ""


@each("form", ["text", *DATA])
@each("file", ["providers", "keys"])
@each("rest", ["", "    c: d\n"])
def test_no_format_prints_a_secret_behind_a_full_width_colon(
    form: str, file: str, rest: str, check: Check
) -> None:
    secret = "sk-live-4tQ9vXbE2mZr8YkLw0Pn7Hd5Jc3Ua6Gf"
    text = f"version: 1\n{file}:\n  a:\n    api_key\uff1a {secret}     # b\n{rest}"
    result = check("--format", form, **{file: text})
    assert not rest or "this character only looks like" in result.output
    assert secret not in result.output


def closed(schema: Any) -> Any:
    """The schema without room for keys that it does not describe."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        assert all("description" in p or "$ref" in p for p in schema["properties"].values())
        made["additionalProperties"] = False
    return made


def shape(value: Any) -> object:
    """What two reports of a format have in common that fit its schema alike: keys, types, levels."""
    match value:
        case dict():
            return tuple((k, v if k in LEVELS else shape(v)) for k, v in sorted(value.items()))
        case list():
            return frozenset(map(shape, value))
        case _:
            return type(value)


def test_the_code_to_explain_is_that_of_the_first_error(check: Check) -> None:
    """A warning in a file that comes before it is not why the command failed."""
    text = minimal("providers").replace(
        "Bearer {{ credentials.api_key }}", "Bearer $OPENAI_API_KEY"
    )
    result = check(providers=text, routes=BROKEN)
    assert result.stdout.index("warning[X271]") < result.stdout.index("error[X201]")
    assert "engine explain X201\n" in result.stdout


def test_every_finding_fits_both_schemas(tmp_path: Path) -> None:
    own = jsonschema.Draft202012Validator(closed(json.loads(read_schema("diagnostics"))))
    oasis = jsonschema.Draft4Validator(OASIS)
    seen, shapes = set(), set()
    for code in FINDING_KINDS:
        loaded = load_case(code, tmp_path / code)
        found = Findings(loaded.diagnostics, loaded.documents, loaded.suppressed, "folder/")
        for render, validator in ((render_json, own), (render_sarif, oasis)):
            reported = json.loads(render(found))
            if (like := shape(reported)) not in shapes:
                validator.validate(reported)
            shapes.add(like)
        seen |= {item["ruleId"] for item in reported["runs"][0]["results"]}
    assert seen == {code for code in FINDING_KINDS if not example(code).elsewhere}


def test_the_schema_of_the_json_is_strict_enough_to_fail() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(read_schema("diagnostics")))
    assert not validator.is_valid({"format_version": "1.0", "ok": True})


def test_sarif_tells_what_is_suppressed_and_why(check: Check) -> None:
    run = json.loads(several(check, "--format", "sarif").stdout)["runs"][0]
    results: list[dict[str, Any]] = run["results"]
    silenced = [r for r in results if r["suppressions"]]
    assert [r["ruleId"] for r in silenced] == ["X206"]
    assert silenced[0]["suppressions"] == [{"kind": "inSource", "justification": "soon, 100 %"}]
    for result in results:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_json_counts_and_lists_what_is_suppressed(check: Check) -> None:
    reported = json.loads(several(check, "--format", "json").stdout)
    assert reported["summary"]["suppressed"] == 1
    assert [item["reason"] for item in reported["suppressed"]] == ["soon, 100 %"]


def test_what_json_links_to_is_there(check: Check) -> None:
    page = (ROOT / "docs/codes.md").read_text("utf-8")
    for kind in FINDING_KINDS.values():
        file, _, anchor = kind.url.partition("#")
        assert (ROOT / file).exists()
        assert re.search(rf"^### {anchor.replace('-', '[ -]')}$", page, re.M | re.I), kind.url


def test_github_escapes_what_its_commands_are_made_of(check: Check) -> None:
    folder = Path("a,b:c%d")
    folder.mkdir()
    write(folder, routes=BROKEN)
    line = check(str(folder), "--format", "github").stdout.splitlines()[0]
    assert line.startswith("::error title=X201 unknown-provider,file=a%2Cb%3Ac%25d/routes.yaml,line=10,")  # fmt: skip
    assert "::model rule `gpt-` names provider `opena`" in line
    assert "did you mean `openai`?" in line


def test_auto_is_github_inside_github_actions(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(routes=BROKEN).stdout.startswith("error[X201]")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert check(routes=BROKEN).stdout.startswith("::error ")


def test_files_are_named_as_seen_from_here_or_from_the_repository(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Path("deploy")
    inner.mkdir()
    write(inner, routes=BROKEN)
    assert check("deploy", "--format", "concise").stdout.startswith("deploy/routes.yaml:10:")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(Path.cwd()))
    monkeypatch.chdir(inner)
    assert "file=deploy/routes.yaml," in CliRunner().invoke(main, ["check", "--format", "github"]).stdout  # fmt: skip
    assert CliRunner().invoke(main, ["check", ".", "--format", "concise"]).stdout.startswith("routes.yaml")  # fmt: skip


@pytest.mark.parametrize("form", DATA)
def test_a_clean_folder(form: str, check: Check) -> None:
    result = check("--format", form)
    assert result.exit_code == 0
    assert "error" not in result.stdout.replace('"errors"', "")


# -- what is told --------------------------------------------------------------------------------


@each(
    ("words", "codes", "code"),
    [
        ((), ["X201", "Y004"], 1),
        (("--select", "X201"), ["X201"], 1),
        (("--select", "x2"), ["X201"], 1),
        (("--select", "unknown-provider, Y"), ["X201", "Y004"], 1),
        (("--select", "X201", "--select", "Y004"), ["X201", "Y004"], 1),
        (("--select", "Y"), ["Y004"], 0),
        (("--select", "Y", "--fail-on", "warning"), ["Y004"], 1),
        (("--ignore", "Y004"), ["X201"], 1),
        (("--ignore", "Y,X"), ["X201"], 1),
        (("--select", "X,Y", "--ignore", "Y"), ["X201"], 1),
    ],
)
def test_select_and_ignore(
    words: tuple[str, ...], codes: list[str], code: int, check: Check
) -> None:
    routes = BROKEN + "  - {model: no, provider: openai}\n"
    result = check(*words, "--format", "json", routes=routes)
    assert [found["code"] for found in json.loads(result.stdout)["diagnostics"]] == codes
    assert result.exit_code == code


@each(
    ("words", "said"),
    [
        (("--select", "X2O1"), "did you mean `X201`?"),
        (("--ignore", "unknown-providr"), "did you mean `unknown-provider`?"),
        (("--ignore", "X201"), "cannot be ignored"),
        (("--ignore", "S"), "cannot be ignored"),
        (("--select", "X215"), "never used again"),
        (("--stdin-filename", "routes.yaml"), "need - in place of DIRECTORY"),
        (("-",), "needs --stdin-filename"),
        (("-", "--stdin-filename", "other.yaml"), "routes.yaml, providers.yaml, keys.yaml"),
        (("-", "--stdin-filename", "nowhere/routes.yaml"), "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    words: tuple[str, ...], said: str, check: Check
) -> None:
    result = check(*words)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_an_ignored_error_is_said_to_stop_serving_still(check: Check) -> None:
    text = minimal("providers").replace("https://api.openai.com", "http://api.openai.com")
    result = check("--ignore", "X213", providers=text)
    assert result.exit_code == 0
    assert "1 of them would stop `engine serve`" in result.stdout


def test_fail_on_note_counts_what_this_machine_lacks(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check("--fail-on", "note").exit_code == 0
    monkeypatch.delenv("OPENAI_API_KEY")
    assert check().exit_code == 0
    assert check("--fail-on", "note").exit_code == 1


def test_audit_gives_advice_and_changes_no_exit_code(check: Check) -> None:
    assert "A503" not in check().stdout
    result = check("--audit")
    assert "note[A503]" in result.stdout
    assert result.exit_code == 0
    assert check("--audit", "--fail-on", "note").exit_code == 1


def test_a_suppression_of_advice_is_unused_only_when_advice_is_asked_for(check: Check) -> None:
    mute, idle = (
        minimal("routes").replace("version: 1", f"version: 1  # engine: ignore[{code}] why")
        for code in ("A503", "A501")
    )
    assert check("--audit", routes=mute).stdout.startswith("ok: ")
    assert "X292" not in check(routes=idle).stdout
    assert "X292" in check("--audit", routes=idle).stdout


# -- standard input ------------------------------------------------------------------------------


def test_standard_input_stands_for_a_file(check: Check) -> None:
    assert check().exit_code == 0
    result = check("-", "--stdin-filename", "routes.yaml", "--format", "concise", text=BROKEN)
    assert result.exit_code == 1
    assert result.stdout.startswith("routes.yaml:10:30: error[X201] ")


def test_the_other_files_are_those_beside_it_or_of_the_folder_named(check: Check) -> None:
    Path("deploy").mkdir()
    write(Path("deploy"))
    words = ("-", "--format", "concise", "--stdin-filename")
    assert check(*words, "deploy/routes.yaml", text=BROKEN).stdout.startswith("deploy/routes.yaml:")
    Path("deploy/providers.yaml").unlink()
    assert "F001" in check(*words, "deploy/routes.yaml", text=BROKEN).stdout
    result = check(*words, "deploy/routes.yaml", "-C", ".", text=BROKEN)
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["error[X201]"]


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe\x00", b"a" * 2_000_000])
def test_anything_may_come_from_standard_input(raw: bytes, check: Check) -> None:
    words = ["check", "-", "--stdin-filename", "routes.yaml"]
    result = CliRunner().invoke(main, words, input=raw)
    assert result.exit_code == 1
    assert "error[" in result.stdout


def test_a_very_long_line_is_read_and_shown_in_part(check: Check) -> None:
    text = "a: " + "x" * 100_000 + "\n"
    result = check("-", "--stdin-filename", "routes.yaml", text=text)
    assert "S102" in result.stdout
    assert max(map(len, result.stdout.splitlines())) < 250


# -- colour and width ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "words", "coloured"),
    [
        ({}, (), False),
        ({"FORCE_COLOR": "1"}, (), True),
        ({"FORCE_COLOR": ""}, (), False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, (), False),
        ({"FORCE_COLOR": "1"}, ("--color", "never"), False),
        ({"NO_COLOR": "1"}, ("--color", "always"), True),
    ],
)
def test_a_pipe_gets_colour_only_when_asked(
    environ: dict[str, str], words: tuple[str, ...], coloured: bool, check: Check,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[1;31m" in check(*words, routes=BROKEN).stdout) is coloured


# -- what it starts with -------------------------------------------------------------------------

OTHERS = (
    *("engine.gateway", "engine.upstream", "engine.mock", "engine.server.run", "engine.lsp"),
    *("http.client", "asyncio", "engine.config.examples"),
    *(f"engine.report.{name}" for name in ("json", "sarif", "lines", "explanation")),
)
