"""YAML and JSON of other programs: plain data, and the line of every value.

Unlike our own files, it may have anchors, aliases, merge keys and tags, and scalars mean what YAML 1.1 says, since
those programs read them so. Expansion is bounded: a text of a few lines can stand for billions of values.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]

MAX_BYTES = 4 * 1024 * 1024
MAX_VALUES = 100_000
MAX_DEPTH = 64
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:binary", "tag:yaml.org,2002:value")
_PAIR = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_SCALARS = yaml.constructor.SafeConstructor()


@dataclass(frozen=True, slots=True)
class ForeignDocument:
    """A file of another program.

    `lines` has the line of every leaf: each scalar and each empty mapping or list. `repeated` are keys that stand twice in a
    mapping, of which the program reads the last.
    """

    file: str
    data: Any
    lines: Mapping[Path, int]
    repeated: tuple[tuple[Path, int], ...] = ()


class UnreadableError(Exception):
    """The text cannot be read; the message says where and why, and quotes no value."""


@dataclass(slots=True)
class _Walk:
    lines: dict[Path, int] = field(default_factory=dict)
    repeated: list[tuple[Path, int]] = field(default_factory=list)
    count: int = 0


def read_foreign(file: str, raw: bytes) -> ForeignDocument:
    """Read `raw` as YAML or JSON.

    Raises:
        UnreadableError: it is neither, or too large.
    """
    if len(raw) > MAX_BYTES:
        raise UnreadableError(f"{file} is larger than 4 MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{file} is not UTF-8 text") from error
    if text.lstrip()[:1] in ("{", "["):  # JSON may be indented with tabs, YAML never
        text = _PAIR.sub(_joined, text.replace("\t", " "))
    walk = _Walk()
    data = _build(file, walk, _compose(file, text), (), ())
    return ForeignDocument(file, data, walk.lines, tuple(walk.repeated))


def _compose(file: str, text: str) -> yaml.Node | None:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise UnreadableError(f"{file} is nested deeper than {MAX_DEPTH} levels")
        node: yaml.Node | None = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}" if mark else ""
        raise UnreadableError(f"{file}{where} is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise UnreadableError(f"{file} has characters that YAML does not allow") from error
    return node


def _build(
    file: str, walk: _Walk, node: yaml.Node | None, path: Path, inside: tuple[int, ...]
) -> Any:
    walk.count += 1
    if walk.count > MAX_VALUES:
        raise UnreadableError(f"{file} has more than {MAX_VALUES} values")
    if id(node) in inside or len(inside) > MAX_DEPTH:
        raise UnreadableError(
            f"{file} contains itself, or is nested deeper than {MAX_DEPTH} levels"
        )
    inside = (*inside, id(node))
    if isinstance(node, yaml.MappingNode) and node.value:
        pairs = _pairs(walk, node, path)
        return {
            key: _build(file, walk, value, (*path, key), inside) for key, value in pairs.items()
        }
    if isinstance(node, yaml.SequenceNode) and node.value:
        return [_build(file, walk, item, (*path, i), inside) for i, item in enumerate(node.value)]
    walk.lines[path] = node.start_mark.line + 1 if node else 1
    if isinstance(node, yaml.CollectionNode):
        return {} if isinstance(node, yaml.MappingNode) else []
    return _scalar(node)


def _pairs(walk: _Walk, node: yaml.MappingNode, path: Path) -> dict[str, yaml.Node]:
    """The entries of a mapping, those of its merge keys first, so that its own replace them."""
    merged: dict[str, yaml.Node] = {}
    own: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        if key_node.tag == _MERGE:
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for source in sources:
                if isinstance(source, yaml.MappingNode):
                    merged = {**_pairs(_Walk(), source, path), **merged}
            continue
        key = str(_scalar(key_node)) if isinstance(key_node, yaml.ScalarNode) else "(key)"
        if key in own:
            walk.repeated.append(((*path, key), own[key].start_mark.line + 1))
        own[key] = value
    return {**merged, **own}


def _scalar(node: yaml.Node | None) -> Any:
    if node is None:
        return None
    if node.tag in _TEXT or not node.tag.startswith("tag:yaml.org,2002:"):
        return node.value
    try:
        value = _SCALARS.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError):
        return node.value
    return value


def _joined(found: re.Match[str]) -> str:
    """The halves of a character that JSON writes as two escapes, as the one escape that YAML knows."""
    high, low = int(found[1], 16), int(found[2], 16)
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + low - 0xDC00:08x}"
