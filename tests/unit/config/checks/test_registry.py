"""Every code of the catalogue has functions that are registered for it, and reports no other."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, get_type_hints

import pytest

from engine.config import load as _load  # noqa: F401 registers the steps
from engine.config.checks import registry
from engine.config.checks.registry import REGISTRY, Check, Stage
from engine.config.diagnostics.codes import FINDING_KINDS
from tests.tables import each
from tests.unit.config.folders import codes, minimal, read, write

# A step calls other registered functions; their codes are theirs.
FUNCTIONS = {registered.function for registered in REGISTRY}
# Codes that a function compares others' findings with.
COMPARED = {
    "confusing_name": {"Y009", "Y010"},
    "validate_file": {"F002", "F003", "Y004"},
    "check_all": {"E405", "E408"},
}


def reported(registered: Check) -> set[str]:
    """The codes in the source of a registered function, and of all that it calls."""
    seen: set[int] = set()
    compared = COMPARED.get(registered.function.__name__, set())
    return set(strings(registered.function, seen)) & set(FINDING_KINDS) - compared


def strings(value: Any, seen: set[int]) -> Iterator[str]:
    """The strings in a value: a constant, a table, a function or a private class of `engine.config`."""
    if id(value) in seen:
        return
    seen.add(id(value))
    value = getattr(value, "__wrapped__", value)
    if isinstance(value, str):
        yield value
    elif isinstance(value, FunctionType) and value.__module__.startswith("engine.config"):
        yield from in_code(value.__code__, value, seen)
    else:
        for part in parts(value):
            yield from strings(part, seen)


def parts(value: Any) -> Iterable[Any]:
    if isinstance(value, type) and value.__name__.startswith("_"):
        return vars(value).values()
    if isinstance(value, dict):
        return (*value, *value.values())
    return value if isinstance(value, tuple | list | set | frozenset) else ()


def in_code(code: CodeType, function: FunctionType, seen: set[int]) -> Iterator[str]:
    """The strings of a function, of functions inside it, and of what it names and calls."""
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from in_code(const, function, seen)
        else:
            yield from strings(const, seen)
    classes = [c for c in get_type_hints(function).values() if isinstance(c, type)]
    for name in code.co_names:
        value = function.__globals__.get(name)
        if value is not FINDING_KINDS and not (callable(value) and value in FUNCTIONS):
            yield from strings(value, seen)
        for owner in classes:
            yield from strings(getattr(owner, name, None), seen)


@each("registered", REGISTRY)
def test_a_function_reports_the_codes_that_it_registers(registered: Check) -> None:
    assert reported(registered) == set(registered.codes)


def test_every_code_has_a_function() -> None:
    assert {code for registered in REGISTRY for code in registered.codes} == set(FINDING_KINDS)


def test_checks_are_in_their_room() -> None:
    assert len(FUNCTIONS) == len(REGISTRY)
    for registered in REGISTRY:
        if registered.stage is not Stage.STEP:
            assert registered.function.__module__.startswith("engine.config.checks.")


def test_a_check_reports_no_more_than_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MAX_FOUND", 2)
    spare = "".join(f"  spare{n}: {{base_url: https://{n}.example, endpoints: {{embeddings: /}}}}\n" for n in range(3))  # fmt: skip
    assert codes(read(write(tmp_path, providers=minimal("providers") + spare))) == ["X205"] * 2
