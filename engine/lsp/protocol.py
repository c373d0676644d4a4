"""Values of this package as those of the language server protocol (LSP 3.17)."""

from collections.abc import Iterable, Sequence

from lsprotocol import types

from engine.config.diagnostics.diagnostic import Applicability, Diagnostic, Fix, Severity, Span
from engine.config.resources import shipped
from engine.lsp.complete import Item
from engine.lsp.folder import Folder
from engine.lsp.lookups import Symbol
from engine.lsp.text import Text

SOURCE = "engine"
_SEVERITY = {
    Severity.ERROR: types.DiagnosticSeverity.Error,
    Severity.WARNING: types.DiagnosticSeverity.Warning,
    Severity.NOTE: types.DiagnosticSeverity.Information,
}
_SYMBOLS = {
    "section": types.SymbolKind.Namespace,
    "named": types.SymbolKind.Class,
    "item": types.SymbolKind.Field,
}
_ITEMS = {
    "key": types.CompletionItemKind.Property,
    "value": types.CompletionItemKind.Value,
    "filter": types.CompletionItemKind.Function,
    "name": types.CompletionItemKind.Variable,
}
_REFERENCE = types.CompletionItemKind.Reference


class Writer:
    """Writes the values of one folder; `uris` are the editor's own names for its files."""

    def __init__(self, folder: Folder, uris: dict[str, str]) -> None:
        self._folder = folder
        self._uris = uris

    def uri(self, file: str) -> str:
        """The editor's name of a file, or the one a file gets that it has not opened."""
        return self._uris.get(file) or (self._folder.directory / file).as_uri()

    def range(self, span: Span) -> types.Range:
        """A span in the editor's counting."""
        text = self._folder.text(span.file)
        start = text.offset_of(span.start)
        return between(text, start, max(start, text.offset_of(span.end)))

    def location(self, span: Span) -> types.Location:
        """A span with its file."""
        return types.Location(self.uri(span.file), self.range(span))

    def diagnostic(self, found: Diagnostic) -> types.Diagnostic:
        """A finding with the text of its underline, its fix and its other places."""
        words = [found.message, found.label, f"help: {found.help}" if found.help else ""]
        related = [
            types.DiagnosticRelatedInformation(self.location(r.span), r.label)
            for r in found.related
        ]
        return types.Diagnostic(
            range=self.range(found.span),
            message="\n".join(word for word in words if word),
            severity=_SEVERITY[found.severity],
            code=found.code,
            code_description=_page(found),
            source=SOURCE,
            related_information=related or None,
        )

    def edits(self, changes: Iterable[tuple[Span, str]]) -> types.WorkspaceEdit:
        """Texts put in place of spans, by file."""
        files: dict[str, list[types.TextEdit]] = {}
        for span, text in changes:
            files.setdefault(self.uri(span.file), []).append(types.TextEdit(self.range(span), text))
        return types.WorkspaceEdit(changes={uri: tuple(edits) for uri, edits in files.items()})

    def quick_fix(self, found: Diagnostic) -> types.CodeAction:
        """A finding's fix, to be applied with one key; preferred when it cannot be wrong."""
        assert found.fix is not None  # noqa: S101 asked for those that have one
        return types.CodeAction(
            title=_title(found, found.fix),
            kind=types.CodeActionKind.QuickFix,
            diagnostics=[self.diagnostic(found)],
            is_preferred=found.fix.applicability is Applicability.SAFE,
            edit=self.edits([(found.fix.span, found.fix.text)]),
        )

    def fix_all(self, found: Sequence[Diagnostic]) -> types.CodeAction:
        """All safe fixes of a file in one edit."""
        return types.CodeAction(
            title="Apply all safe fixes",
            kind=types.CodeActionKind.SourceFixAll,
            edit=self.edits([(d.fix.span, d.fix.text) for d in found if d.fix]),
        )

    def symbol(self, symbol: Symbol) -> types.DocumentSymbol:
        """An entry of an outline with all below it."""
        whole = Span(symbol.span.file, symbol.span.start, symbol.end)
        return types.DocumentSymbol(
            name=symbol.name,
            kind=_SYMBOLS[symbol.kind],
            range=self.range(whole),
            selection_range=self.range(symbol.span),
            children=[self.symbol(child) for child in symbol.children],
        )


def _title(found: Diagnostic, fix: Fix) -> str:
    """What a fix does, as the text of a menu item."""
    if not fix.text:
        return "Remove it"
    if not fix.text.strip():
        return found.help.capitalize() or "Fix the spaces"
    return f"{'Insert' if fix.span.start == fix.span.end else 'Change to'} `{fix.text}`"


def between(text: Text, start: int, end: int) -> types.Range:
    """The range between two offsets."""
    first, last = text.point(start), text.point(end)
    return types.Range(types.Position(*first), types.Position(*last))


def completion(text: Text, item: Item, order: int) -> types.CompletionItem:
    """A completion that replaces the word at the cursor, in the order given."""
    words = types.MarkupContent(types.MarkupKind.Markdown, item.documentation)
    return types.CompletionItem(
        label=item.label,
        kind=_ITEMS.get(item.kind, _REFERENCE),
        detail="required" if item.required else item.kind,
        documentation=words if item.documentation else None,
        sort_text=f"{order:04}",
        filter_text=item.label,
        text_edit=types.TextEdit(between(text, item.start, item.end), item.text),
    )


def _page(found: Diagnostic) -> types.CodeDescription | None:
    """The reference page of all codes, at the one found."""
    page = shipped("docs/codes.md")
    if not page.exists():
        return None
    return types.CodeDescription(href=f"{page.as_uri()}#{found.code.lower()}-{found.name}")
