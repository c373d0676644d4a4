"""What a field of a deployment becomes: one small function a verb, named by `to` in the tables.

Each takes the deployment, the value and the row of the table, changes the deployment, and returns the row of the report.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from engine.config.checks.urls import is_near
from engine.config.source.secret_shapes import has_key
from engine.config.source.url_text import url_text_problem
from engine.importers.draft import Deployment
from engine.importers.notes import SettingStatus
from engine.importers.values import (
    attempts_note,
    duration,
    has_credential,
    is_on,
    is_secret,
    is_unset,
    number_of,
)
from engine.importers.variables import Variables, is_placeholder

CARRIED, OTHERWISE, ASKS, DROPPED = SettingStatus
Result = tuple[SettingStatus, str]
_URL = re.compile(r"https?://[^\s?#@{}\\/][^\s?#@{}\\]*")
_KEYS = re.compile(r"\s*\S+(?:[ \t]*[\r\n]+[ \t]*\S+)+\s*")  # one a line
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_HEADER = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Context:
    """What verbs share: how the source names environment variables, and the names given so far."""

    env: re.Pattern[str]
    variables: Variables

    def env_name(self, value: Any) -> str | None:
        """The environment variable that a value stands for."""
        found = self.env.fullmatch(value) if isinstance(value, str) else None
        return next((group for group in found.groups() if group), None) if found else None


@dataclass(frozen=True, slots=True)
class ImportedField:
    """A field of a deployment: its value, the row of its table, and what verbs share."""

    deployment: Deployment
    value: Any
    row: Mapping[str, Any]
    context: Context


Handler = Callable[[ImportedField], Result]


def _done(_: ImportedField) -> Result:
    return CARRIED, ""


def _secret(f: ImportedField) -> Result:
    name = f.row["name"]
    if variable := f.context.env_name(f.value):
        written, renamed = f.context.variables.use(variable)
        f.deployment.credentials[name] = {"env": written}
        return (OTHERWISE, f"the variable is called {written} here") if renamed else (CARRIED, "")
    if isinstance(f.value, str) and _KEYS.fullmatch(f.value):
        if not f.row.get("several"):
            return ASKS, "several keys in one: none is written; each can be one of the `accounts`"
        first, *others = dict.fromkeys(f.value.split())
        f.deployment.credentials[name] = {"secret": first}
        f.deployment.accounts = [{name: {"secret": key}} for key in others]
        return OTHERWISE, "several keys: `accounts` of the provider, each from a variable"
    if f.value is None or f.value == "" or is_placeholder(f.value):
        f.deployment.without.add(name)
        return OTHERWISE, "it only fills a place: no key is sent"
    secret = f.value if isinstance(f.value, str) else repr(f.value)
    f.deployment.credentials[name] = {"secret": secret}
    words = "a secret: read from the environment variable {variable}, which .env.example names"
    return OTHERWISE, words


def _base(f: ImportedField) -> Result:
    if variable := f.context.env_name(f.value):
        written, renamed = f.context.variables.use(variable)
        f.deployment.base = {"env": written}
        return (OTHERWISE, f"the variable is called {written} here") if renamed else (CARRIED, "")
    if f.value in (None, ""):
        return OTHERWISE, "empty: the provider's own address"
    text = str(f.value).strip().rstrip("/")
    if _URL.fullmatch(text) and not url_text_problem(text) and not has_key(text):
        if text.startswith("http:") and not is_near(urlsplit(text).hostname or ""):
            f.deployment.base = {"unknown": True}
            return (
                ASKS,
                "http to another network, where keys could be read: set {variable} to an https address",
            )
        text += f.row.get("path", "") if text.count("/") == 2 else ""
        f.deployment.base = text
        return CARRIED, ""
    f.deployment.base = {"unknown": True}
    return ASKS, "no plain http or https address: set {variable} to it"


def _variable(f: ImportedField) -> Result:
    if variable := f.context.env_name(f.value):
        written, renamed = f.context.variables.use(variable)
        f.deployment.variables[f.row["name"]] = {"env": written}
        return (OTHERWISE, f"the variable is called {written} here") if renamed else (CARRIED, "")
    if f.value in (None, ""):
        return OTHERWISE, "empty: the default holds"
    text = str(f.value)
    if not re.fullmatch(r"[\x21-\x7e]+", text) or "{" in text or is_secret(f.row["name"], text):
        return ASKS, "not text that may stand in a URL"
    f.deployment.variables[f.row["name"]] = text
    return CARRIED, ""


def _timeout(f: ImportedField) -> Result:
    number = number_of(f.value) if "times" in f.row else None
    length = duration(f.value if number is None else number * f.row["times"])
    if length is None:
        return ASKS, "no number of seconds"
    for name in f.row["names"]:
        f.deployment.timeouts[name] = length
    note = f.row.get("note")
    return (OTHERWISE, note) if note else (CARRIED, "timeouts of the target")


def _attempts(f: ImportedField) -> Result:
    number = number_of(f.value.get("attempts") if isinstance(f.value, dict) else f.value)
    if number is None:
        return ASKS, "no whole number"
    f.deployment.attempts = min(number + 1, 5)
    return OTHERWISE, attempts_note(number)


def _weight(f: ImportedField) -> Result:
    """Weights may be fractions, such as 0.7 and 0.3."""
    try:
        number = round(float(f.value) * 1000)
    except (TypeError, ValueError, OverflowError):
        return ASKS, "no number"
    if not 0 <= number <= 10**9:
        return ASKS, "no weight"
    f.deployment.weight = number
    return (CARRIED, "") if number else (OTHERWISE, "weight 0: after all others")


def _share(f: ImportedField) -> Result:
    number = number_of(f.value)
    if number and f.deployment.share is None:
        f.deployment.share = number
    return OTHERWISE, f.row.get("note", "its share of the requests beside the other deployments")


def _order(f: ImportedField) -> Result:
    number = number_of(f.value)
    if number is None:
        return ASKS, "no whole number"
    f.deployment.order = number
    return CARRIED, "tier of the target"


def _in_flight(f: ImportedField) -> Result:
    if not (number := number_of(f.value)):
        return ASKS, "no whole number"
    f.deployment.in_flight = number
    return OTHERWISE, "the limit holds for each worker; more of them wait in the queue"


def _cooldown(f: ImportedField) -> Result:
    if f.value in (0, None):
        return CARRIED, "no breaker"
    f.deployment.open = duration(f.value)
    return (CARRIED, "breaker: open") if f.deployment.open else (ASKS, "no number of seconds")


def _default(f: ImportedField) -> Result:
    return _set_default(f, f.row["name"], f.value)


def _set_default(f: ImportedField, name: str, value: Any) -> Result:
    if not _FIELD.fullmatch(name) or f.context.env_name(value) or is_secret(name, value):
        return ASKS, "not a field that may stand in the file"
    f.deployment.defaults[name] = value
    return CARRIED, ""


def _defaults(f: ImportedField) -> Result:
    if not isinstance(f.value, dict):
        return ASKS, "no mapping of fields"
    results = [_set_default(f, name, inner) for name, inner in f.value.items()]
    return next((result for result in results if result[0] is ASKS), (CARRIED, ""))


DROP_PARAMS = "what LiteLLM takes out for a provider or a model is under `body: {drop: [...]}` of its chat completions, or of the target"


def _drop_params(f: ImportedField) -> Result:
    f.deployment.drop_params = is_on(f.value)
    return (
        (OTHERWISE, DROP_PARAMS)
        if is_on(f.value)
        else (CARRIED, "fields pass as callers send them")
    )


def _drop(f: ImportedField) -> Result:
    names = f.value if isinstance(f.value, list) else [f.value]
    texts = [name for name in names if isinstance(name, str) and not has_credential(name)]
    known = [name for name in texts if _FIELD.fullmatch(name)]
    f.deployment.drop += [name for name in known if name not in f.deployment.drop]
    if len(known) < len(names):
        return ASKS, "only top-level fields can be removed"
    return CARRIED, ""


def _headers(f: ImportedField) -> Result:
    if not isinstance(f.value, dict):
        return ASKS, "no mapping of headers"
    status, note = CARRIED, ""
    for name, text in f.value.items():
        lower = str(name).lower()
        if not _HEADER.fullmatch(lower) or not re.fullmatch(r"[^\x00-\x1f\x7f]+", str(text)):
            is_name = _HEADER.fullmatch(lower)
            return ASKS, f"`{lower}` is not one line" if is_name else "no name of a header"
        variable = f.context.env_name(text)
        if variable or is_secret(lower, str(text)):
            credential = re.sub(r"[^a-z0-9_]", "_", lower)
            credential = credential if credential[0].isalpha() else f"h_{credential}"
            f.deployment.credentials[credential] = (
                {"env": f.context.variables.use(variable)[0]} if variable else {"secret": str(text)}
            )
            f.deployment.headers[lower] = f"{{{{ credentials.{credential} }}}}"
            status, note = OTHERWISE, "a secret in a header: read from the environment"
        else:
            f.deployment.headers[lower] = (
                str(text).replace("{", "{{ '{' }}") if "{" in str(text) else str(text)
            )
    return status, note


def _mode(f: ImportedField) -> Result:
    f.deployment.mode = str(f.value)
    return CARRIED, ""


def _price(f: ImportedField) -> Result:
    """A price for one token or thing, as the price in the unit of prices.yaml."""
    try:
        price = float(f.value) * f.row.get("times", 1)
    except (TypeError, ValueError):
        return ASKS, "no number"
    if not 0 <= price <= f.row.get("most", 10_000):
        return ASKS, "no price that prices.yaml takes"
    f.deployment.prices[f.row["name"]] = float(f"{price:.9g}")
    return OTHERWISE, f"prices.yaml: {f.row['name']}"


def _ssl_verify(f: ImportedField) -> Result:
    if f.value is True:
        return CARRIED, ""
    return ASKS, "the check cannot be switched off: name the CA certificates under `tls: {ca: ...}`"


HANDLERS: Mapping[str, Handler] = {
    "done": _done,
    "secret": _secret,
    "base": _base,
    "variable": _variable,
    "timeout": _timeout,
    "attempts": _attempts,
    "weight": _weight,
    "share": _share,
    "order": _order,
    "in_flight": _in_flight,
    "cooldown": _cooldown,
    "default": _default,
    "defaults": _defaults,
    "drop": _drop,
    "drop_params": _drop_params,
    "headers": _headers,
    "mode": _mode,
    "price": _price,
    "ssl_verify": _ssl_verify,
}


def apply(field: ImportedField) -> Result:
    """Carry one field as its row of the table says."""
    if "as" in field.row:
        is_off = field.row["as"] == DROPPED and is_unset(field.value)
        return (CARRIED, "off") if is_off else (SettingStatus(field.row["as"]), field.row["note"])
    return HANDLERS[field.row["to"]](field)
