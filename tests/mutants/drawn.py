"""The mutants of a module: one small change at one place each."""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
# Comparisons whose change is the same as the negation of the condition they stand in.
NEGATED = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
CLOCKS = ("monotonic", "perf_counter", "time")
UNMUTATED = ("annotation", "returns", "decorator_list", "type_params")


@dataclass(frozen=True)
class Mutant:
    """One change of a file: the text between two offsets in bytes, and what replaces it."""

    file: str
    line: int
    start: int
    end: int
    old: str
    new: str

    def __str__(self) -> str:
        old, new = (" ".join(text.split())[:60] for text in (self.old, self.new))
        return f"{self.file}:{self.line}  {old}  ->  {new}"

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What may replace a node."""
    match node:
        case ast.Compare(ops=[operator, *_]) if type(operator) in COMPARED and not is_clock(node):
            changed = copy.deepcopy(node)
            changed.ops[0] = COMPARED[type(operator)]()
            yield changed
        case ast.BoolOp(op=operator):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield ast.BoolOp(other, node.values)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise():
            yield ast.Pass()
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            if not is_mutated_alike(test):
                yield ast.UnaryOp(ast.Not(), test)


def is_clock(compared: ast.Compare) -> bool:
    """Whether it orders instants of a clock, of which no two are equal: < and <= are the same."""
    if isinstance(compared.ops[0], NEGATED):
        return False
    called = (node.func for node in ast.walk(compared) if isinstance(node, ast.Call))
    return any(ast.unparse(each).rpartition(".")[2] in CLOCKS for each in called)


def is_mutated_alike(test: ast.expr) -> bool:
    """Whether another change of this condition is its negation already."""
    match test:
        case ast.Compare(ops=[operator]):
            return isinstance(operator, NEGATED)
        case ast.UnaryOp(op=ast.Not()) | ast.Constant():
            return True
    return False


def is_inert(node: ast.AST) -> bool:
    """Whether no change below this node can change what the program does.

    Text is not mutated, so f-strings are left; assertions of what is always so, `strict=` of `zip`,
    and the blocks for type checkers and for running a module as a script.
    """
    match node:
        case ast.JoinedStr() | ast.Assert() | ast.keyword(arg="strict"):
            return True
        case ast.Raise(exc=ast.Name(id="AssertionError")):
            return True
        case ast.Raise(exc=ast.Call(func=ast.Name(id="AssertionError"))):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return True
        case ast.Call(func=ast.Name(id="assert_never" | "cast" | "TypeVar" | "NewType")):
            return True
    return False


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run: no annotations, no docstrings, no decorators, nothing inert."""
    for name, value in ast.iter_fields(tree):
        if name in UNMUTATED:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not is_inert(child):
                yield child
                yield from nodes(child)


def mutants(file: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a module."""
    raw = source.encode()
    lines = [0]
    for line in raw.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    for node in nodes(ast.parse(source)):
        place: Any = node.test if isinstance(node, ast.If | ast.IfExp | ast.While) else node
        for changed in changes(node):
            start = lines[place.lineno - 1] + place.col_offset
            end = lines[place.end_lineno - 1] + place.end_col_offset
            new = ast.unparse(ast.fix_missing_locations(changed))
            text = raw[start:end].decode()
            yield Mutant(file, place.lineno, start, end, text, new if new == "pass" else f"({new})")


def all_mutants(root: Path, rooms: list[str]) -> list[Mutant]:
    """The mutants of every module below `engine/` in these packages."""
    files = sorted(file for room in rooms for file in (root / "engine" / room).rglob("*.py"))
    return [
        mutant
        for file in files
        for mutant in mutants(file.relative_to(root).as_posix(), file.read_text("utf-8"))
    ]
