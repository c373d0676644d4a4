"""What an editor shows beside a name, a key or a model rule, as Markdown; never a secret."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from engine.config.source.document import Path
from engine.lsp import grammar
from engine.lsp.folder import Folder
from engine.lsp.names import Name, Occurrence
from engine.plan.plan import Plan, Provider, Rule, RuleTarget, UnusableValueError

ANY = "NAME"
MAX_NAMES = 8


def describe_key(file: str, path: Path) -> str | None:
    """The schema's description of the key at `path`."""
    schema = grammar.at(file, path)
    words = schema.get("markdownDescription") or schema.get("description")
    if not words:
        return None
    title = str(path[-1]) if path and isinstance(path[-1], str) else ""
    lines = [f"**{title}**\n\n{words}" if title else str(words)]
    if "default" in schema:
        lines.append(f"Default: `{_plain(schema['default'])}`")
    if "enum" in schema:
        lines.append("One of " + ", ".join(f"`{_plain(value)}`" for value in schema["enum"]))
    return "\n\n".join(lines)


def describe_name(folder: Folder, name: Name) -> str:
    """What a provider, endpoint, credential or variable is."""
    lines = [f"**{name.kind}** `{name.text}`" + (f" of `{name.scope}`" if name.scope else "")]
    match name.kind:
        case "provider":
            lines += _provider(folder, name.text)
        case "endpoint":
            lines += _endpoint(folder, name.text)
        case _:
            lines += _source(folder, name)
    return "\n\n".join(line for line in lines if line)


def describe_rule(folder: Folder, index: int) -> str | None:
    """Where the model rule at `index` leads: endpoints, URLs, the name sent, the rules around it."""
    current = folder.loaded().plan
    plan = current or folder.plan
    if plan is None:
        return "Where this rule leads is shown once the configuration has no errors."
    rule = plan.rules[index] if current else _same(folder, plan, index)
    if rule is None:
        return None
    lines = [f"**model rule** `{_shown(rule)}` → {_providers(rule)}"]
    for rule_target in rule.targets or (None,):
        lines += _rule_target(plan, rule, rule_target)
    better, worse = _around(plan, rule)
    lines += [f"beats {listed}" for listed in _listed(worse)]
    lines += [f"loses to {listed}" for listed in _listed(better)]
    if current is None:
        lines.append("*This is how it was before the errors that there are now.*")
    return "\n\n".join(line for line in lines if line)


def _same(folder: Folder, plan: Plan, index: int) -> Rule | None:
    """The rule of an older plan that is written as the one at `index` is now."""
    data = folder.documents["routes.yaml"].data
    rules = data.get("models") if isinstance(data, dict) else None
    now = rules[index] if isinstance(rules, list) and index < len(rules) else None
    if not isinstance(now, dict):
        return None
    kind = "prefix" if "prefix" in now else "model"
    same = (r for r in plan.rules if (r.pattern, r.is_prefix) == (now.get(kind), kind == "prefix"))
    return next(same, None)


def _rule_target(plan: Plan, rule: Rule, rule_target: RuleTarget | None) -> Iterator[str]:
    """Where one target of a rule leads, or the rule itself when it has no several."""
    provider = plan.providers[(rule_target or rule).provider]
    if rule_target is not None:
        weight = f", weight {rule_target.weight}" if rule_target.weight is not None else ""
        yield f"**target** `{rule_target.provider}`{weight}"
    sample = rule.pattern + ANY if rule.is_prefix else rule.pattern
    sent = rule.sent_model(sample, rule_target)
    if sent != sample:
        yield f"sent as `{sent}`"
    yield _served(plan, rule, rule_target, sample)
    yield _missing(provider)


def _served(plan: Plan, rule: Rule, rule_target: RuleTarget | None, sample: str) -> str:
    """A table of the endpoints at which the rule wins."""
    provider = plan.providers[(rule_target or rule).provider]
    rows = []
    for name in rule.endpoints or provider.upstreams:
        endpoint = plan.endpoint(name)
        wins = any(rule is each for each in plan.models.possible_rules(name, sample))
        if endpoint is None or not wins or name not in provider.upstreams:
            continue
        decision = plan.decide_target(rule, name, sample, rule_target)
        caller = f"{endpoint.method} {endpoint.path.decode()}"
        rows.append(f"| `{name}` | `{caller}` | `{_url(provider, name, decision.sent_model)}` |")
    if not rows:
        return "It serves no endpoint."
    return "\n".join(["| endpoint | callers send | goes to |", "|---|---|---|", *rows])


def _url(provider: Provider, endpoint: str, model: str) -> str:
    upstream = provider.upstreams[endpoint]
    try:
        return upstream.url(model) if upstream else "unknown until its variables are set"
    except UnusableValueError:
        return "nowhere: this name cannot be part of a URL"


def _around(plan: Plan, rule: Rule) -> tuple[list[Rule], list[Rule]]:
    """The rules that fit some of the same models at some of the same endpoints: better, worse."""
    better, worse = [], []
    for other in plan.rules:
        if other is rule or not _meet(rule.endpoints, other.endpoints):
            continue
        if rule.is_prefix and other.pattern.startswith(rule.pattern) and _beats(other, rule):
            better.append(other)
        elif other.is_prefix and rule.pattern.startswith(other.pattern) and _beats(rule, other):
            worse.append(other)
        elif other.pattern == rule.pattern and other.is_prefix == rule.is_prefix:
            (better if other.endpoints is not None else worse).append(other)
    return better, worse


def _beats(one: Rule, other: Rule) -> bool:
    """Exact beats prefix, longer beats shorter, narrowed beats not narrowed."""
    return _rank(one) > _rank(other)


def _rank(rule: Rule) -> tuple[bool, int, bool]:
    return not rule.is_prefix, len(rule.pattern), rule.endpoints is not None


def _meet(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> bool:
    return one is None or other is None or bool(set(one) & set(other))


def _listed(rules: Iterable[Rule]) -> Iterator[str]:
    shown = [f"`{_shown(rule)}` → {_providers(rule)} ({rule.where})" for rule in rules]
    if shown:
        more = f" and {len(shown) - MAX_NAMES} more" if len(shown) > MAX_NAMES else ""
        yield ", ".join(shown[:MAX_NAMES]) + more


def _providers(rule: Rule) -> str:
    return ", ".join(
        f"`{name}`" for name in ([w.provider for w in rule.targets] or [rule.provider])
    )


def _shown(rule: Rule) -> str:
    return rule.pattern + ("*" if rule.is_prefix else "")


def _missing(provider: Provider) -> str:
    if not provider.missing:
        return ""
    return "Not set where the editor runs: " + ", ".join(f"`{name}`" for name in provider.missing)


def _provider(folder: Folder, name: str) -> Iterator[str]:
    data = _at(folder, "providers.yaml", ("providers", name))
    if not isinstance(data, dict):
        yield "not defined in providers.yaml"
        return
    for key in ("description", "base_url"):
        if isinstance(data.get(key), str):
            yield f"`{data[key]}`" if key == "base_url" else str(data[key])
    served = data.get("endpoints")
    if isinstance(served, dict):
        yield "serves " + ", ".join(f"`{endpoint}`" for endpoint in served)
    if folder.plan is not None and name in folder.plan.providers:
        yield _missing(folder.plan.providers[name])


def _endpoint(folder: Folder, name: str) -> Iterator[str]:
    data = _at(folder, "routes.yaml", ("endpoints", name))
    if not isinstance(data, dict):
        yield "not defined in routes.yaml"
        return
    yield f"`{data.get('method', 'POST')} {data.get('path', '')}`"
    by = [m.path[1] for m in _serving(folder, name)]
    yield "served by " + ", ".join(f"`{p}`" for p in by) if by else "no provider serves it"


def _serving(folder: Folder, name: str) -> Iterator[Occurrence]:
    for mention in folder.occurrences():
        if mention.name == Name("endpoint", name) and mention.path[:1] == ("providers",):
            yield mention


def _source(folder: Folder, name: Name) -> Iterator[str]:
    """Where a credential or variable comes from; what it is stays out of sight."""
    data = _at(folder, "providers.yaml", ("providers", name.scope, f"{name.kind}s", name.text))
    match data:
        case {"env": str(env), **rest}:
            yield f"from the environment variable `{env}`" + _otherwise(rest)
        case {"file": str()}:
            yield "from a file"
        case str() if name.kind == "variable":
            yield f"`{data}`"
        case None:
            yield f"not defined for provider `{name.scope}`"
        case _:
            pass


def _otherwise(data: Mapping[Any, object]) -> str:
    if isinstance(data.get("default"), str):
        return f", else `{data['default']}`"
    return ", optional" if data.get("optional") is True else ""


def _at(folder: Folder, file: str, path: Path) -> object:
    """The value at `path` in the last readable text of `file`; None when there is none."""
    document = folder.documents.get(file)
    value: object = document.data if document else None
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
