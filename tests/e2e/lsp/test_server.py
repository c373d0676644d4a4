"""`engine lsp` as an editor meets it: its own process, a real client, real files."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from lsprotocol import types

from engine.cli import main
from engine.config.diagnostics.diagnostic import Severity
from engine.config.load import load
from engine.config.template import FILTER_NAMES
from engine.lsp.protocol import between
from engine.lsp.session import PAUSE
from engine.lsp.text import Text
from tests.e2e.lsp.editor import Editor
from tests.unit.config.folders import ENVIRON, SECRET, minimal, write
from tests.unit.lsp.test_text import reference_offset

ROUTES, PROVIDERS = minimal("routes"), minimal("providers")
WIDE = "  - {model: wide, as: '😀é漢', provider: opena}\n"
KEYS = "version: 1\nkeys:\n  - {name: a, sha256: %s, endpoints: [embeddings]}\n" % ("a" * 64)
SPARE = """  other:
    base_url: https://other.example/v1
    variables:
      region: {env: REGION, default: "no"}
    credentials:
      token: {env: OTHER_API_KEY, optional: true}
    headers:
      x-token: "{{ credentials.token }} {{ variables.region }}"
    caller_credentials:
      headers: {x-key: token}
    endpoints: {embeddings: "/{{ variables.region }}/embeddings"}
"""


class File:
    """An open file, with places named by the words that stand there."""

    def __init__(self, editor: Editor, folder: Path, name: str, text: str) -> None:
        self.editor, self.text = editor, text
        self.uri = (folder / name).as_uri()
        editor.open(self.uri, text)

    def at(self, words: str, into: int = 0) -> tuple[int, int]:
        """The place of `words`, `into` characters further; columns in UTF-16."""
        before = self.text[: self.text.index(words) + into]
        line = before[before.rfind("\n") + 1 :]
        return before.count("\n"), len(line.encode("utf-16-le")) // 2

    def type(self, old: str, new: str) -> list[types.Diagnostic]:
        """Replace `old` by `new` as an edit, and wait for what is found then."""
        self.edit(old, new)
        return self.editor.findings(self.uri)

    def edit(self, old: str, new: str) -> int:
        start, end = self.at(old), self.at(old, len(old))
        self.text = self.text.replace(old, new, 1)
        return self.editor.type(self.uri, (start, end, new))

    def ask(self, method: str, words: str, into: int = 0, **more: Any) -> Any:
        return self.editor.ask(method, self.uri, *self.at(words, into), **more)

    def found(self) -> list[types.Diagnostic]:
        return self.editor.findings(self.uri)

    def words(self, scope: types.Range) -> str:
        """What stands in a range of one line."""
        line = self.text.split("\n")[scope.start.line].encode("utf-16-le")
        return line[scope.start.character * 2 : scope.end.character * 2].decode("utf-16-le")

    def offered(self, words: str, into: int = 0) -> dict[str, str]:
        """The completions at a place: what each is called, and what it writes."""
        answer = self.ask("completion", words, into)
        return {item.label: item.text_edit.new_text for item in answer.items}


@pytest.fixture
def routes(editor: Editor, folder: Path) -> Iterator[File]:
    with_spare = ROUTES + "  - {prefix: other/, provider: other, strip: true}\n"
    write(folder, providers=PROVIDERS + SPARE)
    file = File(editor, folder, "routes.yaml", with_spare)
    assert file.found() == []
    yield file
    editor.close(file.uri)


@pytest.fixture
def providers(editor: Editor, routes: File, folder: Path) -> Iterator[File]:
    file = File(editor, folder, "providers.yaml", PROVIDERS + SPARE)
    assert file.found() == []
    yield file
    editor.close(file.uri)


# -- findings ------------------------------------------------------------------------------------


def test_a_typo_is_shown_at_its_place_with_its_remedy_and_goes_when_mended(routes: File) -> None:
    (found,) = routes.type("  - {prefix: gpt-", WIDE + "  - {prefix: gpt-")
    assert (found.code, found.source, found.severity) == (
        "X201",
        "engine",
        types.DiagnosticSeverity.Error,
    )
    assert routes.words(found.range) == "opena"
    assert found.range.start.character == len("  - {model: wide, as: '😀é漢', provider: ") + 1
    assert "did you mean `openai`?" in found.message
    (related,) = found.related_information or ()
    assert related.location.uri.endswith("/providers.yaml")
    assert related.location.range == types.Range(types.Position(3, 2), types.Position(3, 8))
    assert found.code_description is not None
    page, _, anchor = found.code_description.href.partition("#")
    assert f"### {anchor.replace('-', ' ', 1).upper()[:4]}" in Path(
        page.removeprefix("file://")
    ).read_text("utf-8")
    assert routes.type("opena}", "openai}") == []


def test_an_edit_in_one_file_is_told_in_the_other(routes: File, providers: File) -> None:
    start = len(routes.editor.published)
    providers.edit("  other:\n", "  another:\n")
    found = routes.editor.until(lambda p: p.uri == routes.uri and p.diagnostics, start).diagnostics
    assert [(d.code, routes.words(d.range)) for d in found] == [("X201", "other")]
    start = len(routes.editor.published)
    providers.edit("  another:\n", "  other:\n")
    routes.editor.until(lambda p: p.uri == routes.uri and not p.diagnostics, start)


def test_a_file_that_is_not_open_has_its_findings_too(editor: Editor, folder: Path) -> None:
    write(folder, routes=ROUTES + "  - {model: a, provider: opena}\n")
    providers = File(editor, folder, "providers.yaml", PROVIDERS)
    told = editor.until(lambda p: p.uri == (folder / "routes.yaml").as_uri())
    assert [d.code for d in told.diagnostics] == ["X201"]
    assert told.version is None
    start = len(editor.published)
    editor.close(providers.uri)
    editor.until(lambda p: p.uri == (folder / "routes.yaml").as_uri() and not p.diagnostics, start)


def test_broken_yaml_says_where_and_does_not_hide_the_other_files(
    routes: File, providers: File
) -> None:
    found = routes.type("    path: /v1/embeddings", "   path: [/v1/embeddings")
    assert [d.code for d in found][:1] == ["Y001"]
    start = len(routes.editor.published)
    providers.edit("base_url: https://other.example/v1", "base_urk: https://other.example/v1")
    told = routes.editor.until(lambda p: p.uri == providers.uri and p.diagnostics, start)
    assert [d.code for d in told.diagnostics] == ["S102"]


def test_findings_go_when_the_file_is_closed(editor: Editor, folder: Path) -> None:
    file = File(editor, folder, "routes.yaml", ROUTES.replace("openai", "opena"))
    assert len(file.found()) == 2
    start = len(editor.published)
    editor.close(file.uri)
    assert list(editor.until(lambda p: p.uri == file.uri, start).diagnostics) == []


def test_only_the_newest_text_is_spoken_of(routes: File) -> None:
    start = len(routes.editor.published)
    routes.edit("provider: other", "provider: othe")
    for letters in ("oth", "ot", "o", ""):
        routes.edit(f"provider: {letters}", f"provider: {letters[:-1]}")
    newest = routes.edit("strip: true", "strip: maybe")
    routes.editor.findings(routes.uri)
    told = [p.version or 0 for p in routes.editor.published[start:] if p.uri == routes.uri]
    assert told[-1] == newest
    assert told == sorted(told)
    assert len(told) < 6


def test_an_editor_that_counts_bytes_and_has_no_provider_key(folder: Path) -> None:
    """What is not set where the editor runs is no finding: another machine serves."""
    other = Editor("utf-8")
    assert other.answer.capabilities.position_encoding == "utf-8"
    file = File(other, folder, "routes.yaml", ROUTES + WIDE)
    (found,) = file.found()
    assert found.range.start.character == len("  - {model: wide, as: '😀é漢', provider: ".encode())
    file.type(WIDE, "")
    words = file.ask("hover", "gpt-").contents.value
    assert "Not set where the editor runs: `OPENAI_API_KEY`" in words
    assert other.quit() == (0, "")


def test_an_editor_that_counts_characters_and_leaves_without_a_word(folder: Path) -> None:
    rude = Editor("utf-32", environ=ENVIRON)
    file = File(rude, folder, "routes.yaml", ROUTES + WIDE)
    (found,) = file.found()
    assert found.range.start.character == len("  - {model: wide, as: '😀é漢', provider: ")
    assert rude.quit(politely=False) == (1, "")


def test_an_editor_that_is_gone_before_it_says_anything_ends_the_server_too() -> None:
    assert CliRunner().invoke(main, ["lsp"]).exit_code == 1


@pytest.mark.parametrize("name", ["other.yaml", "routes.yml", "Routes.yaml"])
def test_other_files_are_left_alone(name: str, editor: Editor, folder: Path, routes: File) -> None:
    start = len(editor.published)
    other = File(editor, folder, name, "paht: 1\n")
    assert other.ask("hover", "paht") is None
    assert other.ask("completion", "paht") is None
    assert other.ask("definition", "paht") in (None, [])
    routes.type("gpt-", "gpt-5-")
    assert not [p for p in editor.published[start:] if p.uri == other.uri]


def test_a_lone_routes_yaml_belongs_to_somebody_else(editor: Editor, tmp_path: Path) -> None:
    start = len(editor.published)
    lone = File(editor, tmp_path, "routes.yaml", "controllers:\n  resource: ../src\n")
    assert lone.ask("hover", "resource") is None
    time.sleep(PAUSE)
    assert not [p for p in editor.published[start:] if p.uri == lone.uri]
    editor.close(lone.uri)


def test_a_file_without_a_path_is_left_alone(editor: Editor) -> None:
    editor.open("untitled:routes.yaml", "paht: 1\n")
    assert editor.ask("hover", "untitled:routes.yaml", 0, 1) is None
    editor.close("untitled:routes.yaml")


def test_a_change_on_disk_is_seen_when_the_editor_tells(routes: File, folder: Path) -> None:
    write(folder, providers=PROVIDERS)
    start = len(routes.editor.published)
    event = types.FileEvent((folder / "providers.yaml").as_uri(), types.FileChangeType.Changed)
    client = routes.editor.client
    routes.editor.tell(
        client.workspace_did_change_watched_files, types.DidChangeWatchedFilesParams([event])
    )
    told = routes.editor.until(lambda p: p.uri == routes.uri and p.diagnostics, start)
    assert [d.code for d in told.diagnostics] == ["X201"]


# -- hover ---------------------------------------------------------------------------------------


def test_hover_on_a_rule_tells_where_it_leads(routes: File) -> None:
    routes.type(
        "  - {prefix: gpt-",
        "  - {prefix: gpt-4, endpoint: embeddings, provider: other}\n  - {prefix: gpt-",
    )
    words = routes.ask("hover", "gpt-,", 2).contents.value
    assert "`gpt-*` → `openai`" in words
    assert "`POST /v1/chat/completions` | `https://api.openai.com/v1/chat/completions`" in words
    assert "loses to `gpt-4*` → `other` (routes.yaml:10)" in words
    narrowed = routes.ask("hover", "gpt-4", 2).contents.value
    assert "`https://other.example/v1/eu-west-1/embeddings`" in narrowed
    assert "chat_completions" not in narrowed
    assert "beats `gpt-*` → `openai` (routes.yaml:11)" in narrowed
    assert "sent as `NAME`" in routes.ask("hover", "other/", 2).contents.value


def test_hover_on_a_rule_with_several_targets_tells_of_each(routes: File) -> None:
    targets = "{prefix: gpt-, targets: [{provider: openai, weight: 3}, {provider: other, as: big}]}"
    routes.type("{prefix: gpt-, provider: openai}", targets)
    words = routes.ask("hover", "gpt-,", 2).contents.value
    assert "`gpt-*` → `openai`, `other`" in words
    assert "**target** `openai`, weight 3\n\n| endpoint" in words
    assert "**target** `other`\n\nsent as `big`\n\n| endpoint" in words
    assert "/eu-west-1/embeddings`" in words.partition("**target** `other`")[2]
    assert "**provider** `other`" in routes.ask("hover", "other, as", 2).contents.value
    outline = routes.editor.symbols(routes.uri)
    assert "gpt-* → openai, other" in [c.name for s in outline for c in s.children]


def test_hover_on_a_rule_remembers_the_route_while_something_else_is_wrong(routes: File) -> None:
    routes.type("strip: true", "stripe: true")
    words = routes.ask("hover", "gpt-", 2).contents.value
    assert "api.openai.com" in words
    assert "before the errors" in words


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("provider: openai", "**provider** `openai`"),
        ("embeddings:", "`POST /v1/embeddings`\n\nserved by `openai`, `other`"),
        ("path: /v1/emb", "**path**"),
        ("strip: true", "**strip**"),
        ("models:", "1. an exact `model` beats any `prefix`"),
    ],
)  # fmt: skip
def test_hover_in_routes(words: str, told: str, routes: File) -> None:
    into = words.index(":") + 3 if words.startswith("provider") else 1
    assert told in routes.ask("hover", words, into).contents.value


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("token }}", "from the environment variable `OTHER_API_KEY`, optional"),
        ("region }} ", "from the environment variable `REGION`, else `no`"),
        ("token}", "**credential** `token` of `other`"),
        ("chat_completions:", "**endpoint** `chat_completions`"),
        ("base_url: https://other", "Base of every URL"),
        ("x-token", "Value of the header"),
    ],
)  # fmt: skip
def test_hover_in_providers(words: str, told: str, providers: File) -> None:
    if words.startswith("region"):
        providers.type('}}"\n    caller', '}} "\n    caller')
    assert told in providers.ask("hover", words, 1).contents.value


def test_hover_never_shows_a_secret(routes: File, providers: File) -> None:
    for file in (routes, providers):
        for line, text in enumerate(file.text.splitlines()):
            for column in range(0, len(text), 5):
                assert SECRET not in str(file.editor.ask("hover", file.uri, line, column))


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "target"),
    [
        ("openai}", ("providers.yaml", "openai")),
        ("other, strip", ("providers.yaml", "other")),
        ("embeddings:", ("routes.yaml", "embeddings")),
    ],
)  # fmt: skip
def test_definitions_from_routes(
    words: str, target: tuple[str, str], routes: File, providers: File
) -> None:
    (place,) = routes.ask("definition", words, 1)
    file = {"routes.yaml": routes, "providers.yaml": providers}[target[0]]
    assert (place.uri, file.words(place.range)) == (file.uri, target[1])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("chat_completions: /chat", "  chat_completions:"),
        ("token }}", "      token: {env: OTHER_API_KEY, optional: true}"),
        ("region }}", '      region: {env: REGION, default: "no"}'),
        ("token}\n", "      token: {env: OTHER_API_KEY, optional: true}"),
    ],
)
def test_definitions_from_providers(words: str, line: str, routes: File, providers: File) -> None:
    (place,) = providers.ask("definition", words, 2)
    file = routes if place.uri == routes.uri else providers
    assert file.text.splitlines()[place.range.start.line] == line


def test_a_key_leads_to_its_endpoint_and_a_test_to_its_provider(
    editor: Editor, folder: Path
) -> None:
    tested = (
        ROUTES + "tests:\n  - {endpoint: embeddings, model: gpt-5, expect: {provider: openai}}\n"
    )
    write(folder, routes=tested)
    keys = File(editor, folder, "keys.yaml", KEYS)
    routes = File(editor, folder, "routes.yaml", tested)
    assert keys.found() == routes.found() == []
    (place,) = keys.ask("definition", "embeddings", 1)
    assert (place.uri, routes.words(place.range)) == (routes.uri, "embeddings")
    (place,) = routes.ask("definition", "openai}}", 1)
    assert place.uri.endswith("/providers.yaml")
    editor.close(keys.uri)
    editor.close(routes.uri)


def test_a_definition_is_found_from_a_line_that_is_no_yaml(routes: File) -> None:
    routes.edit("{prefix: other/, provider: other", "{prefix: other/ provider: other: [")
    (place,) = routes.ask("definition", "provider: other", 12)
    assert place.uri.endswith("/providers.yaml")


def test_references_of_an_endpoint_are_in_every_file(routes: File, providers: File) -> None:
    context = types.ReferenceContext(include_declaration=True)
    places = routes.ask("references", "embeddings:", 1, context=context)
    assert sorted(re.sub(".*/", "", p.uri) for p in places) == [
        "providers.yaml",
        "providers.yaml",
        "routes.yaml",
    ]
    context = types.ReferenceContext(include_declaration=False)
    assert len(routes.ask("references", "embeddings:", 1, context=context)) == 2
    lit = providers.ask("document_highlight", "region", 1)
    assert [providers.words(h.range) for h in lit] == ["region"] * 3


def test_a_provider_is_renamed_in_every_file(routes: File, providers: File) -> None:
    scope = routes.ask("prepare_rename", "other, strip", 1)
    assert routes.words(scope) == "other"
    edit = routes.ask("rename", "other, strip", 1, new_name="elsewhere")
    changed = {uri: [e.new_text for e in edits] for uri, edits in edit.changes.items()}
    assert changed == {routes.uri: ["elsewhere"], providers.uri: ["elsewhere"]}
    for file in (routes, providers):
        for change in edit.changes[file.uri]:
            place = change.range
            points = ((p.line, p.character) for p in (place.start, place.end))
            file.editor.type(file.uri, (*points, change.new_text))
    assert file.found() == []


@pytest.mark.parametrize(("new", "why"), [("openai", "already"), ("Not A Name", "lower-case")])
def test_a_name_that_cannot_be_is_refused(new: str, why: str, routes: File) -> None:
    with pytest.raises(Exception, match=why):
        routes.ask("rename", "other, strip", 1, new_name=new)


def test_the_outline_has_the_entries_of_each_section(routes: File) -> None:
    outline = {s.name: [c.name for c in s.children] for s in routes.editor.symbols(routes.uri)}
    assert outline == {
        "version": [],
        "endpoints": ["chat_completions", "embeddings"],
        "models": ["gpt-* → openai", "text-embedding-* → openai", "other/* → other"],
    }


# -- completion ----------------------------------------------------------------------------------


def test_names_of_providers_and_endpoints_are_offered(routes: File) -> None:
    assert routes.offered("openai}", 2) == {"openai": "openai", "other": "other"}
    routes.type("provider: other", "provider: other, endpoint: ")
    assert list(routes.offered("endpoint: ", 10)) == ["chat_completions", "embeddings"]


@pytest.mark.parametrize(
    "line",
    [
        "  - {prefix: new-, provider: ",
        "  - {prefix: new-, provider: o",
        "  - {prefix: new-, provider: 'o",
        "  - prefix: new-\n    provider: ",
        "  - model: [unclosed\n  - {model: a, provider: ",
    ],
)
def test_a_provider_is_offered_in_a_line_that_is_no_yaml_yet(line: str, routes: File) -> None:
    routes.edit("  - {prefix: gpt-", f"{line}\n  - {{prefix: gpt-")
    assert {"openai", "other"} <= set(routes.offered(line, len(line)))


def test_keys_are_offered_with_their_words_and_without_those_there_are(routes: File) -> None:
    routes.edit("strip: true", "")
    answer = routes.ask("completion", "provider: other, ", 17)
    offers = {item.label: item for item in answer.items}
    assert offers["strip"].text_edit.new_text == "strip: "
    assert offers["strip"].documentation.value.endswith(".")
    assert "provider" not in offers
    assert "prefix" not in offers


@pytest.mark.parametrize("typed", ["    ", "    def", "    default_"])
def test_keys_are_offered_in_a_new_line(typed: str, routes: File) -> None:
    routes.edit("    path: /v1/embeddings\n", f"    path: /v1/embeddings\n{typed}\n")
    offered = routes.offered(f"embeddings\n{typed}\n", len(f"embeddings\n{typed}"))
    assert offered["default_model"] == "default_model: "
    assert "path" not in offered


def test_values_are_offered(routes: File) -> None:
    routes.edit(
        "    path: /v1/embeddings\n", "    path: /v1/embeddings\n    errors: a\n    method: \n"
    )
    assert list(routes.offered("errors: a", 9))[:2] == ["openai", "anthropic"]
    assert {"GET", "POST"} <= set(routes.offered("method: ", 8))
    assert routes.offered("strip: true", 8) == {"true": "true", "false": "false"}


@pytest.mark.parametrize(
    ("template", "offered"),
    [
        ("{{ ", ["credentials", "variables", "model", "endpoint", "request"]),
        ("{{ credentials.", ["token"]),
        ("{{ variables.re", ["region"]),
        ("{{ model | ", list(FILTER_NAMES)),
        ("{{ request.", ["headers"]),
        ("done }} ", None),
    ],
)
def test_a_template_is_completed(template: str, offered: list[str] | None, providers: File) -> None:
    providers.edit('      x-token: "{{', f'      x-new: "{template}\n      x-token: "{{{{')
    there = providers.offered(f'x-new: "{template}', len('x-new: "') + len(template))
    assert offered is None or list(there) == offered
    assert offered is not None or "token" not in there


def test_an_endpoint_is_offered_to_a_provider(providers: File) -> None:
    providers.edit("      embeddings: /embeddings\n", "      \n")
    assert providers.offered("chat/completions\n      ", 23) == {"embeddings": "embeddings: "}


# -- actions -------------------------------------------------------------------------------------


def test_a_fix_is_offered_and_mends(routes: File) -> None:
    (found,) = routes.type("provider: other", "provider: othr")
    (action,) = routes.editor.actions(routes.uri, found.range, ["quickfix"])
    assert action.title == "Change to `other`"
    assert action.is_preferred is False
    assert [d.code for d in action.diagnostics] == ["X201"]
    (edit,) = action.edit.changes[routes.uri]
    assert routes.words(edit.range) == "othr"
    assert routes.type("othr", edit.new_text) == []
    assert not routes.editor.actions(routes.uri, found.range)


def test_a_fix_that_is_safe_is_preferred_and_can_be_one_of_all(routes: File) -> None:
    (found,) = routes.type("strip: true}\n", "strip: true}")
    assert found.code == "F004"
    (action,) = routes.editor.actions(routes.uri, found.range, ["quickfix"])
    assert action.title == "Add a line end, if nothing is missing after it"
    assert action.is_preferred is True
    (every,) = routes.editor.actions(routes.uri, found.range, ["source.fixAll"])
    assert every.edit.changes == action.edit.changes
    (edit,) = every.edit.changes[routes.uri]
    place = edit.range
    points = ((p.line, p.character) for p in (place.start, place.end))
    routes.editor.type(routes.uri, (*points, edit.new_text))
    assert routes.found() == []


# -- anything ------------------------------------------------------------------------------------

PIECES = [
    "",
    " ",
    "\n",
    "\r\n",
    "\r",
    "\t",
    ":",
    "- ",
    "{",
    "}",
    "[",
    "'",
    '"',
    "#",
    "&a",
    "*a",
    "!t",
]
PIECES += [
    "openai",
    "opena",
    "provider: ",
    "😀",
    "é",
    "\u2028",
    "\x85",
    "\x0b",
    "\x00",
    "\ufeff",
    "{{ ",
]
EDITS = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 12), st.integers(0, 45)),
        st.tuples(st.integers(0, 2), st.integers(0, 8)),
        st.sampled_from(PIECES),
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(edits=EDITS, place=st.tuples(st.integers(0, 14), st.integers(0, 50)))
@example(edits=[((0, 0), (0, 0), "\u2028"), ((0, 0), (0, 2), "")], place=(0, 0))
def test_after_any_edits_the_editor_shows_what_check_says(
    edits: Any, place: tuple[int, int], editor: Editor, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = write(tmp_path_factory.mktemp("any"))
    file = File(editor, folder, "routes.yaml", ROUTES + WIDE)
    text, changes = file.text, []
    for (line, column), (down, right), piece in edits:
        start, end = (line, column), (line + down, column + right)
        first, last = (reference_offset(text, *point, "utf-16") for point in (start, end))
        text = text[:first] + piece + text[max(first, last) :]
        changes.append((start, end, piece))
    editor.type(file.uri, *changes)
    expected = load(folder, ENVIRON, time.time(), overrides={"routes.yaml": Text(text).raw})
    spans = [
        (
            d.code,
            between(Text(text), *(Text(text).offset_of(p) for p in (d.span.start, d.span.end))),
        )
        for d in expected.diagnostics
        if d.span.file == "routes.yaml" and d.severity is not Severity.NOTE
    ]
    assert [(d.code, d.range) for d in file.found()] == spans
    for question in ("hover", "completion", "definition", "document_highlight", "prepare_rename"):
        editor.ask(question, file.uri, *place)
    editor.symbols(file.uri)
    editor.close(file.uri)
