"""A small request that shows whether a provider serves: for the page of a new key, and to test one that was saved.

Which requests those are, and which names of models are likely cheap, is data: `first_calls.json`.
"""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from engine.plan.plan import Plan, Provider


@dataclass(frozen=True, slots=True)
class FirstCall:
    """A POST to `path` of the gateway; `endpoint` is the name of that path in routes.yaml.

    `limit` are fields that keep the response short.
    """

    endpoint: str
    path: str
    body: Mapping[str, Any]
    limit: Mapping[str, Any]

    def json(self, model: str) -> str:
        return json.dumps({"model": model, **self.body})

    def shortest(self, model: str) -> str:
        """The body with which the response is as short, and as cheap, as it can be."""
        return json.dumps({"model": model, **self.body, **self.limit})


@dataclass(frozen=True, slots=True)
class ExampleCall:
    """A call with the model that it names."""

    call: FirstCall
    model: str


def find_call(plan: Plan, provider: Provider) -> FirstCall | None:
    """The first call of the table whose endpoint `provider` serves."""
    for entry in _table()["calls"]:
        endpoint = plan.endpoints.get(entry["path"].encode(), {}).get("POST")
        if endpoint is not None and endpoint.name in provider.upstreams:
            return FirstCall(endpoint.name, entry["path"], entry["body"], entry["limit"])
    return None


def models_of(plan: Plan, provider: Provider) -> tuple[str, ...]:
    """The names by which callers reach the models of `provider`, likely cheap ones first."""
    public = filter(None, plan.public_names(provider).values())
    return tuple(sorted(public, key=_cost))


def find_example(
    plan: Plan, saved: Iterable[str], allowed: Iterable[str] | None
) -> ExampleCall | None:
    """A call that is likely to succeed: at a provider of `saved`, or at any, with a model of `allowed`."""
    named = [name for name in allowed or () if not name.endswith("*")]
    for name in (*saved, *plan.providers):
        provider = plan.providers.get(name)
        call = find_call(plan, provider) if provider else None
        if provider is None or call is None:
            continue
        models = [m for m in models_of(plan, provider) if allowed is None or _fits(m, allowed)]
        if models or named:
            return ExampleCall(call, (models or named)[0])
    return None


def curl(example: ExampleCall, gateway_url: str, key: str) -> str:
    """The call as a command for a shell."""
    return (
        f"curl {shlex.quote(gateway_url + example.call.path)} \\\n"
        f'  -H "authorization: Bearer {key}" \\\n'
        f'  -H "content-type: application/json" \\\n'
        f"  -d {shlex.quote(example.call.json(example.model))}"
    )


def _fits(model: str, allowed: Iterable[str]) -> bool:
    return any(
        model.startswith(name[:-1]) if name.endswith("*") else model == name for name in allowed
    )


def _cost(model: str) -> tuple[bool, bool]:
    name, table = model.lower(), _table()
    is_other = any(word in name for word in table["other_kinds"])
    return is_other, not set(re.split(r"[^a-z0-9]", name)) & set(table["cheap"])


@cache
def _table() -> dict[str, Any]:
    text = Path(__file__).with_name("first_calls.json").read_text("utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
