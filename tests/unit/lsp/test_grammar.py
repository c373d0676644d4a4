"""What the schemas say about places: every name and template of the files is known to editors."""

from typing import Any

from engine.config.checks.templates import template_sources
from engine.config.files import FILES
from engine.config.load import load
from engine.lsp import grammar
from engine.lsp.names import Name, occurrences
from tests.servers import ROOT
from tests.tables import each
from tests.unit.config.folders import NOW
from tests.unit.config.schema.test_validation import NODES, Node

LOADED = load(ROOT, {}, NOW)


def names(node: Node) -> bool:
    return node.schema.get("$ref") == "#/$defs/name"


@each("node", [node for node in NODES if names(node)])
def test_every_name_says_of_what(node: Node) -> None:
    """An editor completes, finds and renames what a schema calls a name."""
    kinds = {node.schema.get("x-defines"), node.schema.get("x-refers")} - {None}
    assert len(kinds) == 1
    assert kinds <= {"provider", "endpoint", "credential", "variable"}


@each("node", [n for n in NODES if "pattern" in n.schema])
def test_a_pattern_is_told_in_words(node: Node) -> None:
    """Editors show `errorMessage` where they would show a regular expression."""
    assert node.schema["errorMessage"] == f"must be {node.schema['x-expect']}"


def test_every_template_of_the_shipped_files_starts_as_check_allows() -> None:
    count = 0
    for provider in LOADED.config.providers:
        for path, _, roots in template_sources(provider):
            assert tuple(grammar.at("providers.yaml", path)["x-template"]) == roots, path
            count += 1
    assert count > 100


@each("file", [file for file in FILES if file in LOADED.documents])
def test_every_key_of_the_shipped_files_is_known(file: str) -> None:
    def words(data: Any, path: tuple[str | int, ...]) -> None:
        schema = grammar.at(file, path)
        is_free = not {"properties", "additionalProperties", "items"} & schema.keys()
        if isinstance(data, dict | list) and not is_free:
            for step, value in data.items() if isinstance(data, dict) else enumerate(data):
                words(value, (*path, step))
        else:
            assert schema, path

    words(LOADED.documents[file].data, ())


def test_every_name_that_is_used_is_defined() -> None:
    known = occurrences(LOADED.documents)
    made = {m.name for m in known if m.defines}
    used = [m for m in known if not m.defines]
    assert len(made) > 50
    assert len(used) > 300
    assert not [m for m in used if m.name not in made]
    assert Name("credential", "api_key", "openai") in made


def test_a_mention_covers_the_name_and_nothing_else() -> None:
    for mention in occurrences(LOADED.documents):
        span = mention.span
        line = LOADED.documents[span.file].lines[span.start.line - 1]
        assert line[span.start.column - 1 : span.end.column - 1] == mention.name.text
