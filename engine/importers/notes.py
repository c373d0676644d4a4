"""What became of every setting of a source: each leaf of its documents has exactly one row in the end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from engine.config.source.any_yaml import ForeignDocument, Path


class SettingStatus(StrEnum):
    """What became of a setting."""

    CARRIED = "carried"
    OTHERWISE = "carried_otherwise"
    ASKS = "asks_you"
    DROPPED = "not_carried"


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One setting: its place, what became of it, and how or why. The note never holds a secret."""

    file: str
    line: int
    path: Path
    status: SettingStatus
    note: str


class ImportNotes:
    """Rows by place. The first note on a setting stays; `rows` adds those that nothing has treated."""

    def __init__(self, documents: Iterable[ForeignDocument]) -> None:
        self._documents = {document.file: document for document in documents}
        self._rows: dict[tuple[str, Path], ImportRow] = {}
        self._below = {file: _below(d.lines) for file, d in self._documents.items()}

    def add(self, file: str, path: Path, status: SettingStatus, words: str = "") -> None:
        """Say what became of the setting at `path`, and of all below it that has no row yet."""
        for leaf, line in self._leaves(file, path):
            self._rows.setdefault((file, leaf), ImportRow(file, line, leaf, status, words))

    def replace(self, file: str, path: Path, status: SettingStatus, words: str) -> None:
        """The same, in place of what was said before."""
        for leaf, line in self._leaves(file, path):
            self._rows[file, leaf] = ImportRow(file, line, leaf, status, words)

    def _leaves(self, file: str, path: Path) -> list[tuple[Path, int]]:
        lines = self._documents[file].lines
        if path in lines:
            return [(path, lines[path])]
        return [(leaf, lines[leaf]) for leaf in self._below[file].get(path, ())]

    def rows(self) -> tuple[ImportRow, ...]:
        """All rows, in the order of the source."""
        for file, document in self._documents.items():
            self.add(file, (), SettingStatus.DROPPED, "this importer does not know the setting")
            for path, line in document.repeated:
                words = "written again below: the later one counts, for the other program too"
                row = ImportRow(file, line, path, SettingStatus.OTHERWISE, words)
                self._rows[file, (*path, f"line {line}")] = row
        order = {
            (document.file, path): number
            for number, (document, path) in enumerate(
                (document, path) for document in self._documents.values() for path in document.lines
            )
        }
        files = list(self._documents)
        return tuple(
            sorted(
                self._rows.values(),
                key=lambda row: (
                    files.index(row.file),
                    row.line,
                    order.get((row.file, row.path), 0),
                ),
            )
        )


def _below(lines: Mapping[Path, int]) -> dict[Path, list[Path]]:
    """The leaves below each place, in the order of the document."""
    found: dict[Path, list[Path]] = {}
    for leaf in lines:
        for length in range(len(leaf)):
            found.setdefault(leaf[:length], []).append(leaf)
    return found
