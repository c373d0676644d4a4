"""The Jinja environment: templates of operators, compiled at load, that only insert values.

A template is text with `{{ name | filter }}` in it. Statements, calls, arithmetic and comparisons
are refused on the syntax tree, so nothing a caller sends can ever be more than a value.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, nodes
from jinja2.filters import do_default, do_lower, do_trim, do_upper
from jinja2.runtime import new_context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.plan.plan import Context, Render, UnusableValueError
from engine.plan.suggest import nearest

MAX_OUTPUT = 8 * 1024
MAX_SOURCE = 4096  # characters
MAX_TOKENS = 64  # names, signs and texts between `{{` and `}}`
_OUTPUT = re.compile(r"[\x20-\x7e]*")
Name = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """What is wrong in a template: a code of the catalogue, a message, and the text to underline.

    `hint` is a known word to offer instead of that text.
    """

    code: str
    message: str
    text: str = ""
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template. `names` are those it uses: ("credentials", "api_key"), ("model",).

    `optional` are the names that a `default` filter covers. `segments` are those made safe for a
    path by `segment`, `segments` or `encoded`.
    """

    source: str
    names: frozenset[Name]
    optional: frozenset[Name]
    segments: frozenset[Name]
    render: Render

    @property
    def is_constant(self) -> bool:
        """Whether it is text alone, which was checked when it was compiled."""
        return "{" not in self.source

    def uses(self, root: str) -> frozenset[str]:
        """The names used below `root`, without those that have a default."""
        used = self.names - self.optional
        return frozenset(name[1] for name in used if name[0] == root and len(name) > 1)


def segment(value: object) -> str:
    """Percent-encode `value` as one segment of a URL path (RFC 3986, 3.3).

    Raises:
        UnusableValueError: when a server could read it as more than one segment, or as `.` or `..`.
    """
    text = str(value)
    if text in ("", ".", "..") or re.search(r"[/\\%\x00-\x1f\x7f]", text):
        raise UnusableValueError("the value cannot be one segment of a path")
    return quote(text, safe="!$&'()*+,;=:@~")


def segments(value: object) -> str:
    """Each part of `value` between slashes as a segment of its own, the slashes kept.

    Raises:
        UnusableValueError: as `segment` does, for any part.
    """
    return "/".join(segment(part) for part in str(value).split("/"))


def encoded(value: object) -> str:
    """Percent-encode all of `value` as one segment, its slashes as `%2F`.

    Raises:
        UnusableValueError: as `segment` does, for any part between slashes.
    """
    return "%2F".join(quote(segment(part), safe="%~") for part in str(value).split("/"))


def _b64encode(value: object) -> str:
    return base64.b64encode(str(value).encode()).decode("ascii")


class _Environment(ImmutableSandboxedEnvironment):
    """Attributes and items are look-ups in plain mappings, never Python attributes."""

    def getitem(self, obj: Any, argument: Any) -> Any:
        try:
            return obj[argument]
        except (KeyError, TypeError):
            return self.undefined(obj=obj, name=argument)

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)


_FILTERS: dict[str, Callable[..., Any]] = {
    "lower": do_lower,
    "upper": do_upper,
    "trim": do_trim,
    "default": do_default,
    "b64encode": _b64encode,
    "segment": segment,
    "segments": segments,
    "encoded": encoded,
}
_PATH_FILTERS = frozenset({"segment", "segments", "encoded"})
FILTER_NAMES = tuple(_FILTERS)
_ENVIRONMENT = _Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
_ENVIRONMENT.filters = _FILTERS
_ENVIRONMENT.globals.clear()


@lru_cache(maxsize=4096)  # most providers share theirs
def compile_template(source: str) -> tuple[Template | None, list[TemplateProblem]]:
    """Compile one template, or return all that is wrong with it."""
    if "{" not in source:
        return _constant(source)
    try:
        if (excess := _excess(source)) is not None:
            return None, [TemplateProblem("T301", excess)]
        tree = _ENVIRONMENT.parse(source)
    except (TemplateSyntaxError, RecursionError) as error:
        words = _plain(getattr(error, "message", "it is nested too deeply"))
        return None, [TemplateProblem("T301", f"the template cannot be read: {words}")]
    survey = _Survey()
    survey.visit(tree)
    if survey.problems:
        return None, survey.problems
    compiled = _ENVIRONMENT.from_string(tree)

    def render(context: Context) -> str:
        # `compiled.render` would copy the context, and rewrite the traceback of what it raises;
        # `compiled.new_context` would look through the globals, of which there are none.
        values = new_context(_ENVIRONMENT, None, {}, context, shared=True)  # type: ignore[arg-type]  # only read
        return checked_output("".join(compiled.root_render_func(values)))

    names, optional = frozenset(survey.names), frozenset(survey.optional)
    return Template(source, names, optional, frozenset(survey.segments), render), []


def _excess(source: str) -> str | None:
    """What is too much in a template: Jinja calls itself for each level and each filter."""
    if len(source) > MAX_SOURCE:
        return f"the template is longer than {MAX_SOURCE:,} characters"
    count = 0
    for _, kind, _ in _ENVIRONMENT.lexer.tokeniter(source, None):
        count = 0 if kind.endswith("_begin") else count + (kind != "whitespace")
        if count > MAX_TOKENS and kind != "data":
            return f"between `{{{{` and `}}}}` are more than {MAX_TOKENS} names and signs"
    return None


def _constant(source: str) -> tuple[Template | None, list[TemplateProblem]]:
    try:
        checked_output(source)
    except UnusableValueError as error:
        return None, [TemplateProblem("T305", str(error))]
    nothing: frozenset[Name] = frozenset()
    return Template(source, nothing, nothing, nothing, lambda _context: source), []


def checked_output(text: str) -> str:
    """`text`, if a header or URL can hold it.

    Raises:
        UnusableValueError: it is longer than 8 KiB or not visible ASCII.
    """
    if len(text) > MAX_OUTPUT or not _OUTPUT.fullmatch(text):
        raise UnusableValueError("the value is not visible ASCII of at most 8 KiB")
    return text


def render_now(template: Template, context: Mapping[str, Any]) -> str | None:
    """The text of a template that needs nothing but `context`; None where a value is absent."""
    try:
        return template.render(context)
    except UndefinedError:
        return None


class _Survey:
    """Walks a syntax tree: the names and filters used, and every node that is not allowed."""

    def __init__(self) -> None:
        self.names: set[Name] = set()
        self.optional: set[Name] = set()
        self.segments: set[Name] = set()
        self.problems: list[TemplateProblem] = []

    def visit(self, node: nodes.Node, filters: frozenset[str] = frozenset()) -> None:
        match node:
            case nodes.Template() | nodes.Output():
                for child in node.iter_child_nodes():
                    self.visit(child)
            case nodes.Filter(kwargs=[], dyn_args=None, dyn_kwargs=None):
                self._visit_filter(node, filters)
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                self._visit_name(node, filters)
            case nodes.TemplateData() | nodes.Const():
                pass
            case nodes.Sub() if hyphened := _hyphened(node):
                words = f"`{hyphened}` is a subtraction: a name has letters, digits and underscores"
                self.problems.append(TemplateProblem("T304", words, hyphened))
            case _:
                words = "a template only inserts names, with filters"
                self.problems.append(TemplateProblem("T304", words))

    def _visit_filter(self, node: nodes.Filter, outer: frozenset[str]) -> None:
        inner, name, args = node.node, node.name, node.args
        if name not in _FILTERS or inner is None:
            known = ", ".join(f"`{known}`" for known in _FILTERS)
            self.problems.append(
                TemplateProblem(
                    "T303", f"no filter `{name}`; there are {known}", name, nearest(name, _FILTERS)
                )
            )
            return
        if len(args) > (2 if name == "default" else 0):
            self.problems.append(
                TemplateProblem("T304", f"filter `{name}` takes no such argument", name)
            )
        for arg in args:
            self.visit(arg)
        self.visit(inner, outer | {name})

    def _visit_name(self, node: nodes.Node, filters: frozenset[str]) -> None:
        name = _dotted(node)
        if name is None:
            self.problems.append(
                TemplateProblem("T304", "a name is followed by something else than a name")
            )
            return
        self.names.add(name)
        if "default" in filters:
            self.optional.add(name)
        if filters & _PATH_FILTERS:
            self.segments.add(name)


def _dotted(node: nodes.Node) -> Name | None:
    match node:
        case nodes.Name(name=name):
            return (name,)
        case nodes.Getattr(node=inner, attr=attr):
            outer = _dotted(inner)
            return (*outer, attr) if outer else None
        case nodes.Getitem(node=inner, arg=nodes.Const(value=str(key))):
            outer = _dotted(inner)
            return (*outer, key) if outer else None
    return None


def _hyphened(node: nodes.Node) -> str:
    """The name with hyphens that a subtraction was meant to be, "" if it was none."""
    if isinstance(node, nodes.Sub):
        left, right = _hyphened(node.left), _hyphened(node.right)
        return f"{left}-{right}" if left and right else ""
    return ".".join(_dotted(node) or ())


# What Jinja says, and what that means in a template that only inserts values.
_NO_STATEMENT = "a template only inserts names, with filters; it has no `{% %}`"
_MESSAGES = (
    (r"unexpected end of template, expected 'end of print statement'", "`{{` is never closed with `}}`"),
    (r"unexpected '\}'", "a value ends with `}}`, and here is one `}`"),
    (r"unexpected '(.+)', expected '(.+)'", r"`\2` is missing before `\1`"),
    (r"expected name or number", "a name is missing after `.`"),
    (r"[Ee]xpected (?:an expression|token 'name'), got 'end of print statement'", "a name is missing before `}}`"),
    (r"expected token 'end of print statement', got '(.+)'", r"before `\1` there must be `|`, for a filter, or `}}`"),
    (r"unexpected char ['\"](.+)['\"] at \d+", r"no template can have `\1` there"),
    (r"Encountered unknown tag .*|Unexpected end of template\. Jinja .*", _NO_STATEMENT),
    (r"Missing end of comment tag", "`{#` is never closed with `#}`"),
)  # fmt: skip


def _plain(message: str | None) -> str:
    text = (message or "syntax error").rstrip(".")
    for pattern, words in _MESSAGES:
        if (hit := re.fullmatch(pattern, text)) is not None:
            return hit.expand(words)
    return text.replace("'", "`")
