"""Names that only a wildcard covers, where another part of the source refers to them."""

from collections.abc import Iterator
from dataclasses import replace

from engine.importers.draft import Deployment, Draft


def find_covered(draft: Draft) -> dict[str, list[Deployment]]:
    """The deployments of each name in fallbacks and aliases that has no group of its own, by its wildcard.

    Of several wildcards the longest counts. The deployments are copies that name the model.
    """
    names = [name for link in draft.fallbacks for name in (link.name, link.to)]
    names += [link.to for link in draft.aliases]
    found = {name: list(_covered(draft, name)) for name in names if name not in draft.groups}
    return {name: group for name, group in found.items() if group}


def _covered(draft: Draft, name: str) -> Iterator[Deployment]:
    wildcards = [group for group in draft.groups if group.endswith("*")]
    fitting = [group for group in wildcards if name.startswith(group[:-1])]
    if not name or name.endswith("*") or not fitting:
        return
    wildcard = max(fitting, key=len)
    for d in draft.groups[wildcard]:
        model = d.model[:-1] + name[len(wildcard) - 1 :] if d.model.endswith("*") else d.model
        yield replace(
            d,
            name=name,
            model=model,
            accounts=[*d.accounts],
            behind=[*d.behind],
            drop=[*d.drop],
            defaults={**d.defaults},
        )
