"""The report of an import: every setting of the source, by what became of it. For people and for programs."""

import re
from collections import Counter
from typing import Any

from engine.config.source.any_yaml import Path
from engine.config.source.secret_shapes import SECRET
from engine.importers.notes import ImportRow, SettingStatus
from engine.importers.result import ImportResult

_TITLES = {
    SettingStatus.CARRIED: "carried",
    SettingStatus.OTHERWISE: "carried with a difference",
    SettingStatus.ASKS: "needs your decision",
    SettingStatus.DROPPED: "not carried",
}


def view_import(result: ImportResult) -> dict[str, Any]:
    """What `schemas/output/import.schema.json` describes."""
    return {
        "format_version": "1.0",
        "program": result.program,
        "files": sorted(result.files),
        "counts": counts(result),
        "settings": [
            {
                "file": row.file,
                "line": row.line,
                "setting": format_path(row.path),
                "treatment": row.status.value,
                "note": row.note,
            }
            for row in result.rows
        ],
    }


def counts(result: ImportResult) -> dict[str, int]:
    """How many settings had each status."""
    found = Counter(row.status for row in result.rows)
    return {status.value: found[status] for status in SettingStatus}


def render_import(result: ImportResult) -> str:
    """A line for each setting, what needs attention last, and the counts."""
    lines: list[str] = []
    for status in SettingStatus:
        rows = [row for row in result.rows if row.status is status]
        if rows:
            lines += [f"{_TITLES[status]}:", *(f"  {_line(row)}" for row in rows), ""]
    return "\n".join([*lines, summary(result)]) + "\n"


def summary(result: ImportResult) -> str:
    """The counts in one line."""
    found = counts(result)
    parts = ", ".join(f"{found[status.value]} {title}" for status, title in _TITLES.items())
    parts = parts if found["asks_you"] == 1 else parts.replace("needs your", "need your")
    return f"{len(result.rows)} setting{'s' * (len(result.rows) != 1)}: {parts}"


def _line(row: ImportRow) -> str:
    return f"{row.file}:{row.line}: {format_path(row.path)}" + (
        f" - {row.note}" if row.note else ""
    )


def format_path(path: Path) -> str:
    """A path as `model_list[0].litellm_params.model`; a key that may be a secret is stars."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            shown = SECRET.sub("***", re.sub(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd]", "?", step))
            text += f".{shown}" if text else shown
    return text or "(the whole file)"
