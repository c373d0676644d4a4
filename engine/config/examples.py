"""A bad and a good example of every finding, as folders of texts, from checks/examples.yaml.

They are for documentation; nothing that checks or serves a configuration reads them.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.config.checks.registry import SERVER
from engine.config.files import OPTIONAL
from engine.config.load import Loaded, load
from engine.config.source.document import parse_document

_SOURCE = Path(__file__).parent / "checks" / "examples.yaml"
_SECTION = re.compile(r"^(?=[a-z_]+:)", re.M)


@dataclass(frozen=True, slots=True)
class Example:
    """An entry of checks/examples.yaml, which says what its keys mean."""

    file: str = ""
    bad: str | None = None
    good: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False
    encoding: str = "utf-8"
    repeat: int = 1
    pad: int = 0
    also: Sequence[str] = ()
    elsewhere: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExampleFolder:
    """A configuration that `load` can read as overrides, and its environment variables."""

    texts: Mapping[str, bytes | None]
    environ: Mapping[str, str]


@cache
def _data() -> Any:
    document, _ = parse_document(_SOURCE.name, _SOURCE.read_bytes())
    assert document is not None  # noqa: S101 the file is ours and tests read it
    return document.data


def example(code: str) -> Example:
    """The example of a code of the catalogue."""
    return Example(**_data()["examples"][code])


def example_folder(code: str, *, good: bool = False) -> ExampleFolder:
    """The whole configuration that the example of a code stands for."""
    return complete(example(code), _data()["minimal"], _data()["environ"], good=good)


def complete(
    shown: Example, minimal: Mapping[str, str], environ: Mapping[str, str], *, good: bool = False
) -> ExampleFolder:
    """One side of an example, with the files and variables of a minimal configuration where it has none."""

    def whole(name: str, text: str) -> str:
        return text if shown.whole else _laid_over(minimal.get(name, ""), text)

    texts: dict[str, bytes | None] = dict.fromkeys(OPTIONAL)
    for name, text in {**minimal, **shown.beside}.items():
        texts[name] = whole(name, text).encode()
    if shown.file and not good:
        bad = shown.bad
        texts[shown.file] = None if bad is None else _stored(shown, whole(shown.file, bad))
    elif shown.good:
        texts[shown.file] = whole(shown.file, shown.good).encode()
    given = shown.environ if shown.file or not good else {}
    return ExampleFolder(texts, {**environ, **given})


def load_example(code: str, now: float, *, good: bool = False) -> Loaded:
    """What is found in an example; what server.yaml names is read from a disk, so a folder there has it."""
    made, shown = example_folder(code, good=good), example(code)
    beside = shown.beside if shown.file == SERVER else {}
    with TemporaryDirectory() if beside else nullcontext("/etc/gateway") as directory:
        for name, text in beside.items():
            (Path(directory) / name).write_text(text, "utf-8")
        return load(Path(directory), made.environ, now, overrides=made.texts, audit=True)


def _laid_over(base: str, text: str) -> str:
    """`base` with the top-level sections of `text` in place of its own, and the rest added."""
    sections = {part.partition(":")[0]: part for part in _SECTION.split(base) if part}
    for part in _SECTION.split(text):
        name = part.partition(":")[0]
        is_apart = sections.get(name, "").endswith("\n\n") and not part.endswith("\n\n")
        sections[name] = part + "\n" * is_apart
    return "".join(sections.values())


def _stored(shown: Example, text: str) -> bytes:
    """The bad text as bytes, with what would be too long to show."""
    last = text[text.rstrip("\n").rfind("\n") + 1 :]
    text += "".join(last.replace("1", str(n), 1) for n in range(2, shown.repeat + 1))
    raw = text.encode(shown.encoding)
    return raw.ljust(shown.pad - 1, b"#") + b"\n" if shown.pad else raw
