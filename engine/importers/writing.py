"""Plain data as the YAML of a person: short collections on a line, long ones below each other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.config.source.any_yaml import Path
from engine.config.yaml_text import plain_text

WIDTH = 112
Comments = Mapping[Path, str]


def render(data: Mapping[str, Any], blocks: int, comments: Comments, head: str) -> str:
    """The text of a file. Collections less than `blocks` levels deep never share a line; `head` is its first comment."""
    lines = [f"# {line}" for line in head.splitlines()]
    writer = _Writer(blocks, comments)
    for number, (key, value) in enumerate(data.items()):
        lines += [""] if number and isinstance(value, dict | list) else []
        lines += writer.entry(key, value, (key,))
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Writer:
    """What holds for a whole file; a path has a step for each level of mappings and lists."""

    blocks: int
    comments: Comments

    def entry(self, key: str, value: Any, path: Path) -> Iterator[str]:
        """The lines of a key and its value, without the indentation of what is around it."""
        head = f"{plain_text(key)}:"
        if comment := self.comments.get(path):
            yield f"# {comment}"
        room = WIDTH - 2 * len(path)
        if not _is_nested(value) or (len(path) >= self.blocks and _fits(head, value, room)):
            yield f"{head} {plain_text(value)}"
        else:
            yield head
            yield from (f"  {line}" for line in self._inner(value, path))

    def _inner(self, value: Any, path: Path) -> Iterator[str]:
        if isinstance(value, Mapping):
            for key, item in value.items():
                yield from self.entry(key, item, (*path, key))
            return
        for number, item in enumerate(value):
            if comment := self.comments.get((*path, number)):
                yield f"# {comment}"
            if not _is_nested(item) or _fits("-", item, WIDTH - 2 * len(path)):
                yield f"- {plain_text(item)}"
            else:
                first, *rest = self._inner(item, (*path, number))
                yield f"- {first}"
                yield from (f"  {line}" for line in rest)


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | list) and bool(value)


def _fits(head: str, value: Any, room: int) -> bool:
    return len(f"{head} {plain_text(value)}") <= room
