"""An editor for tests: a real client of the protocol, and `engine lsp` as its own process."""

# The types of the protocol are not imported with this file, which takes a quarter of a second.
from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Coroutine, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lsprotocol import types

from tests.servers import ROOT

WAIT = 60.0  # importing all types of the protocol takes seconds on a busy machine
ENGINE = str(Path(sys.executable).with_name("engine"))


class Editor:
    """Opens files, types into them and asks questions, one thing after another."""

    def __init__(
        self,
        encoding: str | None = None,
        command: tuple[str, ...] = (ENGINE, "lsp"),
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        from pygls.lsp.client import LanguageClient  # noqa: PLC0415 half a second

        self.published: list[types.PublishDiagnosticsParams] = []
        self.messages: list[str] = []
        self.versions: dict[str, int] = {}
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.client = LanguageClient("tests", "1")
        self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(partial(self._publication))
        self.client.feature(types.WINDOW_SHOW_MESSAGE)(partial(self._message))
        env = {"PATH": os.environ["PATH"], **environ}
        self.run(self.client.start_io(*command, env=env, cwd=ROOT))
        encodings = [types.PositionEncodingKind(encoding)] if encoding else None
        general = types.GeneralClientCapabilities(position_encodings=encodings)
        asked = types.InitializeParams(types.ClientCapabilities(general=general), process_id=None)
        self.answer = self.run(self.client.initialize_async(asked))
        self.client.initialized(types.InitializedParams())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT)

    def tell(self, notify: Any, params: Any) -> None:
        self._loop.call_soon_threadsafe(notify, params)

    def open(self, uri: str, text: str) -> None:
        self.versions[uri] = 1
        item = types.TextDocumentItem(uri, "yaml", 1, text)
        self.tell(self.client.text_document_did_open, types.DidOpenTextDocumentParams(item))

    def type(self, uri: str, *changes: Any) -> int:
        """Send edits, each `(start, end, text)` or a whole text; gives the new version."""
        self.versions[uri] += 1
        events = [change(c) for c in changes]
        document = types.VersionedTextDocumentIdentifier(self.versions[uri], uri)
        params = types.DidChangeTextDocumentParams(document, events)
        self.tell(self.client.text_document_did_change, params)
        return self.versions[uri]

    def close(self, uri: str) -> None:
        document = types.TextDocumentIdentifier(uri)
        self.tell(self.client.text_document_did_close, types.DidCloseTextDocumentParams(document))

    def findings(self, uri: str, version: int | None = None) -> list[types.Diagnostic]:
        """What is published for a version of a file, once it is; by default the newest version."""
        wanted = version or self.versions[uri]
        return list(self.until(lambda p: p.uri == uri and p.version == wanted).diagnostics)

    def until(self, fits: Any, start: int = 0) -> types.PublishDiagnosticsParams:
        """The newest publication that fits, waited for."""
        end = time.monotonic() + WAIT
        with self._news:
            while True:
                fitting = [p for p in self.published[start:] if fits(p)]
                if fitting:
                    return fitting[-1]
                assert self._news.wait(end - time.monotonic()), self.published[-3:]

    def ask(self, method: str, uri: str, line: int, column: int, **more: Any) -> Any:
        """A question about a place, by the client's own method for it."""
        asked: Any = {
            "completion": types.CompletionParams,
            "definition": types.DefinitionParams,
            "document_highlight": types.DocumentHighlightParams,
            "hover": types.HoverParams,
            "prepare_rename": types.PrepareRenameParams,
            "references": types.ReferenceParams,
            "rename": types.RenameParams,
        }[method]
        document, position = types.TextDocumentIdentifier(uri), types.Position(line, column)
        params = asked(text_document=document, position=position, **more)
        return self.run(getattr(self.client, f"text_document_{method}_async")(params))

    def actions(self, uri: str, scope: types.Range, only: list[str] | None = None) -> Any:
        kinds = [types.CodeActionKind(kind) for kind in only] if only else None
        context = types.CodeActionContext(diagnostics=[], only=kinds)
        params = types.CodeActionParams(types.TextDocumentIdentifier(uri), scope, context)
        return self.run(self.client.text_document_code_action_async(params))

    def symbols(self, uri: str) -> Any:
        params = types.DocumentSymbolParams(types.TextDocumentIdentifier(uri))
        return self.run(self.client.text_document_document_symbol_async(params))

    def quit(self, *, politely: bool = True) -> tuple[int, str]:
        """Say goodbye, or just leave. Gives the server's exit code and what it wrote to stderr."""
        server = self.client._server
        assert server is not None and server.stderr is not None
        if politely:
            self.run(self.client.shutdown_async(None))
        self.tell(self.client.exit, None)
        errors = self.run(server.stderr.read())
        self.run(self.client.stop())  # type: ignore[no-untyped-call] # pygls leaves it without types
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT)
        self._loop.close()
        assert server.returncode is not None
        return server.returncode, errors.decode()

    def _publication(self, params: types.PublishDiagnosticsParams) -> None:
        with self._news:
            self.published.append(params)
            self._news.notify_all()

    def _message(self, params: types.ShowMessageParams) -> None:
        self.messages.append(params.message)


def change(edit: Any) -> Any:
    """An edit as the protocol has it."""
    if isinstance(edit, str):
        return types.TextDocumentContentChangeWholeDocument(edit)
    start, end, text = edit
    scope = types.Range(types.Position(*start), types.Position(*end))
    return types.TextDocumentContentChangePartial(scope, text)
