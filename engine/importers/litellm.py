"""LiteLLM's config.yaml: the deployments of its `model_list`; the rest is in `litellm_settings`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.config.source.any_yaml import ForeignDocument, Path
from engine.config.source.secret_shapes import has_key, has_random_token
from engine.importers import fields
from engine.importers.draft import Deployment, ImportContext
from engine.importers.fields import ASKS, CARRIED, OTHERWISE
from engine.importers.litellm_keys import carry_keys
from engine.importers.litellm_run import Import, value_at
from engine.importers.litellm_settings import carry_setting
from engine.importers.notes import ImportNotes
from engine.importers.result import ImportResult, write_all
from engine.importers.tables import (
    compatible_kind,
    is_kind,
    is_listed,
    kind_of,
    kind_of_model,
    table,
)


def import_litellm(documents: Sequence[ForeignDocument], around: ImportContext) -> ImportResult:
    """Files and report for the configuration in `documents`: the file itself, and those that it includes."""
    run = Import(
        documents, ImportNotes([*documents, *([around.keys] if around.keys else [])]), around
    )
    for document in documents:
        _reserve(run, document)
    for document in documents:
        if not isinstance(document.data, dict):
            continue
        for index, entry in enumerate(_list(document.data.get("model_list"))):
            _deployment(run, document.file, ("model_list", index), entry)
        for path in document.lines:
            carry_setting(run, document, path)
    if around.keys:
        carry_keys(around.keys, run.draft, run.notes)
    return write_all(
        "litellm", run.draft, run.notes, run.variables, around.today, lambda: _finish(run)
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _reserve(run: Import, document: ForeignDocument) -> None:
    """Keep the names of variables that the source uses from being given to literal secrets."""
    for path in document.lines:
        if variable := run.context.env_name(value_at(document.data, path)):
            run.variables.use(variable)
    model_list = document.data.get("model_list") if isinstance(document.data, dict) else None
    for entry in _list(model_list):
        params = entry.get("litellm_params") if isinstance(entry, dict) else None
        if isinstance(params, dict) and not params.get("api_key"):
            kind, _ = _provider(params)
            for source in (kind.entry.get("credentials", {}) if kind else {}).values():
                for name in [source["env"]] if isinstance(source["env"], str) else source["env"]:
                    run.variables.use(name)


def _provider(params: Mapping[str, Any]) -> tuple[Any, str]:
    """The kind of a deployment, and the model as its provider knows it."""
    model = params.get("model")
    model = model if isinstance(model, str) else ""
    custom = params.get("custom_llm_provider")
    if isinstance(custom, str) and is_kind(custom):
        rest = model.removeprefix(f"{custom}/")
        return kind_of(custom, rest), rest
    name, slash, rest = model.partition("/")
    if slash and is_kind(name):
        rest = re.sub(table("litellm")["model_starts"], "", rest)
        return kind_of(name, rest), rest
    found = kind_of_model(model)
    if found is None and (model == "*" or params.get("api_base") or params.get("base_url")):
        found = compatible_kind()
    return found, model


def _deployment(run: Import, file: str, at: Path, entry: Any) -> None:
    params = entry.get("litellm_params") if isinstance(entry, dict) else None
    name = entry.get("model_name") if isinstance(entry, dict) else None
    if not isinstance(params, dict) or not isinstance(name, str):
        run.notes.add(file, at, ASKS, "an entry needs model_name and litellm_params")
        return
    kind, model = _provider(params)
    d = Deployment(file, at, name, kind, model)
    run.draft.groups.setdefault(name, []).append(d)
    known = table("litellm")
    for key, value in params.items():
        _field(run, d, (*at, "litellm_params", key), _row(known["params"], known, key), value)
    _note_unsupported(d, params)
    info = entry.get("model_info")
    for key, value in info.items() if isinstance(info, dict) else ():
        row = known["info"].get(key) or _by_prefix(known["info_prefixes"], key)
        if row:
            _field(run, d, (*at, "model_info", key), row, value)
    if isinstance(info, dict):
        d.comment = _comment(info.get("description"))
    status, words = (OTHERWISE, kind.note) if kind and kind.note else (CARRIED, "")
    run.notes.add(file, (*at, "model_name"), CARRIED)
    run.notes.replace(
        file, (*at, "litellm_params", "model"), status, words
    ) if "model" in params else None


def _note_unsupported(d: Deployment, params: Mapping[str, Any]) -> None:
    """Note the fields that LiteLLM takes out for this deployment, if it is to take out any."""
    names = table("litellm_names")
    name = str(params.get("custom_llm_provider") or str(params.get("model")).partition("/")[0])
    if d.kind and not is_kind(name):
        name = d.kind.name
    if d.base is None:
        name = names["at_its_own_address"].get(name, name)
    rows = (row["fields"] for row in names["unsupported"] if name in row["names"])
    d.unsupported = tuple(next(rows, ()))
    if name in names["unsupported"][-1]["names"]:
        found = (
            r["fields"] for r in names["unsupported_by_model"] if re.search(r["find"], d.model)
        )
        d.unsupported_by_model = tuple(next(found, ()))


def _row(params: Mapping[str, Any], known: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    if key in params:
        return params[key]  # type: ignore[no-any-return]
    if key in known["unsent"]:
        return {"as": "carried_otherwise", "note": known["unsent"][key]}
    misplaced = known["info"].get(key) or _by_prefix(known["info_prefixes"], key)
    if misplaced and key not in known["fields"]:
        return {"as": "carried_otherwise", "note": known["misplaced"]}
    if key in known["fields"] or not is_listed(key, table("litellm_names")["internal"]):
        return {"to": "default", "name": key}
    return {"as": "not_carried", "note": "there is no such setting here"}


def _by_prefix(rows: Mapping[str, Any], key: str) -> Any:
    return next((row for prefix, row in rows.items() if key.startswith(prefix)), None)


def _comment(text: Any) -> str:
    if not isinstance(text, str) or has_key(text) or has_random_token(text):
        return ""
    return re.sub(r"[^\x20-\x7e\xa0-\ud7ff]+", " ", text).strip()[:120]


def _field(run: Import, d: Deployment, path: Path, row: Mapping[str, Any], value: Any) -> None:
    result = fields.apply(fields.ImportedField(d, value, row, run.context))
    if row.get("to") == "secret" and row["name"] == "api_key":
        d.key_at = path
    if "{variable}" in result[1]:
        run.pending.append((d, path, row.get("name", ""), value, result))
    run.notes.add(d.file, path, *result)


def _finish(run: Import) -> None:
    """Name in the report the variables that took the place of literal secrets."""
    names = run.variables.secrets()
    for d, path, _, value, (status, words) in run.pending:
        secret = value if isinstance(value, str) else repr(value)
        kind = d.kind.name if d.kind else ""
        name = names.get(secret) if "secret" in words else f"{kind.upper()}_BASE_URL"
        if name and not (d.kind is None or d.kind.refuse):
            run.notes.replace(d.file, path, status, words.replace("{variable}", name))
