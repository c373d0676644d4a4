"""Marks the statements of the engine, so that a run of the tests shows which test runs which.

A mark sets one byte of a file that every process maps into its memory: it costs some 30 ns, and
holds for servers that a test starts and kills as well as for the process of the tests.
"""

import ast
from dataclasses import dataclass, field
from pathlib import Path

MARKED = ("__hit__", "engine.marks")
MARKS = """
import mmap

with open({path!r}, "r+b") as file:
    hits = mmap.mmap(file.fileno(), 0)
"""


@dataclass(frozen=True)
class Statement:
    """One statement: its lines, whether it runs in a function, names that it defines and uses."""

    file: str
    first: int
    last: int
    is_in_function: bool
    defines: frozenset[str]
    uses: frozenset[str]


@dataclass
class Marking:
    """Gives each statement of one file a number from `start`, and puts its mark before it."""

    file: str
    start: int
    statements: list[Statement] = field(default_factory=list)

    def mark(self, source: str) -> str:
        tree = ast.parse(source)
        self._walk(tree, (), in_function=False)
        name, module = MARKED
        head = [node for node in tree.body[:2] if is_docstring(node) or is_future_import(node)]
        imported = ast.parse(f"from {module} import hits as {name}").body
        tree.body[len(head) : len(head)] = imported
        return ast.unparse(ast.fix_missing_locations(tree))

    def _walk(self, node: ast.AST, classes: tuple[str, ...], *, in_function: bool) -> None:
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.ClassDef):
            classes = (*classes, node.name)
        for name, value in ast.iter_fields(node):
            if not isinstance(value, list):
                continue
            if value and isinstance(value[0], ast.stmt):
                setattr(node, name, self._body(value, classes, inside))
            else:
                for child in value:
                    if isinstance(child, ast.ExceptHandler | ast.match_case):
                        self._walk(child, classes, in_function=inside)

    def _body(self, body: list[ast.stmt], classes: tuple[str, ...], inside: bool) -> list[ast.stmt]:
        marked: list[ast.stmt] = []
        for statement in body:
            number = self.start + len(self.statements)
            last = statement.end_lineno or statement.lineno
            defines = defined(statement) | (frozenset() if inside else frozenset(classes))
            self.statements.append(
                Statement(self.file, statement.lineno, last, inside, defines, used(statement))
            )
            if inside and not is_docstring(statement):
                marked += ast.parse(f"{MARKED[0]}[{number}] = 1").body
            marked.append(statement)
            self._walk(statement, classes, in_function=inside)
        return marked


def is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def is_future_import(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def defined(statement: ast.stmt) -> frozenset[str]:
    """The names that a statement binds."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return frozenset([name])
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return frozenset(alias.asname or alias.name for alias in names)
    stored = (node for node in own(statement) if isinstance(node, ast.Name))
    return frozenset(node.id for node in stored if isinstance(node.ctx, ast.Store))


def used(statement: ast.stmt) -> frozenset[str]:
    """The names that a statement mentions, without those of the statements in it."""
    found: set[str] = set()
    for node in own(statement):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                found.add(name)
            case ast.alias(name=name):
                found.add(name.rpartition(".")[2])
    return frozenset(found)


def own(statement: ast.stmt) -> list[ast.AST]:
    """The nodes of a statement without the statements in it."""
    found: list[ast.AST] = [statement]
    for node in found:
        found += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]
    return found


def marked(root: Path) -> tuple[dict[str, str], list[Statement]]:
    """The marked text of every module of the engine below `root`, and the statements by number."""
    texts: dict[str, str] = {}
    statements: list[Statement] = []
    for file in sorted((root / "engine").rglob("*.py")):
        marking = Marking(file.relative_to(root).as_posix(), len(statements))
        texts[marking.file] = marking.mark(file.read_text("utf-8"))
        statements += marking.statements
    return texts, statements


def mark_engine(root: Path, seen: Path) -> None:
    """Mark the engine below `root`; byte N of the file `seen` belongs to statement N."""
    texts, statements = marked(root)
    for name, text in texts.items():
        (root / name).write_text(text, "utf-8")
    seen.write_bytes(bytes(len(statements)))
    (root / "engine" / "marks.py").write_text(MARKS.format(path=str(seen)), "utf-8")
