"""Where one request goes and why: a view for programs, and the text that is drawn from it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.config.diagnostic import SECRET
from engine.config.document import Document
from engine.config.effective import fill_in, limits_of, timeouts_of
from engine.gateway.errors import GatewayError
from engine.gateway.match import Candidate, Target, explain, find_endpoint, find_target
from engine.plan import Caller, Endpoint, Header, Plan, UnusableValueError
from engine.report.mask import MASK, masked, masked_url

FORMAT_VERSION = "1.0"
UNKNOWN = "unknown until its variables are set"
_ROUTES, _PROVIDERS = "routes.yaml", "providers.yaml"
_EXCERPT_LINES = 8

View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """A request to explain. `caller` holds the key to ask for; `now` is POSIX time."""

    method: str
    path: str
    model: str
    caller: Caller | None
    now: float


def view_route(plan: Plan, documents: Mapping[str, Document], question: Question) -> View:
    """Where a request goes, as plain data of `schemas/output/route.schema.json`."""
    method, path, model, caller = question.method, question.path, question.model, question.caller
    endpoint, target, error = _find(plan, method, path, model)
    refused = _key_problem(caller, endpoint, model, question.now) if caller else None
    error = error or refused
    view: View = {
        "format_version": FORMAT_VERSION,
        "request": {"method": method, "path": path, "model": model},
        "ok": error is None,
        "error": _error(error) if error else None,
        "endpoint": endpoint.name if endpoint else None,
        "key": {"name": caller.name, "allowed": refused is None} if caller else None,
        "target": _target(documents, endpoint, target, _others(plan, endpoint, target))
        if endpoint and target
        else None,
        "rules": [],
    }
    if endpoint:
        view["rules"] = [_rule(c, documents) for c in explain(plan, endpoint.name, model)]
    return view


def render_json(view: View) -> str:
    return json.dumps(view, indent=2) + "\n"


def render_text(view: View) -> str:
    """The view for a person."""
    request, error, target = view["request"], view["error"], view["target"]
    lines = [f"{request['method']} {request['path']}  model {request['model']}"]
    if error:
        lines.append(f"refused: {error['status']} {error['code']}: {error['message']}")
    else:
        lines += [f"endpoint   {view['endpoint']}", *_target_lines(target)]
    if view["key"]:
        verdict = "allowed" if view["key"]["allowed"] else "not allowed"
        lines.append(f"key        {view['key']['name']}: {verdict}")
    for rule in view["rules"]:
        lines += _rule_lines(rule)
    if not error:
        lines += _setting_lines(target)
    return "\n".join(lines)


# -- the view ------------------------------------------------------------------------------------


def _find(
    plan: Plan, method: str, path: str, model: str
) -> tuple[Endpoint | None, Target | None, GatewayError | None]:
    endpoint = None
    try:
        endpoint = find_endpoint(plan, method, path.encode())
        target = find_target(plan, endpoint, model)
        if target.upstream:
            target.upstream.url(target.sent_model)
    except UnusableValueError:
        words = "the model cannot stand in the provider's URL"
        return endpoint, None, GatewayError("invalid_model", words)
    except GatewayError as error:
        return endpoint, None, error
    return endpoint, target, None


def _key_problem(
    caller: Caller, endpoint: Endpoint | None, model: str, now: float
) -> GatewayError | None:
    if caller.expires is not None and caller.expires <= now:
        return GatewayError("expired_api_key", "the API key has expired")
    if endpoint and caller.endpoints is not None and endpoint.name not in caller.endpoints:
        words = f"this API key may not use endpoint `{endpoint.name}`"
        return GatewayError("not_allowed", words)
    if not caller.may_use_model(model):
        return GatewayError("not_allowed", "this API key may not use this model")
    return None


def _error(error: GatewayError) -> View:
    return {"code": error.code, "status": error.kind.status, "message": error.message}


def _others(plan: Plan, endpoint: Endpoint, target: Target) -> Iterator[View]:
    """The other targets of the rule: those that a request goes to when this one does not take it."""
    for way in target.rule.ways:
        at = plan.follow(target.rule, endpoint.name, target.model, way)
        is_first = at.provider is target.provider and at.sent_model == target.sent_model
        if at.provider is not None and not at.refusal and not is_first:
            yield {"provider": at.provider.name, "sent_model": at.sent_model, "weight": way.weight}


def _target(
    documents: Mapping[str, Document], endpoint: Endpoint, target: Target, others: Iterable[View]
) -> View:
    provider = target.provider
    files = fill_in(documents[_ROUTES], "routes"), fill_in(documents[_PROVIDERS], "providers")
    place = documents[_PROVIDERS].entry(("providers", provider.name)).head
    return {
        "provider": provider.name,
        "where": f"{place.file}:{place.start.line}",
        "sent_model": target.sent_model,
        "url": masked_url(target.upstream.url(target.sent_model)) if target.upstream else None,
        "headers": [_header(header) for header in provider.headers],
        "missing": list(provider.missing),
        "then": list(others),
        "timeouts": _settings(timeouts_of(*files, endpoint.name, provider.name)),
        "limits": _settings(limits_of(*files, endpoint.name, provider.name)),
    }


def _settings(settings: Iterable[Any]) -> list[View]:
    return [{"name": s.name, "value": s.value, "where": s.where} for s in settings]


def _header(header: Header) -> View:
    name = header.name.decode()
    value = header.value.decode() if isinstance(header.value, bytes) else None
    return {
        "name": name,
        "value": None if header.is_secret or value is None else masked(name, value),
        "secret": header.is_secret,
    }


def _rule(candidate: Candidate, documents: Mapping[str, Document]) -> View:
    rule = candidate.rule
    return {
        "where": rule.where,
        "kind": "prefix" if rule.is_prefix else "model",
        "pattern": rule.pattern,
        "provider": rule.provider,
        "endpoints": list(rule.endpoints) if rule.endpoints is not None else None,
        "won": candidate.reason is None,
        "reason": candidate.reason,
        "lines": _source(rule.where, documents),
    }


def _source(where: str, documents: Mapping[str, Document]) -> list[str]:
    """The lines of the rule at `where`, as far as they are one entry."""
    file, _, number = where.rpartition(":")
    document = documents[file]
    first = int(number)
    entries = document.entries.items()
    index = next((p[1] for p, e in entries if p[:1] == ("models",) and len(p) == 2 and e.value.start.line == first), None)  # fmt: skip
    last = max((e.value.end.line for p, e in entries if p[:2] == ("models", index)), default=first)
    lines = document.lines[first - 1 : min(last, first + _EXCERPT_LINES - 1)]
    return [SECRET.sub(lambda hit: "*" * len(hit[0]), line) for line in lines]


# -- the text ------------------------------------------------------------------------------------


def _target_lines(target: View) -> list[str]:
    lines = [
        f"provider   {target['provider']}",
        f"sent as    {target['sent_model']}",
        f"url        {target['url'] or UNKNOWN}",
    ]
    lines += [f"header     {h['name']}: {_shown(h)}" for h in target["headers"]]
    for other in target["then"]:
        weight = f"  weight {other['weight']}" if other["weight"] else ""
        lines.append(f"or         {other['provider']} as {other['sent_model']}{weight}")
    if target["missing"]:
        names = ", ".join(target["missing"])
        lines.append(f"missing    {names}: callers get provider_key_missing")
    return lines


def _shown(header: View) -> str:
    if header["secret"]:
        return MASK
    return "set for each request" if header["value"] is None else str(header["value"])


def _rule_lines(rule: View) -> Iterator[str]:
    """A rule and its verdict; under the one that won, what is written there."""
    verdict = "won" if rule["won"] else f"lost: it {rule['reason']}"
    pattern = f"{rule['kind']} `{rule['pattern']}` -> {rule['provider']}"
    yield f"rule       {rule['where']}  {pattern}  {verdict}"
    if rule["won"]:
        first = int(rule["where"].rpartition(":")[2])
        for number, line in enumerate(rule["lines"], first):
            yield f"{number:>10} | {_printable(line)}"


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else " " for c in line)


def _setting_lines(target: View) -> Iterator[str]:
    for word, settings in (("timeout", target["timeouts"]), ("limit", target["limits"])):
        for s in settings:
            yield f"{word:<9}  {s['name']:<11}  {s['value']!s:<8}  {s['where']}"
