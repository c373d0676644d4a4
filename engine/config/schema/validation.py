"""Violations of schemas/ as findings at the right place, with our own messages.

The validator's own messages are never used: they quote the offending value, which in
providers.yaml may be a secret.
"""

import re
from collections.abc import Iterator
from itertools import islice
from types import NoneType
from typing import Any

from engine.config.diagnostics.diagnostic import MAX_FOUND, Diagnostic, Fix, Position, Span
from engine.config.schema.merging import merge_repeated
from engine.config.schema.places import describe
from engine.config.schema.schemas import violations
from engine.config.schema.shape import shape_help
from engine.config.schema.typos import find_variable, valid_name, with_fix
from engine.config.schema.wrong_words import OF_MODELS, WRONG_VALUES, WRONG_WORDS
from engine.config.source.document import Data, Document, Path
from engine.config.source.secret_shapes import has_key
from engine.config.source.url_text import url_advice, url_text_problem
from engine.plan.suggest import nearest

_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_KINDS = {
    "object": "a mapping", "array": "a list", "string": "text", "integer": "a whole number",
    "number": "a number", "boolean": "`true` or `false`", "null": "nothing",
}  # fmt: skip


def check_schema(document: Document, name: str) -> tuple[list[Diagnostic], set[Path]]:
    """All violations of the schema called `name`, and the paths of the values they make unusable.

    MAX_FOUND of them mean that there may be more, and that no value of the document can be used.
    """
    found: dict[tuple[str, Path, str], Diagnostic] = {}
    broken: set[Path] = set()
    errors = violations(name, document.data)
    every = (found for error in errors for found in _explain(document, error))
    for diagnostic in islice(every, MAX_FOUND):
        found.setdefault((diagnostic.code, diagnostic.path, diagnostic.message), diagnostic)
        broken.add(diagnostic.path)
        if diagnostic.code == "S102" and diagnostic.fix:
            broken.add((*diagnostic.path[:-1], diagnostic.fix.text))
    reported = merge_repeated(document, list(found.values()))
    return [with_fix(document, d) for d in reported], broken


def _explain(document: Document, error: Any) -> Iterator[Diagnostic]:
    path: Path = tuple(error.absolute_path)
    where = describe(document.data, path)
    match error.validator:
        case "additionalProperties" if error.validator_value is False:
            yield from _unknown_keys(document, error, path, where)
        case "required":
            yield from _missing_keys(document, error, path, where)
        case "type":
            yield _wrong_type(document, error, path, where)
        case _ if "propertyNames" in error.absolute_schema_path:
            name = (*path, str(error.instance))
            if joined := _joined(document, name):
                yield _at_joined(document, "S105", name, joined, where)
                return
            message = f"`{error.instance}` is not a usable name in {where}"
            if "a name in lower-case" in (expected := error.schema.get("x-expect", "")):
                yield _bad_name(document, message, name, expected)
                return
            expected = expected or "lower case letters, digits and `_`"
            yield _at_key(document, "S105", message, name, help=f"write {expected}")
        case "pattern" if path[-1:] == ("base_url",) and (problem := _url_problem(error.instance)):
            message = f"{where} {problem}"
            yield _at_value(document, "S104", message, path, help=url_advice(problem))
        case _:
            yield _bad_value(document, error, path, where)


def _wrong_type(document: Document, error: Any, path: Path, where: str) -> Diagnostic:
    kinds = error.validator_value
    kinds = [kinds] if isinstance(kinds, str) else kinds
    wanted = " or ".join(_KINDS[kind] for kind in kinds)
    several = isinstance(error.instance, list) and error.schema.get("x-several")
    expected = several or error.schema.get("x-expect")
    hint = f"write {expected}" if expected else ""
    if isinstance(error.instance, str) and _lists_texts(error.schema):
        hint = hint or "write it as a list, in [ ]"
    if "string" in kinds and _is_scalar(error.instance) and _fits_quoted(error):
        hint = "quote the value"
    hint = hint or shape_help(error.schema, kinds)
    found = "a fraction" if "integer" in kinds and isinstance(error.instance, float) else ""
    message = f"{where} must be {wanted}, not {found or _kind_of(error.instance)}"
    if error.instance is None:
        message = f"{where} is empty: it must be {wanted}"
    if path[-1:] == ("timeouts",) and "object" in kinds:
        hint = "write it as in `timeouts: {total: 30s}`"
    return _at_value(document, "S103", message, path, help=hint)


def _unknown_keys(document: Document, error: Any, path: Path, where: str) -> Iterator[Diagnostic]:
    schema: dict[str, Any] = error.schema
    known = set(schema.get("properties", ()))
    free = sorted(known - set(error.instance)) or sorted(known)
    for key in error.instance:
        if key in known:
            continue
        place = (*path, key)
        if (joined := _joined(document, place)) and joined in known:
            yield _at_joined(document, "S102", place, joined, where)
            continue
        elsewhere = OF_MODELS.get(key, "") if path[:1] == ("models",) else ""
        hint = None if elsewhere else nearest(key, free) or WRONG_WORDS.get(key)
        hint = hint if hint in known else None
        fits = bool(hint) and _is_of_kind(error.instance[key], schema["properties"][hint])
        shown = "" if hint else "known keys: " + ", ".join(f"`{name}`" for name in sorted(known))
        if hint == "timeouts" and not fits:
            shown = "write it as in `timeouts: {total: 30s}`"
        yield Diagnostic(
            "S102",
            f"unknown key `{key}` in {where}",
            document.entry(place).head,
            label=f"did you mean `{hint}`?" if hint else "",
            help=elsewhere or shown,
            path=place,
            fix=Fix(document.entry(place).head, hint) if hint and fits else None,
        )


def _is_of_kind(value: Data, schema: dict[str, Any]) -> bool:
    """Whether `value` may be meant for a key: no number or text stands where a mapping or a list is wanted."""
    return isinstance(value, dict | list | NoneType) or schema.get("type") not in (
        "object",
        "array",
    )


def _bad_name(document: Document, message: str, place: Path, expected: str) -> Diagnostic:
    """A name that is not usable, with the one that is, unless another entry has that."""
    head, name = document.entry(place).head, valid_name(str(place[-1]))
    if not name or (*place[:-1], name) in document.entries:
        return Diagnostic("S105", message, head, help=f"write {expected}", path=place)
    label = f"did you mean `{name}`?"
    return Diagnostic("S105", message, head, label=label, path=place, fix=Fix(head, name))


def _joined(document: Document, place: Path) -> str:
    """The key in `key:value` or `key=value`, which is all one key; "" for any other."""
    found = re.match(r"([a-z][a-z0-9_]{0,40})[:=].", str(place[-1]))
    return found[1] if found and document.value(place) is None else ""


def _at_joined(document: Document, code: str, place: Path, key: str, where: str) -> Diagnostic:
    """A finding for `key:value` or `key=value`, which does not quote the value: it may be a secret."""
    head = document.entry(place).head
    line, column = head.start.line, head.start.column + len(key)
    sign, end = Position(line, column), Position(line, column + 1)
    span = Span(head.file, head.start, end)
    if str(place[-1])[len(key)] == "=":
        words = f"between `{key}` and its value in {where} there is `=`, not a `:` and a space"
        return Diagnostic(code, words, span, path=place, fix=Fix(Span(head.file, sign, end), ": "))
    words = f"a space is missing after the `:` of `{key}` in {where}"
    return Diagnostic(code, words, span, path=place, fix=Fix(Span(head.file, end, end), " "))


def _missing_keys(document: Document, error: Any, path: Path, where: str) -> Iterator[Diagnostic]:
    choice = error.schema.get("x-expect") if "properties" not in error.schema else None
    for key in error.validator_value:
        if key not in error.instance:
            yield Diagnostic(
                "S101",
                f"{where} has no `{key}`",
                document.entry(path).head,
                help=f"give {choice}" if choice else f"add `{key}:`",
                path=(*path, key),
            )


def _bad_value(document: Document, error: Any, path: Path, where: str) -> Diagnostic:
    hint = None
    match error.validator:
        case "enum":
            values = ", ".join(f"`{value}`" for value in error.validator_value)
            wanted = error.schema.get("x-expect", f"one of {values}")
            if isinstance(error.instance, str):
                hint = _nearest_value(error.instance, [str(v) for v in error.validator_value])
        case "const":
            wanted = error.schema.get("x-expect", f"`{error.validator_value}`")
            same = str(error.instance) == str(error.validator_value)
            hint = str(error.validator_value) if same and isinstance(error.instance, str) else None
        case "pattern":
            expected = error.schema.get("x-expect", "in the form its description gives")
            wanted = _name_alone(path, error.instance) or expected
        case "minItems" | "minProperties" | "minLength":
            wanted = "filled in, not empty"
        case "minimum":
            wanted = f"at least {error.validator_value}"
        case "maximum":
            wanted = f"at most {error.validator_value}"
        case "maxLength":
            wanted = f"at most {error.validator_value} characters long"
        case "uniqueItems":
            wanted = "without repeated items"
        case _:
            wanted = error.schema.get("x-expect", "in a form that is allowed here")
    entry = document.entry(path)
    verb = "have" if wanted.startswith(("either ", "at least one of ")) else "be"
    return Diagnostic(
        "S104",
        f"{where} must {verb} {wanted}",
        entry.value,
        label=f"did you mean `{hint}`?" if hint else "",
        help=_belongs(path, error.instance),
        path=path,
        fix=Fix(entry.value, hint) if hint else None,
    )


def _belongs(path: Path, value: Data) -> str:
    """Where parts of a value belong: a model after the provider, or the URL of a provider as a path; "" for others."""
    if not isinstance(value, str) or has_key(value):
        return ""
    both = re.fullmatch(r"([a-z][a-z0-9_]{0,40})/([A-Za-z0-9._:/@-]{1,80})", value)
    if both and path[:1] == ("models",) and path[-1] == "provider":
        return f"write `provider: {both[1]}` and `as: {both[2]}`"
    is_url = path[:1] == ("endpoints",) and "path" in path and re.match("https?://", value)
    return "the URL of a provider belongs in `base_url` in providers.yaml" if is_url else ""


def _nearest_value(text: str, values: list[str]) -> str | None:
    word = WRONG_VALUES.get(text.casefold())
    return word if word in values else nearest(text, values)


def _name_alone(path: Path, value: Data) -> str:
    """What is wanted for `env: $NAME`; "" for any other value."""
    variable = find_variable(value) if "env" in path[-2:] else None
    return f"only the name of the variable, without the `{variable.around}`" if variable else ""


def _url_problem(text: str) -> str:
    """What is wrong with a base URL, whatever its templates insert."""
    url = _TEMPLATE.sub("x", text)
    url = f"https://{url}" if text.startswith("{{") else url
    return url_text_problem(url) or ("ends with a slash" if url.endswith("/") else "")


def _at_value(document: Document, code: str, message: str, path: Path, help: str) -> Diagnostic:  # noqa: A002 the field's name
    return Diagnostic(code, message, document.entry(path).value, help=help, path=path)


def _at_key(document: Document, code: str, message: str, path: Path, help: str) -> Diagnostic:  # noqa: A002 the field's name
    return Diagnostic(code, message, document.entry(path).head, help=help, path=path)


def _fits_quoted(error: Any) -> bool:
    """Whether quotes would make the value right; a number of seconds needs its unit."""
    return re.search(error.schema.get("pattern", ""), str(error.instance)) is not None


def _lists_texts(schema: dict[str, Any]) -> bool:
    """Whether what is wanted is a list, and not one of mappings, of which an example is shown."""
    return schema.get("type") == "array" and "properties" not in schema.get("items", {})


def _is_scalar(value: Data) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind_of(value: Data) -> str:
    match value:
        case bool():
            return "`true` or `false`"
        case str():
            return "text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "a mapping"
