"""What the language server knows of one editor: its folders, their texts, and the findings it published."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from engine.config.diagnostics.diagnostic import Severity
from engine.config.files import FILES
from engine.lsp.folder import Folder
from engine.lsp.protocol import Writer
from engine.lsp.text import Text

PAUSE = 0.15
"""Seconds without an edit before a folder is checked again."""


class EditorSession:
    """What the server knows of one editor: its folders, and the names it has for its files."""

    def __init__(self, server: LanguageServer, environ: Mapping[str, str]) -> None:
        self.server = server
        self.is_shut_down = False
        self._environ = environ
        self._folders: dict[Path, Folder] = {}
        self._uris: dict[Path, dict[str, str]] = {}
        self._versions: dict[str, int] = {}
        self._reported: set[str] = set()
        self._checks: dict[Path, asyncio.Task[None]] = {}

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

    def files_changed(self, params: Any) -> None:
        """Files changed on disk, perhaps not by the editor: every open folder is checked again."""
        del params
        for folder in self._folders.values():
            folder.generation += 1
            self._schedule(folder, PAUSE)

    def watch(self, params: types.InitializedParams) -> None:
        """Ask the editor to report when one of our files changes on disk, if it can."""
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
        if folder.accept(generation, loaded):
            self._publish(folder)

    def _publish(self, folder: Folder) -> None:
        """Report every finding but the notes about the environment, since an editor rarely runs where the gateway does."""
        writer = self.writer(folder)
        found = [d for d in folder.loaded().diagnostics if d.severity is not Severity.NOTE]
        for file in FILES:
            here = [writer.diagnostic(d) for d in found if d.span.file == file]
            self._notify(writer.uri(file), here, always=file in folder.open)

    def _notify(self, uri: str, found: list[types.Diagnostic], *, always: bool = False) -> None:
        if not (found or always or uri in self._reported):
            return
        (self._reported.add if found else self._reported.discard)(uri)
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

    def find_folder(self, uri: str) -> tuple[Folder, str] | None:
        place = _place(uri)
        folder = self._folders.get(place[0]) if place else None
        if place is None or folder is None or not folder.is_configuration():
            return None
        return folder, place[1]

    def writer(self, folder: Folder) -> Writer:
        return Writer(folder, self._uris.get(folder.directory, {}))


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
