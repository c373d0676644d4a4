"""The language server: one process a project, spoken to over standard input and output.

Every request is served from what `load` makes of the folder with the editor's own texts in
place of its files, so an editor shows what `check` would say once they are saved.
"""

import logging
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, lsp_method

from engine import __version__
from engine.lsp.protocol import SOURCE
from engine.lsp.requests import Requests
from engine.lsp.session import EditorSession


def run(environ: Mapping[str, str]) -> int:
    """Serve the editor until it ends the session. Returns the exit code (LSP 3.17, exit notification)."""
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # it would log texts, which hold secrets
    session = EditorSession(LanguageServer(SOURCE, __version__, protocol_cls=Protocol), environ)
    for method, (handler, options) in _features(session, Requests(session)).items():
        # pygls writes on what it registers, which a method does not allow
        session.server.feature(method, options)(partial(handler))
    session.server.start_io()
    return 0 if session.is_shut_down else 1


class Protocol(LanguageServerProtocol):
    """The protocol without the library's own copy of each text.

    That copy splits lines where the protocol does not (at U+2028 or a form feed), and changes
    columns after such an end in the message itself.
    """

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(
        self, params: types.DidChangeTextDocumentParams
    ) -> Generator[Any, Any, None]:
        """Pass an edit on."""
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CHANGE], (params,), None


def _features(
    session: EditorSession, requests: Requests
) -> dict[str, tuple[Callable[..., Any], Any]]:
    """Each method of the protocol that is served, with what the editor has to know about it."""
    trigger = ["{", " ", ".", "|", "[", "'", '"', "-"]
    kinds = [types.CodeActionKind.QuickFix, types.CodeActionKind.SourceFixAll]
    return {
        types.INITIALIZED: (session.watch, None),
        types.SHUTDOWN: (session.shut_down, None),
        types.TEXT_DOCUMENT_DID_OPEN: (session.opened, None),
        types.TEXT_DOCUMENT_DID_CHANGE: (session.changed, None),
        types.TEXT_DOCUMENT_DID_CLOSE: (session.closed, None),
        types.TEXT_DOCUMENT_DID_SAVE: (
            session.files_changed,
            types.SaveOptions(include_text=False),
        ),
        types.WORKSPACE_DID_CHANGE_WATCHED_FILES: (session.files_changed, None),
        types.TEXT_DOCUMENT_HOVER: (requests.hover, None),
        types.TEXT_DOCUMENT_DEFINITION: (requests.definition, None),
        types.TEXT_DOCUMENT_REFERENCES: (requests.references, None),
        types.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT: (requests.highlights, None),
        types.TEXT_DOCUMENT_DOCUMENT_SYMBOL: (requests.symbols, None),
        types.TEXT_DOCUMENT_COMPLETION: (
            requests.completion,
            types.CompletionOptions(trigger_characters=trigger),
        ),
        types.TEXT_DOCUMENT_CODE_ACTION: (
            requests.actions,
            types.CodeActionOptions(code_action_kinds=kinds),
        ),
        types.TEXT_DOCUMENT_PREPARE_RENAME: (requests.prepare_rename, None),
        types.TEXT_DOCUMENT_RENAME: (requests.rename, types.RenameOptions(prepare_provider=True)),
    }
