"""A configuration folder with the texts an editor holds in place of its files."""

import time
from collections.abc import Mapping
from pathlib import Path

from engine.config.diagnostics.diagnostic import Span
from engine.config.files import FILES, OPTIONAL
from engine.config.load import Loaded, load
from engine.config.source.document import Document
from engine.config.source.files import read_file
from engine.lsp.names import Occurrence, occurrences
from engine.lsp.text import Text
from engine.plan.plan import Plan


class Folder:
    """What `load` makes of a folder, kept until something changes.

    `generation` counts the changes. `documents` are the last readable ones, `plan` is the last one
    without errors: they serve questions about a text that is being typed.
    """

    def __init__(self, directory: Path, environ: Mapping[str, str], encoding: str) -> None:
        self.directory = directory
        self.open: dict[str, Text] = {}
        self.generation = 0
        self.documents: dict[str, Document] = {}
        self.plan: Plan | None = None
        self._readable: dict[str, Document] = {}
        self._environ = environ
        self._encoding = encoding
        self._loaded: tuple[int, Loaded] | None = None
        self._mentions: tuple[int, tuple[Occurrence, ...]] | None = None

    def is_configuration(self) -> bool:
        """Whether it has all the files that a gateway needs; a lone routes.yaml may be anyone's."""
        needed = FILES.keys() - OPTIONAL
        return all(file in self.open or (self.directory / file).is_file() for file in needed)

    def put(self, file: str, text: Text | None) -> None:
        """Let `text` count for `file`; None for what is on disk."""
        self.generation += 1
        if text is None:
            self.open.pop(file, None)
        else:
            self.open[file] = text

    def check(self) -> Loaded:
        """Load the folder as it is now, keeping nothing; for use in another thread."""
        overrides = {file: text.raw for file, text in self.open.items()}
        return load(self.directory, self._environ, time.time(), overrides=overrides)

    def accept(self, generation: int, loaded: Loaded) -> bool:
        """Keep what a check of `generation` found; False when the texts have changed since."""
        if generation != self.generation:
            return False
        if self._loaded is None or self._loaded[0] != generation:
            self._loaded = generation, loaded
            self._readable = {f: d for f, d in loaded.documents.items() if d.data is not None}
            self.documents |= self._readable
            self.plan = loaded.plan or self.plan
        return True

    def loaded(self) -> Loaded:
        """The load result for the current texts."""
        if self._loaded is None or self._loaded[0] != self.generation:
            self.accept(self.generation, self.check())
        assert self._loaded is not None  # noqa: S101 `accept` has just set it
        return self._loaded[1]

    def readable(self) -> dict[str, Document]:
        """The documents that are YAML as they are now."""
        self.loaded()
        return self._readable

    def latest(self) -> None:
        """Make sure that there is something to respond from, old or new."""
        if self._loaded is None:
            self.loaded()

    def occurrences(self) -> tuple[Occurrence, ...]:
        """All names in the last readable documents."""
        self.latest()
        generation = self._loaded[0] if self._loaded else 0
        if self._mentions is None or self._mentions[0] != generation:
            self._mentions = generation, occurrences(self.documents)
        return self._mentions[1]

    def text(self, file: str) -> Text:
        """The text that counts for `file`; "" when it is not there."""
        if file in self.open:
            return self.open[file]
        try:
            source = read_file(self.directory / file).decode("utf-8", "replace")
        except OSError:
            source = ""
        return Text(source, self._encoding)

    def quoted(self, span: Span) -> str:
        """The words at `span`."""
        text = self.text(span.file)
        return text.source[text.offset_of(span.start) : text.offset_of(span.end)]
