"""Fixes for common typos in values: a finding in, the finding with its fix out.

No fix contains text of the file that could be a secret.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from engine.config.diagnostics.diagnostic import Applicability, Diagnostic, Fix, Position, Span
from engine.config.source.document import Data, Document, Path

SAFE, UNSAFE = Applicability.SAFE, Applicability.UNSAFE
_VARIABLE = re.compile(
    r"\$(?:\{([A-Z][A-Z0-9_]*)\}|([A-Z][A-Z0-9_]*))|os\.environ/([A-Z][A-Z0-9_]*)"
)
_SWITCH = {
    "yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false",
}  # fmt: skip
_UNITS = {
    "ms": "ms", "msec": "ms", "millis": "ms", "milliseconds": "ms", "s": "s", "sec": "s", "secs": "s",
    "second": "s", "seconds": "s", "m": "m", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
    "h": "h", "hr": "h", "hour": "h", "hours": "h", "b": "B", "kib": "KiB", "mib": "MiB", "gib": "GiB",
}  # fmt: skip
_NEAR_UNITS = {"k": "KiB", "kb": "KiB", "mb": "MiB", "g": "GiB", "gb": "GiB"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
Replacement = tuple[Span, str, Applicability]


class VariableReference(NamedTuple):
    """A reference to an environment variable: its name, and what is written `around` it."""

    name: str
    around: str


def find_variable(value: Data) -> VariableReference | None:
    """The variable of `$NAME`, `${NAME}` or `os.environ/NAME`; None for anything else."""
    found = _VARIABLE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    name = found[1] or found[2] or found[3]
    return VariableReference(name, found[0].replace(name, ""))


def valid_name(text: str) -> str:
    """`text` in small letters, with `_` between its words; "" where that is no name."""
    name = re.sub(r"[-. ]", "_", text.casefold())
    return name if _NAME.fullmatch(name) else ""


def with_fix(document: Document, d: Diagnostic) -> Diagnostic:
    """`d` with a fix, if it is about a known typo."""
    if d.fix is not None or not d.path or d.path not in document.entries:
        return d
    value = document.value(d.path)
    for repairer in _REPAIRERS.get(d.code, ()):
        made = repairer(document, d, value)
        if made is not None:
            fix = Fix(*made)
            return replace(d, fix=fix, help=d.help or (f"write `{fix.text}`" if fix.text else ""))
    return d


def _value(document: Document, path: Path) -> Span:
    return document.entries[path].value


def _quote_number(document: Document, d: Diagnostic, value: Data) -> Replacement | None:
    """4.1 where a name belongs: quoted as it is written, so that 4.10 stays 4.10."""
    if d.help != "quote the value" or not isinstance(value, int | float):
        return None
    span = _value(document, d.path)
    raw = document.lines[span.start.line - 1][span.start.column - 1 : span.end.column - 1]
    return (span, f'"{raw}"', SAFE) if re.fullmatch(r"[-+.0-9eE]{1,20}", raw) else None


def _switch(document: Document, d: Diagnostic, value: Data) -> Replacement | None:
    word = _SWITCH.get(value.casefold()) if isinstance(value, str) else None
    is_wanted = "must be `true` or `false`" in d.message
    return (_value(document, d.path), word, SAFE) if word and is_wanted else None


def _target(document: Document, d: Diagnostic, value: Data) -> Replacement | None:
    """`targets: [NAME]`: a name where a mapping with that provider belongs."""
    if d.path[-2:-1] != ("targets",) or not isinstance(value, str) or not _NAME.fullmatch(value):
        return None
    return _value(document, d.path), f"{{provider: {value}}}", SAFE


def _credential(document: Document, d: Diagnostic, value: Data) -> Replacement | None:
    """$NAME under `credentials:`, which names a variable."""
    variable = find_variable(value)
    if variable is None or d.path[-2:-1] != ("credentials",):
        return None
    return _value(document, d.path), f"{{env: {variable.name}}}", SAFE


def _env(document: Document, d: Diagnostic, value: Data) -> Replacement | None:
    """`env: $NAME`, which takes the name alone."""
    variable = find_variable(value)
    if variable is None or "env" not in d.path[-2:]:
        return None
    return _value(document, d.path), variable.name, SAFE


def _slash(document: Document, d: Diagnostic, value: Data) -> Replacement | None:
    """A slash at the end of a base URL: removed; the fix contains nothing else of the value."""
    span = _value(document, d.path)
    if d.path[-1] != "base_url" or not isinstance(value, str) or not value.endswith("/"):
        return None
    if not d.message.endswith("ends with a slash"):
        return None  # there is more wrong with it, as with `http://`
    line = document.lines[span.start.line - 1][: span.end.column - 1]
    end = len(line.rstrip("\"'"))
    start = len(line[:end].rstrip("/"))
    row = span.start.line
    return Span(span.file, Position(row, start + 1), Position(row, end + 1)), "", SAFE


def _star(document: Document, d: Diagnostic, value: Data) -> Replacement | None:
    """`model: gpt-*`, where a prefix is intended, and `prefix: gpt-*`."""
    entry = document.entries[d.path]
    is_start = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._/@:-]{1,80}\*", value)
    if not is_start or d.path[:1] != ("models",) or len(d.path) != 3 or entry.key is None:
        return None
    if d.path[-1] not in ("model", "prefix") or entry.key.start.line != entry.value.start.line:
        return None
    span = Span(entry.key.file, entry.key.start, entry.value.end)
    return span, f'prefix: "{str(value)[:-1]}"', SAFE


def _unit(document: Document, d: Diagnostic, value: Data) -> Replacement | None:
    """A duration or size in a spelling of its own; only the same amount is sure."""
    found = re.fullmatch(r"([0-9]{1,9}) *([A-Za-z]+)\.?", value) if isinstance(value, str) else None
    if not found:
        return None
    word = found[2].lower()
    unit, sure = (_UNITS[word], SAFE) if word in _UNITS else (_NEAR_UNITS.get(word), UNSAFE)
    is_asked = unit is not None and unit in re.findall(r"[A-Za-z]+", f"{d.message} {d.help}")
    is_size = unit is not None and unit.endswith("B")
    wants = d.path[-1] in ("max_body", "spool") if is_size else "timeouts" in d.path
    return (
        (_value(document, d.path), f"{found[1]}{unit}", sure)
        if unit and (is_asked or wants)
        else None
    )


def _seconds(document: Document, d: Diagnostic, value: Data) -> Replacement | None:
    is_plain = isinstance(value, int) and not isinstance(value, bool)
    is_time = d.path[-2:-1] == ("timeouts",)
    return (_value(document, d.path), f"{value}s", UNSAFE) if is_plain and is_time else None


def _capitals(document: Document, d: Diagnostic, value: Data) -> Replacement | None:
    """The name of a provider or an endpoint in small letters, with `_` between its words."""
    name = valid_name(value) if isinstance(value, str) else ""
    is_name = name and (d.path[-1] == "provider" or "endpoint" in d.path[-2:])
    return (_value(document, d.path), name, UNSAFE) if is_name else None


def _header(document: Document, d: Diagnostic, _: Data) -> Replacement | None:
    """`Authorization:`, in lower case; names of headers mean the same in any."""
    name = str(d.path[-1])
    is_header = d.path[-2:-1] and d.path[-2] in ("headers", "default_headers")
    key = document.entries[d.path].key
    if (*d.path[:-1], name.lower()) in document.entries:
        return None  # there are two of it, and only one can be meant
    if not is_header or key is None or not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,60}", name):
        return None
    return key, name.lower(), SAFE


Repairer = Callable[[Document, Diagnostic, Data], Replacement | None]
_REPAIRERS: dict[str, tuple[Repairer, ...]] = {
    "S103": (_quote_number, _switch, _target, _credential, _seconds),
    "S104": (_env, _slash, _star, _unit, _capitals),
    "S105": (_header,),
}
