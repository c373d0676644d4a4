"""Configurations of Portkey, Bifrost, one-api and agentgateway: each finds its deployments, and its table says the rest."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from engine.config.source.any_yaml import ForeignDocument, Path
from engine.importers import fields
from engine.importers.draft import Deployment, Draft, ImportContext
from engine.importers.fields import ASKS, CARRIED, DROPPED, OTHERWISE, Context
from engine.importers.notes import ImportNotes, SettingStatus
from engine.importers.result import ImportResult, write_all
from engine.importers.tables import Kind, find_row, is_kind, kind_of, table
from engine.importers.values import number_of
from engine.importers.variables import Variables

Pending = tuple[Deployment, Path, Any, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A deployment as a source has it: where, for which name, at whom, and its fields by their paths."""

    at: Path
    name: str
    provider: str
    model: str
    fields: Mapping[Path, Any]
    order: int = 0
    named_at: Path | None = None
    fallback_on: tuple[str, ...] = ()


def import_other(
    program: str, documents: Sequence[ForeignDocument], around: ImportContext
) -> ImportResult:
    """Files and report for the configuration of `program` in the first of `documents`."""
    document, rows = documents[0], table("others")[program]
    notes, draft = ImportNotes([*documents, *([around.keys] if around.keys else [])]), Draft()
    context = Context(re.compile(rows["env"]), Variables())
    pending: list[Pending] = []
    for found in READERS[program](document.data, partial(notes.add, document.file)):
        kind = _kind(rows["names"], found.provider, found.model)
        d = Deployment(
            document.file,
            found.at,
            found.name,
            kind,
            found.model,
            order=found.order,
            named_at=found.named_at,
            fallback_on=found.fallback_on,
        )
        draft.groups.setdefault(found.name, []).append(d)
        for path, value in found.fields.items():
            pending += _carry(d, path, value, rows["fields"], context, notes)
        if d.base is not None and not d.credentials:
            d.without.add("api_key")  # a key of the provider is not for another address
    for path in document.lines:
        row = find_row(rows["settings"], path)
        if row and "as" in row:
            notes.add(document.file, path, SettingStatus(row["as"]), row["note"])
    return write_all(
        program,
        draft,
        notes,
        context.variables,
        around.today,
        lambda: _name(notes, context, pending),
    )


def _kind(names: Mapping[str, str], provider: str, model: str) -> Kind | None:
    name = names.get(provider, provider)
    return kind_of(name, model) if is_kind(name) else None


def _carry(  # noqa: PLR0913, PLR0917 what a field needs
    d: Deployment,
    path: Path,
    value: Any,
    rows: Mapping[str, Any],
    context: Context,
    notes: ImportNotes,
) -> list[Pending]:
    """Carry one field of a deployment; what waits for the name of a variable is returned."""
    row = rows.get(".".join(map(str, path[-2:]))) or rows.get(str(path[-1]))
    if row is None:
        notes.add(d.file, path, DROPPED, "this importer does not know the setting")
        return []
    status, words = fields.apply(fields.ImportedField(d, value, row, context))
    notes.add(d.file, path, status, words)
    return [(d, path, value, words)] if "{variable}" in words else []


def _name(notes: ImportNotes, context: Context, pending: list[Pending]) -> None:
    for d, path, value, words in pending:
        kind = d.kind.name.upper() if d.kind else ""
        name = (
            context.variables.secrets().get(str(value)) if "secret" in words else f"{kind}_BASE_URL"
        )
        if name and kind:
            status = OTHERWISE if "secret" in words else ASKS
            notes.replace(d.file, path, status, words.replace("{variable}", name))


# -- what each program has -----------------------------------------------------------------------

Note = Callable[[Path, SettingStatus, str], None]


def _dicts(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield index, item


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _inner(value: Any, at: Path) -> dict[Path, Any]:
    """The entries of a mapping by their paths; nothing for anything else."""
    return {(*at, key): inner for key, inner in value.items()} if isinstance(value, dict) else {}


def _portkey(data: Any, note: Note) -> Iterator[Found]:
    """One rule for every model; a target may set a model of its own."""
    if not isinstance(data, dict):
        return
    strategy = data.get("strategy")
    mode = strategy.get("mode") if isinstance(strategy, dict) else "single"
    entries: list[tuple[Path, dict[str, Any]]] = [
        (("targets", i), t) for i, t in _dicts(data.get("targets"))
    ]
    if isinstance(strategy, dict) and "mode" in strategy:
        note(("strategy", "mode"), *_MODES.get(str(mode), _UNKNOWN_MODE))
    if mode not in _MODES:
        note(("targets",), *_UNKNOWN_MODE)
        return
    if mode == "single":
        for at, _ in entries[1:]:
            note(at, DROPPED, "only the first target is called")
        entries = entries[:1]
    codes = strategy.get("on_status_codes") if isinstance(strategy, dict) else None
    fallback_on = _fallback_on(codes) if mode == "fallback" else ()
    for order, (at, target) in enumerate(entries or [((), data)]):
        params = target.get("override_params")
        model = params.get("model") if isinstance(params, dict) else None
        found = {
            p: v for p, v in _inner(target, at).items() if at or p[0] not in ("strategy", "targets")
        }
        if isinstance(model, str):
            note((*at, "override_params", "model"), CARRIED, "")
            found[*at, "override_params"] = {k: v for k, v in params.items() if k != "model"} if isinstance(params, dict) else None  # fmt: skip
        provider = str(
            target.get("provider") or str(target.get("virtual_key", "")).split("-")[0]
        ).lstrip("@")
        yield Found(
            at,
            "*",
            provider,
            model if isinstance(model, str) else "*",
            found,
            order if mode == "fallback" else 0,
            fallback_on=fallback_on,
        )


_MODES: Mapping[str, tuple[SettingStatus, str]] = {
    "single": (CARRIED, "one target"),
    "loadbalance": (CARRIED, "weights of targets"),
    "fallback": (
        OTHERWISE,
        "targets are tried in order; with `fallback_on` a request may be billed twice, and a refusal such as 400 or 401 does not fall back",
    ),
}
_UNKNOWN_MODE = (
    DROPPED,
    "rules are chosen by the name of the model: write a rule for each target that callers may name",
)


def _fallback_on(codes: Any) -> tuple[str, ...]:
    """After which failures the next target gets a request: all of them where no status is listed."""
    if not isinstance(codes, list):
        return ("timeout", "closed", "5xx")
    is_error = any(number_of(code) in range(500, 600) for code in codes)
    return ("5xx",) if is_error else ()


def _bifrost(data: Any, _: Note) -> Iterator[Found]:
    """`provider/model` for every key of a provider; a key may be for some models alone."""
    providers = data.get("providers") if isinstance(data, dict) else None
    for name, provider in providers.items() if isinstance(providers, dict) else ():
        if not isinstance(provider, dict):
            continue
        shared: dict[Path, Any] = {}
        for section in ("network_config", "concurrency_and_buffer_size"):
            shared |= _inner(provider.get(section), ("providers", name, section))
        for index, key in _dicts(provider.get("keys")):
            at: Path = ("providers", name, "keys", index)
            own = _inner(key, at)
            for section in [name for name in key if name.endswith("_key_config")]:
                own |= _inner(own.pop((*at, section), None), (*at, section))
            names = next((v for p, v in own.items() if p[-1] == "deployments"), None)
            names = names if isinstance(names, dict) else {}
            for model in [m for m in _texts(key.get("models")) if m != "*"] or ["*"]:
                sent = str(names.get(model, model))
                named_at = (*at, "models") if "models" in key else None
                yield Found(at, f"{name}/{model}", name, sent, {**own, **shared}, named_at=named_at)


def _one_api(data: Any, note: Note) -> Iterator[Found]:
    """Every model of every channel that is enabled."""
    at: Path = ("channels",) if isinstance(data, dict) else ()
    for index, channel in _dicts(data.get("channels") if isinstance(data, dict) else data):
        if channel.get("status", 1) != 1:
            note((*at, index), OTHERWISE, "the channel is disabled: left out")
            continue
        mapping = _mapping(channel.get("model_mapping"))
        fields_of = _inner(channel, (*at, index))
        order = -int(number_of(channel.get("priority")) or 0)
        for model in filter(None, map(str.strip, str(channel.get("models", "")).split(","))):
            yield Found(
                (*at, index),
                model,
                str(channel.get("type")),
                str(mapping.get(model, model)),
                fields_of,
                order,
                (*at, index, "models"),
            )


def _mapping(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) and text else text
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _agentgateway(data: Any, _: Note) -> Iterator[Found]:
    """The models of `llm`."""
    llm = data.get("llm") if isinstance(data, dict) else None
    for index, model in _dicts(llm.get("models") if isinstance(llm, dict) else None):
        at: Path = ("llm", "models", index)
        provider = model.get("provider")
        provider = next(iter(provider), "") if isinstance(provider, dict) else provider
        found = _inner(model, at)
        for section in ("params", "requestHeaders"):
            found |= _inner(found.pop((*at, section), None), (*at, section))
        params = model.get("params")
        sent = params.get("model") if isinstance(params, dict) else None
        name = str(model.get("name", ""))
        yield Found(at, name, str(provider), sent if isinstance(sent, str) else name, found)


Reader = Callable[[Any, Note], Iterator[Found]]
READERS: Mapping[str, Reader] = {
    "portkey": _portkey,
    "bifrost": _bifrost,
    "one-api": _one_api,
    "agentgateway": _agentgateway,
}
