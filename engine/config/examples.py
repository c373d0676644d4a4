"""A bad and a good example of every finding, as folders of texts, from checks/examples.yaml.

They are for documentation; nothing that checks or serves a configuration reads them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
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
    """An example as it is shown: the text of `file` that is wrong, None for no file, and the right one.

    `elsewhere`: it is wrong only where some package is not installed. `also` are further codes
    that the wrong one gives.
    """

    file: str
    bad: str | None
    good: str
    beside: Mapping[str, str]
    elsewhere: bool
    also: tuple[str, ...]


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
    entry = _data()["examples"][code]
    return Example(
        file=entry["file"],
        bad=entry.get("bad"),
        good=entry["good"],
        beside=entry.get("beside", {}),
        elsewhere=entry.get("elsewhere", False),
        also=tuple(entry.get("also", ())),
    )


def folder(code: str, *, good: bool = False) -> ExampleFolder:
    """The whole configuration that an example stands for, made complete by a minimal one."""
    entry, minimal = _data()["examples"][code], _data()["minimal"]
    texts: dict[str, bytes | None] = dict.fromkeys(OPTIONAL)
    for name, text in {**minimal, **entry.get("beside", {})}.items():
        texts[name] = _laid_over(minimal.get(name, ""), text).encode()
    file, text = entry["file"], entry["good"] if good else entry.get("bad")
    if text is None:
        texts[file] = None
        return ExampleFolder(texts, _environ(entry))
    whole = text if entry.get("whole") else _laid_over(minimal.get(file, ""), text)
    if entry.get("repeat") and not good:
        last = text.splitlines(keepends=True)[-1]
        whole += "".join(last.replace("1", str(n), 1) for n in range(2, entry["repeat"] + 1))
    raw = whole.encode("latin-1" if entry.get("latin_1") and not good else "utf-8")
    if entry.get("cut") and not good:
        raw = raw[: -entry["cut"]]
    if entry.get("pad") and not good:
        raw = raw.ljust(entry["pad"] - 1, b"#") + b"\n"
    texts[file] = raw
    return ExampleFolder(texts, _environ(entry))


def load_example(code: str, now: float, *, good: bool = False) -> Loaded:
    """What is found in an example; what server.yaml names is read from a disk, so a folder there has it."""
    made, shown = folder(code, good=good), example(code)
    beside = shown.beside if shown.file == SERVER else {}
    with TemporaryDirectory() as written:
        for name, text in beside.items():
            (Path(written) / name).write_text(text, "utf-8")
        directory = Path(written if beside else "/etc/gateway")
        return load(directory, made.environ, now, overrides=made.texts, audit=True)


def _environ(entry: Mapping[str, Any]) -> dict[str, str]:
    return {**_data()["environ"], **entry.get("environ", {})}


def _laid_over(base: str, text: str) -> str:
    """`base` with the top-level sections of `text` in place of its own, and the rest added."""
    sections = {part.partition(":")[0]: part for part in _SECTION.split(base) if part}
    for part in _SECTION.split(text):
        sections[part.partition(":")[0]] = part
    return "".join(sections.values())
