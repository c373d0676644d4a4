"""The cases of all findings: the example of each code, and further mistakes in corpus/, called `<CODE>-<mistake>`.

The further ones have the keys that engine/config/checks/examples.yaml describes. Where `bad` is a mapping, it says what to replace
in the minimal file; where `good` is one, what to replace in `bad`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.config.diagnostics.codes import FINDING_KINDS
from engine.config.examples import (
    Example,
    ExampleFolder,
    complete,
    example,
    example_folder,
    load_example,
)
from engine.config.files import FILES
from engine.config.load import Loaded
from tests.servers import parse_yaml
from tests.unit.config import folders
from tests.unit.config.folders import NOW, minimal, read

MINIMAL = {f"{name}.yaml": minimal(name) for name in ("routes", "providers")}
ENVIRON = {
    **folders.ENVIRON,
    "ACCOUNT": "abc123/",
    "AREA": "eu",
    "HOST_NAME": "eu.example.com:8443",
    "LIMITS_URL": "rediss://user:hunter2@cache:6379/1",
    "ORQEN_VAULT_KEY": "8f3a61c09d52e7b4183fac06d94e7b25c1e8705af29b3d64178eb5c3092fd64a",
    "RESOURCE": "foo/",
    "SCRAPE_TOKEN": "5c1e8705af29b3d64178eb5c3092fd64",
    "SERVER": "http://[::1]:8000/",
}


def _edited(text: str, edits: Mapping[str, str] | str) -> str:
    if isinstance(edits, str):
        return edits
    for old, new in edits.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def _case(entry: dict[str, Any]) -> Example:
    if "bad" in entry:
        bad = _edited(MINIMAL.get(entry["file"], ""), entry["bad"])
        entry |= {"bad": bad, "good": _edited(bad, entry.get("good", ""))}
    return Example(**entry)


CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
_entries = [entry for file in CORPUS for entry in parse_yaml(file.read_bytes()).items()]
FURTHER = {name: _case(entry) for name, entry in _entries}
CASES = {**{code: example(code) for code in FINDING_KINDS}, **FURTHER}

# What no text says: the rest of the folder is minimal.
NO_FILES: dict[str, Callable[[Path], None]] = {
    "F001-a-folder-in-its-place": lambda folder: (folder / "providers.yaml").mkdir(),
    "F001-link-in-a-circle": lambda folder: (folder / "keys.yaml").symlink_to("keys.yaml"),
    "F001-link-to-nothing": lambda folder: (folder / "keys.yaml").symlink_to("nothing.yaml"),
}


def folder_of(case: str, *, good: bool = False) -> ExampleFolder:
    """One side of a case."""
    if case in FURTHER:
        return complete(FURTHER[case], MINIMAL, ENVIRON, good=good)
    return example_folder(case, good=good)


def load_case(case: str, folder: Path, *, good: bool = False) -> Loaded:
    """What is found in one side; files that are not of the configuration are read in `folder`."""
    if case not in FURTHER:
        return load_example(case, NOW, good=good)
    made = folder_of(case, good=good)
    write_files({name: raw for name, raw in made.texts.items() if name not in FILES}, folder)
    texts = {name: made.texts[name] for name in FILES}
    return read(folder, made.environ, audit=case[0] == "A", overrides=texts)


def write_files(texts: Mapping[str, bytes | None], folder: Path) -> None:
    """Write those that are there."""
    for name, raw in texts.items():
        if raw is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(raw)
