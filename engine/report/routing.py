"""Routing for a person: where one request goes and why, and the matrix of all of them."""

from collections.abc import Iterable, Sequence

from engine.gateway.errors import GatewayError
from engine.gateway.match import explain, find_endpoint, find_target
from engine.plan import Header, Plan, Provider, UnusableValueError

UNKNOWN = "unknown until its variables are set"
SECRET = "***"  # noqa: S105 what stands for one


def render_route(plan: Plan, method: str, path: str, model: str) -> tuple[str, bool]:
    """Where METHOD PATH with `model` goes, and whether it goes anywhere."""
    lines = [f"{method} {path}  model {model}"]
    endpoint = None
    try:
        endpoint = find_endpoint(plan, method, path.encode())
        target = find_target(plan, endpoint, model)
        url = target.upstream.url(target.sent_model) if target.upstream else UNKNOWN
    except UnusableValueError:
        lines.append("refused: 400 invalid_model: the model cannot stand in the provider's URL")
        lines += _candidates(plan, endpoint.name, model) if endpoint else []
        return "\n".join(lines), False
    except GatewayError as error:
        lines.append(f"refused: {error.kind.status} {error.code}: {error.message}")
        lines += _candidates(plan, endpoint.name, model) if endpoint else []
        return "\n".join(lines), False
    lines += [
        f"endpoint   {endpoint.name}",
        f"provider   {target.provider.name}",
        f"sent as    {target.sent_model}",
        f"url        {url}",
    ]
    lines += [f"header     {line}" for line in _headers(target.provider)]
    if target.provider.missing:
        lines.append(
            f"missing    {', '.join(target.provider.missing)}: callers get provider_key_missing"
        )
    return "\n".join(lines + _candidates(plan, endpoint.name, model)), True


def render_routes(plan: Plan) -> str:
    """The endpoint x provider matrix and the model rules."""
    names = [e.name for methods in plan.endpoints.values() for e in methods.values()]
    header = ("endpoint", *plan.providers)
    rows = [
        (
            name,
            *("x" if name in provider.upstreams else "." for provider in plan.providers.values()),
        )
        for name in names
    ]
    rules = [
        (
            rule.pattern + ("*" if rule.is_prefix else ""),
            ", ".join(rule.endpoints) if rule.endpoints else "any",
            rule.provider,
            rule.rename or ("without the prefix" if rule.strip else "as it is"),
            rule.where,
        )
        for rule in sorted(plan.rules, key=lambda r: (r.provider, r.pattern))
    ]
    rule_header = ("model", "endpoint", "provider", "sent", "line")
    return f"{_table(header, rows)}\n\n{_table(rule_header, rules)}"


def _candidates(plan: Plan, endpoint: str, model: str) -> list[str]:
    lines = []
    for candidate in explain(plan, endpoint, model):
        rule = candidate.rule
        kind = "prefix" if rule.is_prefix else "model"
        verdict = f"lost: it {candidate.reason}" if candidate.reason else "won"
        lines.append(
            f"rule       {rule.where}  {kind} `{rule.pattern}` -> {rule.provider}  {verdict}"
        )
    return lines


def _headers(provider: Provider) -> Iterable[str]:
    for header in provider.headers:
        yield f"{header.name.decode()}: {_masked(header)}"


def _masked(header: Header) -> str:
    if header.is_secret:
        return SECRET
    return header.value.decode() if isinstance(header.value, bytes) else "set for each request"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = (
        "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True))
        for row in (header, *rows)
    )
    return "\n".join(line.rstrip() for line in lines)
