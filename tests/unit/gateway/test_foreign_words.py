"""No text of an exception of a library or of Python reaches a caller, a log line or another exception."""

import ast
from collections.abc import Iterator

from tests.servers import ROOT
from tests.tables import each

ENGINE = ROOT / "engine"
ROOMS = ("gateway", "upstream")
MODULES = sorted(str(p.relative_to(ENGINE).with_suffix("")) for room in ROOMS for p in (ENGINE / room).rglob("*.py"))  # fmt: skip
# What makes text of an exception, by calling it or as an attribute of one.
TELLING = {"str", "repr", "ascii", "format", "print_exc", "format_exc", "format_exception"}
TOLD = {"args", "strerror", "reason", "msg", "doc", "object", "__notes__", "__str__", "__repr__"}
OUR_EXCEPTIONS = {"GatewayError", "UpstreamError"}
# `json_text` looks up its messages by those of msgspec, and takes a position from them.
MAY_BE_TOLD = {("gateway/inbound/json_text", "str")}


def exceptions_told(module: str, tree: ast.Module) -> set[tuple[str, str]]:
    """Where the text of an exception that is not ours is asked for, once it is caught by name."""
    told = {
        (module, name)
        for node in ast.walk(tree)
        if (name := getattr(node, "attr", "")) in TELLING - {"format"}
    }
    for handler in ast.walk(tree):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None:
            continue
        kinds = {n.id for n in ast.walk(handler.type or handler) if isinstance(n, ast.Name)}
        if kinds <= OUR_EXCEPTIONS:
            continue
        told |= {(module, way) for way in _ways_told(handler, handler.name)}
    return told


def _ways_told(handler: ast.ExceptHandler, name: str) -> Iterator[str]:
    for node in ast.walk(handler):
        parts: list[ast.AST] = []
        way = type(node).__name__
        if isinstance(node, ast.Call):
            way = getattr(node.func, "id", getattr(node.func, "attr", ""))
            is_raised = way[:1].isupper()  # an argument of another exception
            parts = [*node.args, *(k.value for k in node.keywords)]
            parts = parts if way in TELLING or is_raised else []
        elif isinstance(node, ast.FormattedValue):
            parts = [node.value]
        elif isinstance(node, ast.BinOp):
            parts = [node.left, node.right]
        elif isinstance(node, ast.Attribute) and node.attr in TOLD:
            way, parts = node.attr, [node.value]
        every = (n for part in parts for n in (part, *getattr(part, "elts", ())))
        if any(isinstance(n, ast.Name) and n.id == name for n in every):
            yield way


def test_no_foreign_exception_speaks_to_a_caller() -> None:
    """Its text may quote a secret or a body, and is of no use to who reads it."""
    told: set[tuple[str, str]] = set()
    for module in MODULES:
        told |= exceptions_told(module, ast.parse((ENGINE / f"{module}.py").read_text("utf-8")))
    assert told == MAY_BE_TOLD


@each(
    "way",
    ["str(e)", 'f"{e}"', 'f"it is {e!r}"', "repr(e)", '"%s" % e', '"%s" % (e,)', "e.args", "'{}'.format(e)", "traceback.format_exc()", "GatewayError('x', e)", "e.strerror"],
)  # fmt: skip
def test_an_exception_that_is_told_is_found(way: str) -> None:
    source = f"try:\n    pass\nexcept (OSError, GatewayError) as e:\n    say({way})\n"
    assert exceptions_told("m", ast.parse(source))
    assert not exceptions_told("m", ast.parse("try:\n    pass\nexcept OSError as e:\n    say(e.errno, isinstance(e, TimeoutError))\n"))  # fmt: skip
