"""LiteLLM's settings outside of `model_list`: the rows of the table `settings`, and one small function a verb."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

from engine.config.source.any_yaml import ForeignDocument, Path
from engine.importers import fields
from engine.importers.draft import Deployment, Reference
from engine.importers.fields import ASKS, CARRIED, DROPPED, OTHERWISE, Result
from engine.importers.litellm_run import Import, Setting, value_at
from engine.importers.notes import SettingStatus
from engine.importers.tables import find_row, is_listed, table
from engine.importers.values import (
    attempts_note,
    duration,
    has_credential,
    is_on,
    is_unset,
    number_of,
)
from engine.plan.suggest import nearest


def carry_setting(run: Import, document: ForeignDocument, path: Path) -> None:
    """One leaf outside of the list of models."""
    if path[:1] == ("model_list",):
        return
    row = find_row(table("litellm")["settings"], path)
    if row is None:
        return
    value = value_at(document.data, path)
    is_off = row.get("as") == DROPPED and not str(path[-1]).startswith("disable")
    if is_unset(value) and row.get("to") != "master_key" and (is_off or value is not False):
        run.notes.add(document.file, path, CARRIED, "off" if value is False else "not set")
        return
    if "as" in row:
        run.notes.add(document.file, path, SettingStatus(row["as"]), row["note"])
        return
    result = SETTINGS[row["to"]](Setting(run, document.file, path, value, row))
    run.notes.add(document.file, path, *result)


def _strategy(s: Setting) -> Result:
    found = table("litellm")["strategies"].get(str(s.value))
    if not found:
        return DROPPED, "targets are chosen by weight"
    s.run.draft.settings.balance = found.get("balance")
    return SettingStatus(found["as"]), found["note"]


def _attempts(s: Setting) -> Result:
    number = number_of(s.value)
    if number is None:
        return ASKS, "no whole number"
    s.run.draft.settings.attempts = min(number + 1, 5)
    return OTHERWISE, attempts_note(number)


def _timeout(s: Setting) -> Result:
    length = duration(s.value)
    if length is None:
        return ASKS, "no number of seconds"
    names = ["idle"] if s.row["to"] == "stream_timeout" else ["first_byte", "idle"]
    for name in names:
        s.run.draft.settings.timeouts[name] = length
    if float(s.value) > 1800:
        s.run.draft.settings.timeouts["total"] = length
    return CARRIED, f"defaults.timeouts: {', '.join(names)}"


def _failures(s: Setting) -> Result:
    number = number_of(s.value)
    if number is None:
        return ASKS, "no whole number"
    s.run.draft.settings.failures = min(number + 1, 1000)
    return (
        OTHERWISE,
        f"breaker: it opens after {min(number + 1, 1000)} failures in a row, not within a minute",
    )


def _cooldown(s: Setting) -> Result:
    if s.value == 0:
        return CARRIED, "no breaker"
    length = duration(s.value)
    if length is None:
        return ASKS, "no number of seconds"
    s.run.draft.settings.open = length
    return CARRIED, f"breaker: open {length}"


def _no_cooldown(s: Setting) -> Result:
    return (
        (CARRIED, "no breaker")
        if s.value
        else (OTHERWISE, "a breaker is written where cooldown_time or allowed_fails is set")
    )


def _fallbacks(s: Setting) -> Result:
    names = [step for step in s.path if isinstance(step, str)]
    if len(names) != 3 or not isinstance(s.value, str):
        return ASKS, "not a name of a model and a list of others"
    s.run.draft.fallbacks.append(
        Reference(s.file, s.path, "" if names[2] == "*" else names[2], s.value)
    )
    return OTHERWISE, ""


def _default_fallbacks(s: Setting) -> Result:
    if not isinstance(s.value, str):
        return ASKS, "no name of a model"
    s.run.draft.fallbacks.append(Reference(s.file, s.path, "", s.value))
    return OTHERWISE, ""


def _aliases(s: Setting) -> Result:
    if s.path[-1] == "hidden":
        return (
            (CARRIED, "") if not s.value else (DROPPED, "every exact rule is listed at /v1/models")
        )
    if not isinstance(s.value, str) or len(s.path) not in (3, 4):
        return ASKS, "not a name and the model that it stands for"
    s.run.draft.aliases.append(Reference(s.file, s.path, str(s.path[2]), s.value))
    return CARRIED, ""


def _quiet(s: Setting) -> Result:
    if s.value in (False, None, "INFO", "WARNING", "ERROR"):
        return CARRIED, ""
    return OTHERWISE, "one record a request is logged, always: docs/observability.md"


def _if_off(s: Setting) -> Result:
    otherwise = ASKS if s.row["to"] == "ask_if_on" else DROPPED
    return (otherwise if s.value else CARRIED), str(s.row["note"])


def _callbacks(s: Setting) -> Result:
    if s.value in ([], None, ""):
        return CARRIED, "none"
    known = table("litellm")
    found = known["callbacks"].get(str(s.value)) or known["no_callback"]
    s.run.draft.settings.metrics |= found.get("metrics", False)
    s.run.draft.settings.tracing |= found.get("tracing", False)
    return SettingStatus(found["as"]), found["note"]


def _ssl_verify(s: Setting) -> Result:
    return (
        (CARRIED, "")
        if s.value is True
        else (
            ASKS,
            "the check cannot be switched off: name the CA certificates under `tls: {ca: ...}` of a provider",
        )
    )


def _only_files(s: Setting) -> Result:
    return (
        (CARRIED, "models are in files")
        if not s.value
        else (
            ASKS,
            "models can only be in files: write those of LiteLLM's database into a config.yaml as well",
        )
    )


def _drop_params(s: Setting) -> Result:
    if not is_on(s.value):
        return CARRIED, "fields pass as callers send them"
    s.run.draft.settings.drop_params = True
    return OTHERWISE, fields.DROP_PARAMS


def _variable(s: Setting) -> Result:
    """A variable of every deployment that has none of its own."""
    d = Deployment(s.file, s.path)
    row = {**s.row, "to": "variable"}
    result = fields.apply(fields.ImportedField(d, s.value, row, s.run.context))
    s.run.draft.settings.variables |= d.variables
    return result


def _unread(s: Setting) -> Result:
    """A setting without a row: LiteLLM reads it, or nothing does."""
    names = table("litellm_names")
    first, second = (*map(str, s.path), "", "")[:2]
    if first not in names["sections"]:
        return _ignored(first, names["sections"])
    if second and first in names and not is_listed(second, names[first]):
        return _ignored(second, names[first])
    return DROPPED, "there is no such setting here"


def _ignored(name: str, known: Sequence[str]) -> Result:
    """A name that LiteLLM does not know, which may be one that it knows with a typo."""
    version = table("litellm_names")["litellm"]
    if hint := nearest(name, [other for other in known if "*" not in other]):
        words = f"LiteLLM {version} ignores this name: if `{hint}` was meant, correct it and import again"
        return ASKS, words
    return (
        OTHERWISE,
        f"LiteLLM {version} ignores a setting of this name: it does nothing there, and nothing here",
    )


def _drop(s: Setting) -> Result:
    is_name = isinstance(s.value, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", s.value)
    if not is_name or has_credential(s.value):
        return ASKS, "only top-level fields can be removed"
    s.run.draft.settings.drop.append(s.value)
    return CARRIED, "body: {drop} of every rule"


def _in_flight(s: Setting) -> Result:
    if not (number := number_of(s.value)):
        return ASKS, "no whole number"
    s.run.draft.settings.in_flight = number
    return OTHERWISE, "limits: in_flight of every provider, for each worker"


def _max_body(s: Setting) -> Result:
    if not (number := number_of(s.value)) or number > 4096:
        return ASKS, "no number of MiB"
    s.run.draft.settings.max_body = f"{number}MiB"
    return CARRIED, "defaults: max_body"


def _environment(_: Setting) -> Result:
    return (
        OTHERWISE,
        "set it where the server starts, if .env.example or one of your programs names it; a configuration holds no values of variables",
    )


def _database(s: Setting) -> Result:
    if s.run.around.keys:
        return OTHERWISE, "the keys of its list are in keys.yaml: no request needs a database"
    return ASKS, "keys are files here: bring those of LiteLLM's database with --keys; accounts have a database of their own (docs/accounts.md)"  # fmt: skip


def _include(s: Setting) -> Result:
    names = {document.file for document in s.run.documents}
    return (
        (CARRIED, "imported with this file")
        if isinstance(s.value, str) and s.value in names
        else (ASKS, "the file was not found: import it by itself")
    )


def _master_key(s: Setting) -> Result:
    variable = s.run.context.env_name(s.value)
    key = s.run.around.environ.get(variable) if variable else s.value
    if not key:
        return (
            ASKS,
            "its value is not known here: set the variable and import again, or make a key with `engine keys new`",
        )
    if not isinstance(key, str) or key in table("litellm")["known_keys"] or len(key) < 12:
        return ASKS, "a key that others can guess: make another one with `engine keys new`"
    s.run.draft.keys.append({"name": "master", "sha256": hashlib.sha256(key.encode()).hexdigest()})
    return (
        OTHERWISE,
        "the gateway key `master` of keys.yaml, by its SHA-256; it calls models, and administers nothing",
    )


Handler = Callable[[Setting], Result]
SETTINGS: Mapping[str, Handler] = {
    "strategy": _strategy,
    "attempts": _attempts,
    "timeout": _timeout,
    "stream_timeout": _timeout,
    "failures": _failures,
    "cooldown": _cooldown,
    "no_cooldown": _no_cooldown,
    "fallbacks": _fallbacks,
    "default_fallbacks": _default_fallbacks,
    "aliases": _aliases,
    "quiet": _quiet,
    "if_off": _if_off,
    "ask_if_on": _if_off,
    "callbacks": _callbacks,
    "ssl_verify": _ssl_verify,
    "only_files": _only_files,
    "drop_params": _drop_params,
    "variable": _variable,
    "unread": _unread,
    "drop": _drop,
    "in_flight": _in_flight,
    "max_body": _max_body,
    "environment": _environment,
    "include": _include,
    "database": _database,
    "master_key": _master_key,
}
