"""The credential sets of providers, and what became of the ping of each: for people and for programs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.config.load import Loaded
from engine.config.model import Credential, CredentialSet, Provider, Variable
from engine.plan.plan import Plan
from engine.plan.plan import Provider as Compiled
from engine.report.mask import masked_text, masked_url

FORMAT_VERSION = "1.0"
OK, REFUSED, UNREACHABLE, MISSING, NOT_DECLARED, PLANNED = (
    *("ok", "refused", "unreachable", "missing", "not_declared", "planned"),
)
_COSTS = {"free": "free", "one_token": "one token"}
_UNDECLARED = "no ping is declared in providers.yaml"
_UNUSABLE = "its ping cannot be sent: the provider does not serve that endpoint"
View = dict[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class CredentialRow:
    """One credential set: the provider with it, or the names of what is `missing`."""

    provider: Compiled
    label: str
    where: str
    missing: tuple[str, ...]
    secrets: frozenset[str]


def credential_rows(
    loaded: Loaded, plan: Plan, names: Sequence[str], environ: Mapping[str, str]
) -> list[CredentialRow]:
    """The credential sets of the providers `names`; of none, those of all that have something set."""
    chosen = [p for p in loaded.config.providers if p.name in names]
    if not names:
        chosen = [p for p in loaded.config.providers if _is_set(p, environ)]
    return [row for p in chosen for row in _rows(loaded, p, plan.providers[p.name], environ)]


def _is_set(provider: Provider, environ: Mapping[str, str]) -> bool:
    """Whether the environment, or a file, gives it something; or nothing is to be given."""
    sources: list[Credential | Variable] = [*provider.credentials, *provider.variables]
    sources += [c for account in provider.accounts for c in account.credentials]
    given = [s for s in sources if s.env or isinstance(s, Credential)]
    return not given or any(_source(source, environ) for source in given)


def _source(source: Credential | Variable, environ: Mapping[str, str]) -> str:
    """Where a value comes from: a variable that is set, or a file; "" if from nowhere."""
    if isinstance(source, Credential) and source.file is not None:
        return source.file
    return next((name for name in source.env if environ.get(name)), "")


def _rows(
    loaded: Loaded, provider: Provider, compiled: Compiled, environ: Mapping[str, str]
) -> Iterator[CredentialRow]:
    document = loaded.documents["providers.yaml"]
    lines = {
        line: variant
        for each in compiled.accounts
        for variant, line in zip(each.providers, each.where, strict=True)
    }
    sets: list[CredentialSet | None] = [None, *provider.accounts]
    for account in sets:
        at = provider.at if account is None else account.at
        where = f"{document.file}:{document.entry(at).head.start.line}"
        whole = provider if account is None else provider.with_credential_set(account)
        variant = compiled if account is None else lines.get(where)
        missing = _missing(whole, environ) if variant is None else variant.missing
        secrets = {environ.get(name, "") for c in whole.credentials for name in c.env} - {""}
        own = whole if account is None or not account.credentials else account
        label = _label(own, whole, environ)
        yield CredentialRow(variant or compiled, label, where, missing, frozenset(secrets))


def _missing(provider: Provider, environ: Mapping[str, str]) -> tuple[str, ...]:
    needed = [c for c in provider.credentials if not c.optional and not _source(c, environ)]
    return tuple(c.env[0] for c in needed if c.env) or ("a value that it needs",)


def _label(own: Provider | CredentialSet, whole: Provider, environ: Mapping[str, str]) -> str:
    """The variables or files that the credentials come from."""
    found = [source for c in own.credentials if (source := _source(c, environ))]
    if not found:
        is_of_workload = whole.sign is not None and whole.sign.by_workload_identity
        needed = [c.env[0] for c in own.credentials if c.env and not c.optional]
        found = ["workload identity"] if is_of_workload else needed
    return ", ".join(found) or "no credential"


def view_row(row: CredentialRow, outcome: str, method: str, url: str) -> View:
    """What `schemas/output/ping.schema.json` says of a credential set before it is tried."""
    ping = row.provider.ping
    notes = {
        MISSING: "not set: " + ", ".join(row.missing),
        NOT_DECLARED: _UNUSABLE if ping else _UNDECLARED,
    }
    return {
        "provider": row.provider.name,
        "credential": row.label,
        "where": row.where,
        "outcome": outcome,
        "method": method or None,
        "url": masked_url(url) if url else None,
        "cost": ping.cost if ping and url else None,
        "status": None,
        "ms": None,
        "message": notes.get(outcome, ""),
    }


def with_result(view: View, status: int | None, message: str, ms: float) -> View:
    """The same after it was tried; `message` is what the provider said, or why nothing came."""
    is_ok = status is not None and 200 <= status < 300
    outcome = UNREACHABLE if status is None else OK if is_ok else REFUSED
    text = masked_text(message)
    return {**view, "outcome": outcome, "status": status, "ms": round(ms, 1), "message": text}


def view_pings(rows: Sequence[View], *, named: bool, dry_run: bool) -> View:
    """All of them. `ok`: something was tried, and nothing failed; of providers that were `named`, all. A dry run is `ok`."""
    outcomes = Counter(row["outcome"] for row in rows)
    failing = [REFUSED, UNREACHABLE, *((MISSING, NOT_DECLARED) if named else ())]
    return {
        "format_version": FORMAT_VERSION,
        "ok": dry_run or (outcomes[OK] > 0 and not any(outcomes[o] for o in failing)),
        "pings": list(rows),
    }


def render_text(view: View) -> str:
    """A line for each credential set, and a count of the outcomes."""
    rows = view["pings"]
    if not rows:
        return "no provider has a credential here\n"
    cells = [_cells(row) for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in cells
    ]
    counts = Counter(row["outcome"] for row in rows)
    summary = ", ".join(f"{n} {outcome.replace('_', ' ')}" for outcome, n in counts.items())
    return "\n".join([*(line.rstrip() for line in lines), "", summary]) + "\n"


def _cells(row: View) -> list[str]:
    status = str(row["status"] or "")
    ms = "" if row["ms"] is None else f"{row['ms']:.0f} ms"
    called = f"{row['method']} {row['url']}" if row["outcome"] == PLANNED else row["message"]
    cost = _COSTS.get(row["cost"], "")
    outcome = row["outcome"].replace("_", " ")
    return [row["provider"], row["credential"], row["where"], outcome, status, ms, cost, called]
