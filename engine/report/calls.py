"""Calls to paste for a first try, each to an endpoint and a model that the configuration serves."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from engine.plan.plan import Endpoint, Plan

_EXAMPLES = Path(__file__).parents[1] / "mock" / "curl.txt"
_CALL = re.compile(r"""\{url}(?P<path>/\S+) .*("model": "|model=)(?P<model>[^"\s]+)""")
_PLAIN = re.compile(r"[A-Za-z0-9][\w./:@-]*", re.ASCII)  # what neither a shell nor JSON reads
_BODIES = {
    "json": """-H "content-type: application/json" -d '{{{{"model": "{model}", "input": "hello"}}}}'""",
    "form": "-F model={model}",
}


def example_calls(plan: Plan) -> list[str]:
    """Commands of curl with the fields `{url}` and `{key}`, for `str.format`.

    They are those of engine/mock/curl.txt whose path is served, each with its own model if that is
    routed there, else with one that is; where no path is served, one for the first endpoint with a model.
    """
    blocks = _EXAMPLES.read_text("utf-8").strip().split("\n\n")
    calls = [call for block in blocks if (call := _fitted(plan, block))]
    return calls or list(islice(_others(plan), 1))


def _fitted(plan: Plan, block: str) -> str | None:
    """`block` with a model that its endpoint serves; None where it is not served."""
    found = _CALL.search(block)
    if found is None:
        return None
    endpoint = plan.endpoints.get(found["path"].encode(), {}).get("POST")
    if endpoint is None or ("form" if " -F " in block else "json") not in endpoint.bodies:
        return None
    model = _model(plan, endpoint, found["model"])
    return model and block[: found.start("model")] + model + block[found.end("model") :]


def _others(plan: Plan) -> Iterator[str]:
    for endpoint in plan.every_endpoint():
        model = _model(plan, endpoint)
        if endpoint.method == "POST" and model:
            path = endpoint.path.decode().replace("{model}", quote(model, safe=""))
            body = _BODIES["json" if "json" in endpoint.bodies else "form"].format(model=model)
            yield f'# {endpoint.name}\ncurl {{url}}{path} -H "authorization: Bearer {{key}}" {body}'


def _model(plan: Plan, endpoint: Endpoint, wanted: str = "") -> str | None:
    """A model that `endpoint` serves whatever else a request has: `wanted` before others."""
    by_prefix = [rule.pattern + "example" for rule in plan.rules if rule.is_prefix]
    exact = [rule.pattern for rule in plan.rules if not rule.is_prefix]
    names = [wanted, *exact, *(name for name, _ in plan.listed), *by_prefix]
    return next((n for n in names if _PLAIN.fullmatch(n) and _leads(plan, endpoint, n)), None)


def _leads(plan: Plan, endpoint: Endpoint, model: str) -> bool:
    return plan.decide(endpoint.name, model).refusal is None
