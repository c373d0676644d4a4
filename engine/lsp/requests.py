"""The requests of an editor about one place of a file, each served from what `load` made of its folder."""

from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from engine.lsp import lookups
from engine.lsp.complete import complete
from engine.lsp.folder import Folder
from engine.lsp.protocol import completion
from engine.lsp.session import EditorSession


class Requests:
    """Handlers of the requests of LSP 3.17, for one session."""

    def __init__(self, session: EditorSession) -> None:
        self._session = session

    def hover(self, params: types.HoverParams) -> types.Hover | None:
        asked = self._asked(params)
        found = lookups.hover(*asked) if asked else None
        if asked is None or found is None:
            return None
        words, span = found
        content = types.MarkupContent(types.MarkupKind.Markdown, words)
        return types.Hover(content, self._session.writer(asked[0]).range(span) if span else None)

    def definition(self, params: types.DefinitionParams) -> list[types.Location]:
        asked = self._asked(params)
        if asked is None:
            return []
        return [
            self._session.writer(asked[0]).location(span) for span in lookups.definitions(*asked)
        ]

    def references(self, params: types.ReferenceParams) -> list[types.Location]:
        asked = self._asked(params)
        if asked is None:
            return []
        spans = lookups.references(*asked, with_definition=params.context.include_declaration)
        return [self._session.writer(asked[0]).location(span) for span in spans]

    def highlights(self, params: types.DocumentHighlightParams) -> list[types.DocumentHighlight]:
        asked = self._asked(params)
        if asked is None:
            return []
        spans = [span for span in lookups.references(*asked) if span.file == asked[1]]
        return [
            types.DocumentHighlight(self._session.writer(asked[0]).range(span)) for span in spans
        ]

    def symbols(self, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        here = self._session.find_folder(params.text_document.uri)
        if here is None:
            return []
        return [self._session.writer(here[0]).symbol(symbol) for symbol in lookups.symbols(*here)]

    def completion(self, params: types.CompletionParams) -> types.CompletionList | None:
        asked = self._asked(params)
        if asked is None:
            return None
        folder, file, offset = asked
        text = folder.text(file)
        items = complete(file, text, offset, folder.occurrences())
        return types.CompletionList(
            is_incomplete=False,
            items=[completion(text, item, order) for order, item in enumerate(items)],
        )

    def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        here = self._session.find_folder(params.text_document.uri)
        if here is None:
            return []
        folder, file = here
        writer, text = self._session.writer(folder), folder.text(file)
        start, end = (text.position(text.offset((p.line, p.character))) for p in (params.range.start, params.range.end))  # fmt: skip
        only = [str(getattr(kind, "value", kind)) for kind in params.context.only or ()]
        offered: list[types.CodeAction] = []
        if not only or _within(types.CodeActionKind.QuickFix, only):
            offered += [writer.quick_fix(d) for d in lookups.fixes(folder, file, start, end)]
        safe = lookups.safe_fixes(folder, file)
        if safe and _within(types.CodeActionKind.SourceFixAll, only):
            offered.append(writer.fix_all(safe))
        return offered

    def prepare_rename(self, params: types.PrepareRenameParams) -> types.Range | None:
        asked = self._asked(params)
        mention = lookups.occurrence_at(*asked) if asked else None
        if asked is None or mention is None or mention.span.file != asked[1]:
            return None
        return self._session.writer(asked[0]).range(mention.span)

    def rename(self, params: types.RenameParams) -> types.WorkspaceEdit | None:
        asked = self._asked(params)
        if asked is None:
            return None
        try:
            spans = lookups.renamed(*asked, params.new_name)
        except lookups.RefusedError as error:
            raise JsonRpcException(str(error), types.LSPErrorCodes.RequestFailed.value) from None
        return self._session.writer(asked[0]).edits([(span, params.new_name) for span in spans])

    def _asked(self, params: Any) -> tuple[Folder, str, int] | None:
        """The folder, file and offset that a question is about."""
        here = self._session.find_folder(params.text_document.uri)
        if here is None:
            return None
        point = params.position
        return (*here, here[0].text(here[1]).offset((point.line, point.character)))


def _within(kind: types.CodeActionKind, asked: list[str]) -> bool:
    """Whether an editor that asks for these kinds wants this one; asking for a kind asks for all below."""
    return any(kind.value == a or kind.value.startswith(f"{a}.") for a in asked)
