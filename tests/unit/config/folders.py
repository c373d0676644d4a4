"""Small configuration folders: what a test does not write is filled in with a minimal valid pair."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from engine.config.diagnostics.diagnostic import Diagnostic
from engine.config.load import Loaded, load
from engine.report.text import render_text, summary
from tests.servers import dump_yaml

MINIMAL = Path(__file__).parent / "minimal"
SECRET = "a-secret-from-the-environment"
ENVIRON = {"OPENAI_API_KEY": SECRET, "OTHER_API_KEY": SECRET, "REGION": "eu-west-1"}
NOW = 1_790_000_000.0  # 2026-09-21, so that dates in test files mean the same for ever


class TextSnapshot(SingleFileSnapshotExtension):
    """One readable file for each case."""

    _write_mode = WriteMode.TEXT
    file_extension = "txt"


def fill(folder: Path) -> Path:
    """Put the minimal routes.yaml and providers.yaml where they are missing."""
    for name in ("routes.yaml", "providers.yaml"):
        if not (folder / name).exists():
            shutil.copyfile(MINIMAL / name, folder / name)
    return folder


def write(folder: Path, **files: str | bytes) -> Path:
    """Write `routes`, `providers` or `keys` into `folder`, the rest from the minimal pair."""
    for name, text in files.items():
        raw = text.encode() if isinstance(text, str) else text
        (folder / f"{name}.yaml").write_bytes(raw)
    return fill(folder)


def read(
    folder: Path,
    environ: Mapping[str, str] = ENVIRON,
    *,
    audit: bool = False,
    overrides: Mapping[str, bytes | None] = MappingProxyType({}),
) -> Loaded:
    """Load `folder` with a fixed environment and a fixed clock."""
    return load(folder, environ, NOW, overrides=overrides, audit=audit)


def codes(loaded: Loaded) -> list[str]:
    """The codes found, in their order."""
    return [found.code for found in loaded.diagnostics]


def only(loaded: Loaded) -> Diagnostic:
    """The one finding there is."""
    assert len(loaded.diagnostics) == 1, [str(d) for d in loaded.diagnostics]
    return loaded.diagnostics[0]


def report(loaded: Loaded, folder: Path | None = None) -> str:
    """All that `check` could say about `loaded`, as text; `folder` is written as FOLDER."""
    text = render_text(loaded.diagnostics, loaded.documents, colour=False)
    text = text.replace(str(folder), "FOLDER") if folder else text
    return f"{text}\n{summary(loaded.diagnostics, len(loaded.documents))}\n"


def underlined(text: str, loaded: Loaded) -> str:
    """The words that the one finding points at, taken from `text` by line and column."""
    span = only(loaded).span
    line = text.splitlines()[span.start.line - 1]
    return line[span.start.column - 1 : span.end.column - 1]


def minimal(name: str) -> str:
    """The text of a minimal file."""
    return (MINIMAL / f"{name}.yaml").read_text("utf-8")


def provider(**keys: object) -> str:
    """A providers.yaml whose one provider has these keys beside the least it needs."""
    least = {
        "base_url": "https://api.openai.com/v1",
        "endpoints": {"chat_completions": "/chat/completions", "embeddings": "/embeddings"},
    }
    return dump_yaml({"version": 1, "providers": {"openai": {**least, **keys}}})
