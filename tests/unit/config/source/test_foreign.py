"""Texts that are not YAML: no word of the reader's own, and no secret in a finding or its repair."""

import re

from engine.cli.imports import IMPORTERS
from engine.config.source.document import parse_document
from engine.config.source.foreign import foreign_file
from engine.config.source.masking import mask_lines
from tests.servers import ROOT
from tests.tables import each

RAW = re.compile(r"did not find|found (?:unknown|unexpected|character|undefined)|not allowed in this|while (?:scan|pars)ing")  # fmt: skip
STARTS = ["*", "&", "!", "%", "@", "`", "|x ", ">x ", "? ", "- ", ", ", "} ", "] ", '"', "'", '"\\d', '"\\u00zz', '"a" ', "'a' ", "{", "[", "\t", "!<", "%TAG ! x", "!!", "&a *a", "*a: ", "---", "..."]  # fmt: skip


@each("start", STARTS)
@each("form", ["a: %s\n", "a:\n  - {b: %s, c: d}\n", "%s\n", "a:\n  - b: %s\n    c: d\n", "a: [%s\n", "a:\n %s\n"])  # fmt: skip
def test_no_words_of_the_reader_are_told(start: str, form: str) -> None:
    secret = "sk-proj-Qm7x2Vt9Lw4Rz8Kd"
    _, found = parse_document("x.yaml", (form % (start + secret)).encode())
    for d in found:
        assert not RAW.search(d.message), d.message
        assert secret not in f"{d.message} {d.help} {d.fix.text if d.fix else ''}"


@each("line", ["OPENAI_API_KEY=abc123def4567", "export X_TOKEN=abc123def4567", 'api_key = "abc123def4567"'])  # fmt: skip
def test_a_value_behind_an_equals_sign_is_starred(line: str) -> None:
    assert "abc123def4567" not in mask_lines((line,))[0]


@each("name", ["routes.yaml", "providers.yaml"])
def test_a_file_of_ours_is_not_taken_for_another_programs(name: str) -> None:
    """Wherever the shipped file is cut, so that it has errors."""
    text = (ROOT / name).read_text("utf-8")
    lines = text.splitlines(keepends=True)
    for stop in range(20, len(lines), 40):
        assert foreign_file(name, "".join(lines[:stop]) + "x: [\n") is None, stop


def test_a_file_that_can_be_imported_is_reported_with_the_command() -> None:
    texts = {
        "litellm": "model_list:\n  - litellm_params: {model: a}\n",
        "portkey": "strategy: {mode: fallback}\ntargets: [{virtual_key: a}]\n",
        "bifrost": "providers: {}\nconfig_store: {}\n",
        "agentgateway": "binds:\n- port: 3000\n",
    }
    for program, text in texts.items():
        assert program in IMPORTERS
        found = foreign_file("routes.yaml", text)
        assert found is not None
        assert f"`engine import {program} routes.yaml DIR`" in found.help
