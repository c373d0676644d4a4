"""The language server: one process a project, spoken to over standard input and output.

Every question is answered from what `load` makes of the folder with the editor's own texts in
place of its files, so an editor shows what `check` would say once they are saved.
"""

import asyncio
import logging
from collections.abc import Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, lsp_method
from pygls.uris import to_fs_path

from engine import __version__
from engine.config.diagnostics.diagnostic import Severity
from engine.config.files import FILES
from engine.lsp import answers
from engine.lsp.complete import complete
from engine.lsp.folder import Folder
from engine.lsp.protocol import SOURCE, Writer, completion
from engine.lsp.text import Text

PAUSE = 0.15
"""Seconds without an edit before a folder is checked again."""


def run(environ: Mapping[str, str]) -> int:
    """Serve the editor until it says goodbye. Gives the exit code (LSP 3.17, exit notification)."""
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # it would log texts, which hold secrets
    session = Session(environ)
    session.server.start_io()
    return 0 if session.is_shut_down else 1


class Protocol(LanguageServerProtocol):
    """The protocol without the library's own copy of each text.

    That copy splits lines where the protocol does not (at U+2028 or a form feed), and sets columns
    back that lie behind such an end in the very message that we are to read.
    """

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(
        self, params: types.DidChangeTextDocumentParams
    ) -> Generator[Any, Any, None]:
        """Pass an edit on."""
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CHANGE], (params,), None


class Session:
    """What the server knows of one editor: its folders, and the names it has for its files."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.server = LanguageServer(SOURCE, __version__, protocol_cls=Protocol)
        self.is_shut_down = False
        self._environ = environ
        self._folders: dict[Path, Folder] = {}
        self._uris: dict[Path, dict[str, str]] = {}
        self._versions: dict[str, int] = {}
        self._told: set[str] = set()
        self._checks: dict[Path, asyncio.Task[None]] = {}
        for method, (handler, options) in _features(self).items():
            # pygls writes on what it registers, which a method does not allow
            self.server.feature(method, options)(partial(handler))

    # -- texts ---------------------------------------------------------------------------------

    def opened(self, params: types.DidOpenTextDocumentParams) -> None:
        document = params.text_document
        self._put(document.uri, document.version, document.text)

    def changed(self, params: types.DidChangeTextDocumentParams) -> None:
        document = params.text_document
        place = _place(document.uri)
        folder = self._folders.get(place[0]) if place else None
        if place is None or folder is None or place[1] not in folder.open:
            return
        text = folder.open[place[1]]
        for change in params.content_changes:
            text = _edited(text, change)
        self._versions[document.uri] = document.version
        folder.put(place[1], text)
        self._schedule(folder, PAUSE)

    def closed(self, params: types.DidCloseTextDocumentParams) -> None:
        place = _place(params.text_document.uri)
        if place is None or place[0] not in self._folders:
            return
        directory, file = place
        folder = self._folders[directory]
        folder.put(file, None)
        self._versions.pop(params.text_document.uri, None)
        self._uris[directory].pop(file, None)
        self._notify(params.text_document.uri, [])
        if folder.open:
            self._schedule(folder, 0)
        else:
            self._forget(directory)

    def touched(self, params: Any) -> None:
        """Files changed on disk, perhaps not by the editor: every open folder is looked at again."""
        del params
        for folder in self._folders.values():
            folder.generation += 1
            self._schedule(folder, PAUSE)

    def watch(self, params: types.InitializedParams) -> None:
        """Ask the editor to tell when one of our files changes on disk, if it can."""
        del params
        workspace = self.server.client_capabilities.workspace
        watched = workspace.did_change_watched_files if workspace else None
        if not watched or not watched.dynamic_registration:
            return
        watchers = [types.FileSystemWatcher(glob_pattern=f"**/{file}") for file in FILES]
        registration = types.Registration(
            id="files",
            method=types.WORKSPACE_DID_CHANGE_WATCHED_FILES,
            register_options=types.DidChangeWatchedFilesRegistrationOptions(watchers=watchers),
        )
        self.server.client_register_capability(types.RegistrationParams([registration]))

    def shut_down(self, params: None) -> None:
        del params
        self.is_shut_down = True
        for task in self._checks.values():
            task.cancel()

    def _put(self, uri: str, version: int, source: str) -> None:
        place = _place(uri)
        if place is None:
            return
        directory, file = place
        encoding = str(getattr(self.encoding, "value", self.encoding))
        folder = self._folders.setdefault(directory, Folder(directory, self._environ, encoding))
        self._uris.setdefault(directory, {})[file] = uri
        self._versions[uri] = version
        folder.put(file, Text(source, encoding))
        self._schedule(folder, 0)

    @property
    def encoding(self) -> object:
        """The code units agreed on for columns."""
        return self.server.workspace.position_encoding

    def _forget(self, directory: Path) -> None:
        task = self._checks.pop(directory, None)
        if task:
            task.cancel()
        folder = self._folders.pop(directory)
        for file in FILES:
            self._notify(Writer(folder, self._uris.get(directory, {})).uri(file), [])
        self._uris.pop(directory, None)

    # -- findings ------------------------------------------------------------------------------

    def _schedule(self, folder: Folder, pause: float) -> None:
        waiting = self._checks.pop(folder.directory, None)
        if waiting:
            waiting.cancel()
        task = asyncio.get_running_loop().create_task(self._check(folder, pause))
        task.add_done_callback(self._report_bug)
        self._checks[folder.directory] = task

    async def _check(self, folder: Folder, pause: float) -> None:
        await asyncio.sleep(pause)
        generation = folder.generation
        if not folder.is_configuration():
            return
        loaded = await asyncio.to_thread(folder.check)
        if folder.take(generation, loaded):
            self._publish(folder)

    def _publish(self, folder: Folder) -> None:
        """Tell every finding but the notes about this machine, which is rarely the one that serves."""
        writer = self._writer(folder)
        found = [d for d in folder.loaded().diagnostics if d.severity is not Severity.NOTE]
        for file in FILES:
            here = [writer.diagnostic(d) for d in found if d.span.file == file]
            self._notify(writer.uri(file), here, always=file in folder.open)

    def _notify(self, uri: str, found: list[types.Diagnostic], *, always: bool = False) -> None:
        if not (found or always or uri in self._told):
            return
        (self._told.add if found else self._told.discard)(uri)
        self.server.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(uri, found, version=self._versions.get(uri))
        )

    def _report_bug(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        words = (
            f"engine lsp has a bug, and cannot check this folder: {type(task.exception()).__name__}"
        )
        self.server.window_show_message(types.ShowMessageParams(types.MessageType.Error, words))

    # -- questions -----------------------------------------------------------------------------

    def hover(self, params: types.HoverParams) -> types.Hover | None:
        asked = self._asked(params)
        found = answers.hover(*asked) if asked else None
        if asked is None or found is None:
            return None
        words, span = found
        content = types.MarkupContent(types.MarkupKind.Markdown, words)
        return types.Hover(content, self._writer(asked[0]).range(span) if span else None)

    def definition(self, params: types.DefinitionParams) -> list[types.Location]:
        asked = self._asked(params)
        if asked is None:
            return []
        return [self._writer(asked[0]).location(span) for span in answers.definitions(*asked)]

    def references(self, params: types.ReferenceParams) -> list[types.Location]:
        asked = self._asked(params)
        if asked is None:
            return []
        spans = answers.references(*asked, with_definition=params.context.include_declaration)
        return [self._writer(asked[0]).location(span) for span in spans]

    def highlights(self, params: types.DocumentHighlightParams) -> list[types.DocumentHighlight]:
        asked = self._asked(params)
        if asked is None:
            return []
        spans = [span for span in answers.references(*asked) if span.file == asked[1]]
        return [types.DocumentHighlight(self._writer(asked[0]).range(span)) for span in spans]

    def symbols(self, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        here = self._here(params.text_document.uri)
        if here is None:
            return []
        return [self._writer(here[0]).symbol(symbol) for symbol in answers.symbols(*here)]

    def completion(self, params: types.CompletionParams) -> types.CompletionList | None:
        asked = self._asked(params)
        if asked is None:
            return None
        folder, file, offset = asked
        text = folder.text(file)
        items = complete(file, text, offset, folder.mentions())
        return types.CompletionList(
            is_incomplete=False,
            items=[completion(text, item, order) for order, item in enumerate(items)],
        )

    def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        here = self._here(params.text_document.uri)
        if here is None:
            return []
        folder, file = here
        writer, text = self._writer(folder), folder.text(file)
        start, end = (text.position(text.offset((p.line, p.character))) for p in (params.range.start, params.range.end))  # fmt: skip
        only = [str(getattr(kind, "value", kind)) for kind in params.context.only or ()]
        offered: list[types.CodeAction] = []
        if not only or _within(types.CodeActionKind.QuickFix, only):
            offered += [writer.quick_fix(d) for d in answers.fixes(folder, file, start, end)]
        safe = answers.safe_fixes(folder, file)
        if safe and _within(types.CodeActionKind.SourceFixAll, only):
            offered.append(writer.fix_all(safe))
        return offered

    def prepare_rename(self, params: types.PrepareRenameParams) -> types.Range | None:
        asked = self._asked(params)
        mention = answers.mention_at(*asked) if asked else None
        if asked is None or mention is None or mention.span.file != asked[1]:
            return None
        return self._writer(asked[0]).range(mention.span)

    def rename(self, params: types.RenameParams) -> types.WorkspaceEdit | None:
        asked = self._asked(params)
        if asked is None:
            return None
        try:
            spans = answers.renamed(*asked, params.new_name)
        except answers.RefusedError as error:
            raise JsonRpcException(str(error), types.LSPErrorCodes.RequestFailed.value) from None
        return self._writer(asked[0]).edits([(span, params.new_name) for span in spans])

    def _here(self, uri: str) -> tuple[Folder, str] | None:
        place = _place(uri)
        folder = self._folders.get(place[0]) if place else None
        if place is None or folder is None or not folder.is_configuration():
            return None
        return folder, place[1]

    def _asked(self, params: Any) -> tuple[Folder, str, int] | None:
        """The folder, file and offset that a question is about."""
        here = self._here(params.text_document.uri)
        if here is None:
            return None
        point = params.position
        return (*here, here[0].text(here[1]).offset((point.line, point.character)))

    def _writer(self, folder: Folder) -> Writer:
        return Writer(folder, self._uris.get(folder.directory, {}))


def _features(session: Session) -> dict[str, tuple[Callable[..., Any], Any]]:
    """Each method of the protocol that is served, with what to tell the editor about it."""
    trigger = ["{", " ", ".", "|", "[", "'", '"', "-"]
    kinds = [types.CodeActionKind.QuickFix, types.CodeActionKind.SourceFixAll]
    return {
        types.INITIALIZED: (session.watch, None),
        types.SHUTDOWN: (session.shut_down, None),
        types.TEXT_DOCUMENT_DID_OPEN: (session.opened, None),
        types.TEXT_DOCUMENT_DID_CHANGE: (session.changed, None),
        types.TEXT_DOCUMENT_DID_CLOSE: (session.closed, None),
        types.TEXT_DOCUMENT_DID_SAVE: (session.touched, types.SaveOptions(include_text=False)),
        types.WORKSPACE_DID_CHANGE_WATCHED_FILES: (session.touched, None),
        types.TEXT_DOCUMENT_HOVER: (session.hover, None),
        types.TEXT_DOCUMENT_DEFINITION: (session.definition, None),
        types.TEXT_DOCUMENT_REFERENCES: (session.references, None),
        types.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT: (session.highlights, None),
        types.TEXT_DOCUMENT_DOCUMENT_SYMBOL: (session.symbols, None),
        types.TEXT_DOCUMENT_COMPLETION: (
            session.completion,
            types.CompletionOptions(trigger_characters=trigger),
        ),
        types.TEXT_DOCUMENT_CODE_ACTION: (
            session.actions,
            types.CodeActionOptions(code_action_kinds=kinds),
        ),
        types.TEXT_DOCUMENT_PREPARE_RENAME: (session.prepare_rename, None),
        types.TEXT_DOCUMENT_RENAME: (session.rename, types.RenameOptions(prepare_provider=True)),
    }


def _place(uri: str) -> tuple[Path, str] | None:
    """The folder and file of a URI, when the file may be one of ours."""
    path = to_fs_path(uri)
    if path is None or Path(path).name not in FILES:
        return None
    return Path(path).parent, Path(path).name


def _edited(text: Text, change: Any) -> Text:
    scope = getattr(change, "range", None)
    if scope is None:
        return Text(change.text, text.encoding)
    start, end = ((p.line, p.character) for p in (scope.start, scope.end))
    return text.edited(start, end, change.text)


def _within(kind: types.CodeActionKind, asked: list[str]) -> bool:
    """Whether an editor that asks for these kinds wants this one; asking for a kind asks for all below."""
    return any(kind.value == a or kind.value.startswith(f"{a}.") for a in asked)
