"""The variants of a provider: one per credential set, and one per choice of a caller.

Each is the same provider, compiled with other values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import gcd
from types import MappingProxyType

from engine.config import model
from engine.config.compile.binding import Binding
from engine.config.compile.provider import compile_provider
from engine.config.source.document import Path
from engine.plan import plan

_Placed = tuple[plan.Provider, str, int]  # with its line and its weight


def compile_variants(
    binding: Binding, provider: model.Provider, lines: Mapping[Path, str]
) -> plan.Provider:
    """The provider with all its variants."""
    own = _with_choices(binding, provider)
    if not provider.accounts:
        return own
    groups: dict[tuple[object, object], list[_Placed]] = {}
    if any(account.callers is account.models is None for account in provider.accounts):
        groups[None, None] = [(own, lines[provider.at], 1)]
    for account, its_values in zip(provider.accounts, binding.values.accounts, strict=True):
        bound = replace(binding, values=its_values)
        variant = _with_choices(bound, provider.with_credential_set(account))
        group = groups.setdefault((account.callers, account.models), [])
        group.append((variant, lines[account.at], account.weight))
    accounts = [_credential_set(*narrowed, variants) for narrowed, variants in groups.items()]
    accounts.sort(key=lambda account: (account.callers is None, account.models is None))
    return replace(own, accounts=tuple(accounts))


def _credential_set(
    callers: object, models: object, variants: Sequence[_Placed]
) -> plan.CredentialSet:
    usable = _usable(variants)
    return plan.CredentialSet(
        _names(callers),
        _names(models),
        tuple(variant for variant, _, _ in usable),
        tuple(line for _, line, _ in usable),
        _turns([weight for _, _, weight in usable]),
    )


def _turns(weights: Sequence[int]) -> tuple[int, ...]:
    """Indexes interleaved by weight; empty if all weights are equal."""
    if len(set(weights)) == 1:
        return ()
    shared = gcd(*weights)
    due = (
        ((turn + 0.5) / weight, place)
        for place, weight in enumerate(weights)
        for turn in range(weight // shared)
    )
    return tuple(place for _, place in sorted(due))


def _usable(variants: Sequence[_Placed]) -> Sequence[_Placed]:
    """The variants that can be called; the first alone when none can."""
    return [placed for placed in variants if not placed[0].missing] or variants[:1]


def _names(patterns: object) -> plan.Names | None:
    if not isinstance(patterns, tuple):
        return None
    return plan.Names(
        frozenset(name for name in patterns if name[-1:] != "*"),
        tuple(name[:-1] for name in patterns if name[-1:] == "*"),
    )


def _with_choices(binding: Binding, provider: model.Provider) -> plan.Provider:
    """The provider, and one for each combination of values that a caller may choose."""
    own = compile_provider(binding, provider)
    headers, body = provider.caller_variable_headers, provider.caller_variable_body
    chosen = [v for v in provider.variables if v.name in {*headers.values(), *body.values()}]
    if not chosen:
        return own
    names = [variable.name for variable in chosen]
    variants = {
        frozenset(zip(names, values, strict=True)): _choosing(binding, chosen, values, provider)
        for values in product(*(variable.choices for variable in chosen))
    }
    defaults = {v.name: binding.values.variables.get(v.name, v.choices[0]) for v in chosen}
    choices = plan.Choices(
        MappingProxyType({name.encode("ascii"): v for name, v in headers.items()}),
        MappingProxyType(dict(body)),
        MappingProxyType({variable.name: variable.choices for variable in chosen}),
        MappingProxyType(defaults),
        MappingProxyType(variants),
    )
    return replace(own, choices=choices)


def _choosing(
    binding: Binding,
    chosen: Sequence[model.Variable],
    values: Sequence[str],
    provider: model.Provider,
) -> plan.Provider:
    """The provider with `values` for the variables `chosen`, whatever the environment gives for them."""
    given = {variable.name: value for variable, value in zip(chosen, values, strict=True)}
    unset = {name for variable in chosen for name in variable.env[:1]}
    bound = replace(
        binding.values,
        variables={**binding.values.variables, **given},
        missing=tuple(name for name in binding.values.missing if name not in unset),
    )
    return compile_provider(replace(binding, values=bound), provider)
