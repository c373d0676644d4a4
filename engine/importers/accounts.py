"""Deployments that differ in their credentials alone, where a rule has no place for all: credential sets of fewer targets.

Each target keeps several of them as `accounts` of its provider. As many targets stay as there is room for, since a
request goes on to the next target after a 429, and not to the next account.
"""

import json
from collections.abc import Iterable

from engine.importers.draft import Deployment

USUAL_WEIGHT = 1000  # of a deployment without a weight beside others that have one


def merge_credentials(group: list[Deployment], room: int) -> list[Deployment]:
    """The deployments of one name, at most `room` of them as far as credentials can be put together."""
    if len({_identity(d) for d in group}) <= room:
        return group
    alike: dict[str, list[Deployment]] = {}
    for d in group:
        alike.setdefault(_shape(d), []).append(d)
    places = _places({shape: len(members) for shape, members in alike.items()}, room)
    _share_out(group)
    heads = [
        _put_together(members[first :: places[shape]])
        for shape, members in alike.items()
        for first in range(places[shape])
    ]
    return [d for d in group if any(d is head for head in heads)]


def _places(sizes: dict[str, int], room: int) -> dict[str, int]:
    """How many targets each shape gets: one, and what is left where the most deployments share one."""
    places = dict.fromkeys(sizes, 1)
    while sum(places.values()) < room:
        shape = max(sizes, key=lambda s: sizes[s] / places[s])
        if places[shape] >= sizes[shape]:
            break
        places[shape] += 1
    return places


def _share_out(group: Iterable[Deployment]) -> None:
    """Give each a weight or a share of its own, so that those of several can be added up."""
    has_weights = any(d.weight for d in group)
    known = [d.share for d in group if d.share]
    usual = max(1, round(sum(known) / len(known))) if known else 1
    for d in group:
        if has_weights and d.weight is None:
            d.weight = USUAL_WEIGHT
        d.share = d.share or usual


def _put_together(members: list[Deployment]) -> Deployment:
    """The first of the members, with the credentials of the others as accounts."""
    head, *others = members
    for d in others:
        if d.weight is not None and head.weight is not None:
            head.weight += d.weight
        head.share = (head.share or 0) + (d.share or 0)
        for credentials in (d.credentials, *d.accounts):
            if credentials != head.credentials and credentials not in head.accounts:
                head.accounts.append(credentials)
        head.behind.append(d)
    return head


def _identity(d: Deployment) -> str:
    return _shape(d) + json.dumps([d.credentials, d.accounts], sort_keys=True)


def _shape(d: Deployment) -> str:
    """All that makes a target or a provider, but the values of credentials."""
    parts = (
        d.kind and d.kind.name, d.model, d.base, d.variables, d.headers, sorted(d.credentials), sorted(d.without),
        d.defaults, d.drop, d.chat_drop, d.timeouts, d.attempts, d.in_flight, d.open, d.order, d.mode, d.weight == 0,
    )  # fmt: skip
    return json.dumps(parts, sort_keys=True, default=str)
