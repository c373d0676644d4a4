"""Shows the shipped files and schemas to the real yaml-language-server: `make editors`.

    python -m tests.e2e.lsp.yaml_language_server PROGRAM

It is fetched with npm, so this is no part of the tests. Each line that is printed was checked.
"""

import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from lsprotocol import types

from tests.e2e.lsp.editor import Editor
from tests.servers import ROOT

SETTINGS = {
    "yaml": {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}
}


class Session:
    """A copy of the shipped folder, open in an editor with the YAML language server."""

    def __init__(self, program: str, folder: Path) -> None:
        self.editor = Editor(command=(program, "--stdio"))
        self.folder = folder
        for name in ("routes.yaml", "providers.yaml"):
            shutil.copyfile(ROOT / name, folder / name)
        shutil.copytree(ROOT / "schemas", folder / "schemas")
        client = self.editor.client
        settings = types.DidChangeConfigurationParams(SETTINGS)
        self.editor.tell(client.workspace_did_change_configuration, settings)

    def open(self, name: str, text: str | None = None) -> str:
        uri = (self.folder / name).as_uri()
        self.editor.open(uri, text or (self.folder / name).read_text("utf-8"))
        return uri

    def found(self, uri: str, start: int = 0) -> list[str]:
        told = self.editor.until(lambda p: p.uri == uri, start)
        return [f"{d.range.start.line + 1}: {d.message}" for d in told.diagnostics]

    def ask(self, method: str, uri: str, words: str, into: int, text: str) -> Any:
        before = text[: text.index(words) + into]
        return self.editor.ask(
            method,
            uri,
            before.count("\n"),
            into + len(before[: text.index(words)].rpartition("\n")[2]),
        )


def say(words: str) -> None:
    sys.stdout.write(f"ok: {words}\n")


def check(session: Session) -> None:
    """Hover, completion and findings, as somebody with the YAML extension sees them."""
    for name in ("routes.yaml", "providers.yaml"):
        uri = session.open(name)
        assert session.found(uri) == [], session.found(uri)
        say(f"{name} has no findings")
    routes = (session.folder / "routes.yaml").read_text("utf-8")
    uri = (session.folder / "routes.yaml").as_uri()
    for words, told in (("\nmodels:", "an exact `model` beats"), ("first_byte:", "Longest time")):
        hover = session.ask("hover", uri, words, 3, routes)
        assert told in hover.contents.value, hover
        say(f"hover on {words.strip()} tells what it does")
    typed = "  embeddings:\n    \n"
    session.editor.type(uri, routes.replace("  embeddings:\n", typed, 1))
    offered = session.ask(
        "completion", uri, typed, len(typed) - 1, routes.replace("  embeddings:\n", typed, 1)
    )
    labels = {item.label for item in offered.items}
    assert {"method", "body", "default_model", "errors", "timeouts"} <= labels, labels
    say("the keys of an endpoint are offered")
    start = len(session.editor.published)
    broken = routes.replace("first_byte: 10m", "first_byte: 10", 1).replace(
        "    path:", "    paht:", 1
    )
    session.editor.type(uri, broken)
    session.editor.until(lambda p: p.uri == uri and len(p.diagnostics) > 2, start)
    found = "\n".join(session.found(uri, start))
    assert "must be a duration above zero" in found, found
    assert "paht" in found, found
    say("a broken file has findings in our words:")
    sys.stdout.write(found + "\n")


def main() -> None:
    """Run all of it; an assertion says what is not as it should be."""
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # it asks for what we tell it anyway
    with tempfile.TemporaryDirectory() as folder:
        session = Session(str(Path(sys.argv[1]).absolute()), Path(folder))
        check(session)
        code, _ = session.editor.quit()
        say(f"it ended with {code}")


if __name__ == "__main__":
    main()
