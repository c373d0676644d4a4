"""Where in a document a cursor is, also while the text around it is not valid YAML yet.

A mark is put at the cursor and the text is read; where that fails it is fixed in one of a few
texts: a key gets its colon, what is open before it is closed, the rest of the file is left out,
and at last all but the lines that the cursor's line is nested in.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.config.source.document import Data, Document, Path, parse_document
from engine.lsp.text import Text

_MARK = "\ue000"  # a character for private use, which YAML reads as text
_CLOSING = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class Cursor:
    """The key or scalar that holds the cursor.

    `before` is its text up to the cursor. `siblings` are the other keys of its mapping. `starts`
    means that it is a bare word that could still become the first key of a mapping.
    """

    path: Path
    before: str
    siblings: tuple[str, ...] = ()
    is_key: bool = False
    starts: bool = False


def locate(text: Text, offset: int) -> Cursor | None:
    """The place of the cursor; None in comments, between entries, and where nothing can be read."""
    for draft in _drafts(text, offset):
        document, _ = parse_document("", draft.encode("utf-8", "surrogatepass"))
        cursor = _find(document, document.data, ()) if document else None
        if cursor:
            return cursor
    return None


def _drafts(text: Text, offset: int) -> Iterator[str]:
    start, end = text.line_around(offset)
    source = text.source.replace(_MARK, "?")
    before, after = source[start:offset], source[offset:end]
    head, rest = source[:start], source[end:]
    for above, below in ((head, rest), (head, ""), (_nesting(head, before), "")):
        closing = _closing(above + before)
        for tail in (after, ":" + after, closing, ":" + closing):
            yield above + before + _MARK + tail + below


def _closing(text: str) -> str:
    """What would close the template, quote and brackets still open at the end of `text`."""
    top = max((m.start() for m in re.finditer(r"^[^\s#]", text, re.M)), default=0)
    quote, open_brackets, is_start, comment = "", "", True, False
    for index in range(top, len(text)):
        char = text[index]
        if comment:
            comment = char != "\n"
        elif quote:
            quote = "" if char == quote else quote
        elif char == "#" and text[index - 1 : index] in ("", " ", "\n"):
            comment = True
        elif is_start and char in "'\"":
            quote = char
        elif is_start and char in "{[":
            open_brackets += _CLOSING[char]
        elif open_brackets and char == open_brackets[-1]:
            open_brackets = open_brackets[:-1]
        is_start = char in ":,[{-\n" or (is_start and char == " ")
    template = quote and text.rfind("{{") > max(text.rfind("}}"), text.rfind("\n"))
    return ("}}" if template else "") + quote + open_brackets[::-1]


def _nesting(head: str, line: str) -> str:
    """The lines of `head` that the line is nested in, by their indentation."""
    kept: list[str] = []
    is_item = line.lstrip().startswith("-")
    indent = len(line) - len(line.lstrip()) + is_item
    for above in reversed(head.splitlines()):
        words = above.lstrip()
        depth = len(above) - len(words)
        if words and not words.startswith("#") and depth < indent:
            if is_item and words.startswith("-") and depth == indent - 1:
                continue
            kept.append(above)
            indent, is_item = depth, words.startswith("-")
            indent += is_item
    return "".join(f"{line}\n" for line in reversed(kept))


def _find(document: Document, data: Data, path: Path) -> Cursor | None:
    match data:
        case dict():
            for key, value in data.items():
                if _MARK in key:
                    others = tuple(other for other in data if other is not key)
                    name = key.replace(_MARK, "")
                    started = key.partition(_MARK)[0]
                    return Cursor((*path, name), started, others, is_key=True)
                found = _find(document, value, (*path, key))
                if found:
                    return found
        case list():
            inner = (_find(document, item, (*path, i)) for i, item in enumerate(data))
            return next((found for found in inner if found), None)
        case str() if _MARK in data:
            entry = document.entries[path]
            below = entry.key is None or entry.key.start.line < entry.value.start.line
            bare = re.fullmatch(rf"[\w-]*{_MARK}[\w-]*", data) is not None
            return Cursor(path, data.partition(_MARK)[0], starts=below and bare)
    return None
