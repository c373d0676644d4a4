"""The tokens of a YAML text, for editing it and for comparing two layouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from engine.config.diagnostics.diagnostic import Position, Span


class _Untagged(getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]
    """Makes no tags, which nothing here looks at and which take a third of composing."""

    @staticmethod
    def resolve(*_: object) -> None: ...

    descend_resolver = ascend_resolver = resolve


LOADER = _Untagged


def opaque_spans(file: str, lines: Sequence[str]) -> list[Span]:
    """Where quoted and block scalars stand, in which a `#` begins no comment."""
    spans = []
    for event in yaml.parse("\n".join(lines), Loader=LOADER):
        if isinstance(event, yaml.ScalarEvent) and event.style:
            start, end = position(event.start_mark), position(event.end_mark)
            if event.style in "|>":  # a comment may stand beside the mark of a block
                start = Position(start.line + 1, 1)
            spans.append(Span(file, start, end))
    return spans


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the YAML scanner: `Scalar`, `Key`, `BlockEntry`; places are (line, column) from 0."""

    kind: str
    start: tuple[int, int]
    end: tuple[int, int]


def scan(text: str) -> list[Token]:
    """The tokens of a text that `parse_document` accepts."""
    return [
        Token(
            type(token).__name__.removesuffix("Token"),
            (token.start_mark.line, token.start_mark.column),
            (token.end_mark.line, token.end_mark.column),
        )
        for token in yaml.scan(text, Loader=LOADER)
    ]


def meaning(text: str) -> list[tuple[str, Any, Any]] | None:
    """What a YAML reader reads, None for an error: texts that differ only in spaces are equal."""
    try:
        return [
            (type(event).__name__, getattr(event, "value", None), getattr(event, "style", None))
            for event in yaml.parse(text, Loader=LOADER)
        ]
    except yaml.YAMLError:
        return None


def position(mark: Any) -> Position:
    """The place of a mark of PyYAML, which counts from 0."""
    return Position(mark.line + 1, mark.column + 1)
