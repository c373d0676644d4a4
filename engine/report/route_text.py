"""The output of `engine route` for people: where a request goes, and which lines decide it."""

from collections.abc import Iterator
from typing import Any

from engine.config.effective import DEFAULT
from engine.report.mask import MASK
from engine.report.request_settings import describe_callers, format_value, shorten_list

UNKNOWN = "unknown until its variables are set"
View = dict[str, Any]


def render_text(view: View) -> str:
    """The view for a person."""
    request, error, target = view["request"], view["error"], view["target"]
    model = f"  model {request['model']}" if request["model"] else ""
    lines = [f"{request['method']} {request['path']}{model}"]
    if error:
        lines.append(f"refused: {error['status']} {error['code']}: {error['message']}")
    else:
        lines.append(f"endpoint   {view['endpoint']}  {view['endpoint_where']}")
        lines += _target_lines(target)
    if view["key"]:
        verdict = "allowed" if view["key"]["allowed"] else "not allowed"
        lines.append(f"key        {view['key']['name']}: {verdict}")
    for rule in view["rules"]:
        lines += _rule_lines(rule)
    if not error:
        lines += _turn_lines(target, view["key"])
        lines += [*_account_lines(target), *_setting_lines(target)]
    return "\n".join(lines)


def _target_lines(target: View) -> list[str]:
    lines = [
        f"provider   {target['provider']}  {target['where']}",
        f"sent as    {target['sent_model']}",
        f"url        {target['url'] or UNKNOWN}  {target['url_where']}",
    ]
    lines += [f"header     {h['name']}: {_shown(h)}  {h['where']}" for h in target["headers"]]
    if target["missing"]:
        names = ", ".join(target["missing"])
        is_open = target["targets"][0]["usable"] is None
        unless = ", unless an account fits their key" if is_open else ""
        lines.append(f"missing    {names}: callers get provider_key_missing{unless}")
    return lines


_ORDERS = {
    "file": "in this order; the next one gets what this one does not take",
    "weight": "chosen at random by weight for each request, here the heaviest first",
    "load": "the one with the fewest requests under way first, in each worker; here as if there were none",
    "key": "each key keeps to one of them, by weight; --key NAME shows which",
}


def _turn_lines(target: View, key: View | None) -> Iterator[str]:
    """Where else the request may go, in order."""
    if target["order"] is not None:
        is_kept = target["order"] == "key" and key is not None
        yield f"order      {'what this key keeps to' if is_kept else _ORDERS[target['order']]}"
        for number, candidate in enumerate(target["targets"], 1):
            weight = f"  weight {candidate['weight']}" if candidate["weight"] else ""
            weight += f"  tier {candidate['tier']}" if candidate["tier"] > 1 else ""
            name = f"{candidate['provider']} as {candidate['sent_model']}"
            verdict = _verdict(candidate, is_first=number == 1)
            yield f"target {number:<3} {name}{weight}  {candidate['where']}{verdict}"
            if candidate["fallback_on"] and number < len(target["targets"]):
                words = ", ".join(candidate["fallback_on"])
                yield f"fallback   to the next one after {words} too: may be paid twice"


def _verdict(candidate: View, *, is_first: bool) -> str:
    """Whether a target is passed over; the first one is not, even if no other can be called."""
    if candidate["usable"] is None:
        return "  if the key fits"
    is_passed_over = not candidate["usable"] and not is_first
    return f"  passed over: {candidate['missing'][0]} is not set" if is_passed_over else ""


def _account_lines(target: View) -> Iterator[str]:
    for account in target["accounts"]:
        if account["serves"] is not False:
            whom_for = describe_callers(account["callers"], account["models"])
            doubt = "  if the key fits" if account["serves"] is None else ""
            lacks = f"  missing {', '.join(account['missing'])}" if account["missing"] else ""
            weights = account["weights"]
            lines = [
                where + (f" weight {weights[place]}" if weights else "")
                for place, where in enumerate(account["where"])
            ]
            yield f"account    {whom_for}  {', '.join(lines)}{doubt}{lacks}"
    for choice in target["choices"]:
        values = shorten_list(choice["choices"])
        yield f"choice     {choice['variable']} by {choice['by']}: {values}  {choice['where']}"


def _shown(header: View) -> str:
    if header["secret"]:
        return MASK
    return "set for each request" if header["value"] is None else str(header["value"])


def _rule_lines(rule: View) -> Iterator[str]:
    """A rule and its verdict; under the one that won, what is written there."""
    verdict = "won" if rule["won"] else f"lost: it {rule['reason']}"
    when = f" when {rule['when']}" if rule["when"] else ""
    pattern = f"{rule['kind']} `{rule['pattern']}`{when} -> {', '.join(rule['providers'])}"
    yield f"rule       {rule['where']}  {pattern}  {verdict}"
    if rule["won"]:
        first = int(rule["where"].rpartition(":")[2])
        for number, line in enumerate(rule["lines"], first):
            yield f"{number:>10} | {_printable(line)}"


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else " " for c in line)


def _setting_lines(target: View) -> Iterator[str]:
    """The values in force; rarely used settings only where they are set, and retries where there are any."""
    written_rows = [
        (word, s["name"], format_value(s["value"]), s["where"])
        for word, section in _SECTIONS.items()
        for s in target[section]
        if s["where"] != DEFAULT or section in {"timeouts", "limits"} or _retries(target, s)
    ]
    names, values = (max(len(row[column]) for row in written_rows) for column in (1, 2))
    for word, name, value, where in written_rows:
        yield f"{word:<9}  {name:<{names}}  {value:<{min(values, 24)}}  {where}"


def _retries(target: View, setting: View) -> bool:
    """Whether a default of `retry` says something: there is another attempt, or another target."""
    is_tried_again = any(s["where"] != DEFAULT for s in target["retry"])
    return setting in target["retry"] and (is_tried_again or len(target["targets"]) > 1)


_SECTIONS = {
    "retry": "retry", "breaker": "breaker", "sign": "sign", "tls": "tls", "proxy": "proxy", "body": "body",
    "timeout": "timeouts", "limit": "limits",
}  # fmt: skip
