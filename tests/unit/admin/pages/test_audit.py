"""The page of the audit log has words for what the store records."""

import ast
from collections.abc import Iterator
from pathlib import Path

import engine.accounts
from engine.admin.pages.audit import ACTIONS

SOURCES = Path(engine.accounts.__file__).parent


def test_every_action_that_is_recorded_of_an_account_has_words() -> None:
    """Entries without an account, such as those of people, are on no page."""
    found = set[str]()
    for file in SOURCES.glob("*.py"):
        for function in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef):
                found |= {
                    action for call in _entries(function) for action in _actions(call, function)
                }
    assert sorted(found) == sorted(ACTIONS)


def _entries(function: ast.FunctionDef) -> Iterator[ast.Call]:
    """The calls of `add_entry` with an account."""
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Name(id="add_entry"), args=[_, account, *_]):
                if not (isinstance(account, ast.Constant) and account.value is None):
                    yield node


def _actions(call: ast.Call, function: ast.FunctionDef) -> set[str]:
    """The texts that the fourth argument may be, also when it is a name given before."""
    value = call.args[3]
    if isinstance(value, ast.Name):
        value = next(
            n.value
            for n in ast.walk(function)
            if isinstance(n, ast.Assign) and ast.dump(n.targets[0]) == _stored(value)
        )
    branches = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
    return {ast.literal_eval(branch) for branch in branches}


def _stored(name: ast.Name) -> str:
    return ast.dump(ast.Name(name.id, ast.Store()))
