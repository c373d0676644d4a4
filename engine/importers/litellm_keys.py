"""LiteLLM's virtual keys: a list of them with their hashes, as its API or its table has them -> keys.yaml.

LiteLLM stores the SHA-256 of a key in hex, as keys.yaml does, so that callers keep their keys.
"""

import re
from collections.abc import Mapping
from typing import Any

from engine.config.source.any_yaml import ForeignDocument, Path
from engine.config.units import parse_expiry
from engine.importers.draft import Draft
from engine.importers.fields import ASKS, CARRIED, OTHERWISE
from engine.importers.notes import ImportNotes, SettingStatus
from engine.importers.tables import table
from engine.importers.values import number_of

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_MODEL = re.compile(r"[^\s*\x00-\x1f\x7f]*\*?")
_PAST = "2000-01-01"
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d(?:\.\d+)?)?")


def carry_keys(document: ForeignDocument, draft: Draft, notes: ImportNotes) -> None:
    """Add the keys of `document` to the draft: a list of them, or an object with `keys`."""
    data = document.data
    at: Path = ("keys",) if isinstance(data, dict) and "keys" in data else ()
    entries = data["keys"] if at else data
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict):
            _carry(document.file, (*at, index), entry, draft, notes)


def _carry(file: str, at: Path, entry: Mapping[str, Any], draft: Draft, notes: ImportNotes) -> None:
    digest = entry.get("token")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        words = "without the SHA-256 of the key: ask for /key/list?return_full_object=true"
        notes.add(file, at, ASKS, words)
        return
    if entry.get("blocked") is True:
        notes.add(file, at, OTHERWISE, "blocked: left out, so that it is refused")
        return
    key: dict[str, Any] = {"name": _name(entry, digest, draft), "sha256": digest}
    limits: dict[str, Any] = {}
    for field, value in entry.items():
        status, words = _field(field, value, key, limits)
        notes.add(file, (*at, field), status, words)
    if key.pop("unsure", False):
        key["expires"] = _PAST
    draft.keys.append({**key, **({"limits": limits} if limits else {})})


def _name(entry: Mapping[str, Any], digest: str, draft: Draft) -> str:
    """A name that no other key has."""
    alias = entry.get("key_alias")
    name = _NO_NAME.sub("-", alias)[:50].strip("-") if isinstance(alias, str) else ""
    name = name or f"key-{digest[:12]}"
    taken = {key["name"] for key in draft.keys}
    return name if name not in taken else f"{name}-{digest[:12]}"


def _field(
    field: str, value: Any, key: dict[str, Any], limits: dict[str, Any]
) -> tuple[SettingStatus, str]:
    if value in (None, [], {}, ""):
        return CARRIED, "not set"
    if field in ("rpm_limit", "tpm_limit", "max_parallel_requests"):
        return _limit(field, value, limits)
    if field == "models":
        return _models(value, key)
    if field == "expires":
        return _expires(value, key)
    known = table("litellm")["key_fields"].get(field)
    return (SettingStatus(known["as"]), known["note"]) if known else (SettingStatus.DROPPED, "this importer does not know the setting")  # fmt: skip


def _limit(field: str, value: Any, limits: dict[str, Any]) -> tuple[SettingStatus, str]:
    number = number_of(value)
    if not number or number >= 10**8:
        return ASKS, "no number that `limits` takes"
    name = {"rpm_limit": "requests", "tpm_limit": "tokens"}.get(field, "concurrent")
    limits[name] = min(number, 1_000_000) if name == "concurrent" else f"{number}/m"
    return CARRIED, f"limits: {name}"


def _models(value: Any, key: dict[str, Any]) -> tuple[SettingStatus, str]:
    names = value if isinstance(value, list) else [value]
    if "all-proxy-models" in names:
        return CARRIED, "every model"
    if not all(isinstance(n, str) and 0 < len(n) <= 256 and _MODEL.fullmatch(n) for n in names):
        key["unsure"] = True
        return (
            ASKS,
            "a name of a model cannot stand in the file: the key is written as expired until you do",
        )
    if "all-team-models" in names:
        key["unsure"] = True
        return ASKS, "name the models of its team; until then the key is written as expired"
    key["models"] = list(dict.fromkeys(names))
    return CARRIED, ""


def _expires(value: Any, key: dict[str, Any]) -> tuple[SettingStatus, str]:
    found = _DATE.match(str(value))
    text = found[0].replace(" ", "T") if found else ""
    zone = re.search(r"(?:Z|[+-]\d\d:\d\d)$", str(value))
    text += (zone[0] if zone else "Z") if "T" in text else ""
    if parse_expiry(text) is None:
        key["unsure"] = True
        return ASKS, "no date: the key is written as expired, correct it"
    key["expires"] = text
    return CARRIED, ""
