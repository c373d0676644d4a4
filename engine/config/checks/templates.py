"""Compiles every template of a Config, and reports what is not allowed in its place."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from engine.config.checks.registry import PROVIDERS, Stage, check
from engine.config.diagnostics.diagnostic import Diagnostic, Fix, Position, Span
from engine.config.model import Config, Provider
from engine.config.source.document import Document, Path
from engine.config.template import Template, TemplateProblem, compile_template, render_now
from engine.plan.plan import UnusableValueError
from engine.plan.suggest import nearest

# What differs from request to request, and so what a caller can choose.
_PER_REQUEST = {"credentials", "model", "endpoint", "request"}


@check("T301", "T302", "T303", "T304", "T305", "T306", "T307", stage=Stage.STEP)
def compile_templates(
    config: Config, documents: Mapping[str, Document]
) -> tuple[dict[Path, Template], list[Diagnostic]]:
    """Every template that can be used, by the path of its source, and the findings about the others."""
    templates: dict[Path, Template] = {}
    found: list[Diagnostic] = []
    for provider in config.providers:
        for path, source, roots in template_sources(provider):
            template, problems = compile_template(source)
            problems = [_with_name(provider, problem) for problem in problems]
            if template is not None:
                problems = list(_misused_names(provider, template, roots))
                if not (problems or template.is_constant):
                    problems = list(_unrenderable(provider, template))
                if not problems:
                    templates[path] = template
            found.extend(_in_template(documents[PROVIDERS], path, p) for p in problems)
    return templates, found


def _with_name(provider: Provider, problem: TemplateProblem) -> TemplateProblem:
    """For a name with hyphens: `problem` with the intended name as hint."""
    if "-" not in problem.text:
        return problem
    header = re.fullmatch(r"request\.headers\.([a-z0-9-]+)", problem.text)
    every = [f"credentials.{made.name}" for made in provider.credentials]
    every += [f"variables.{made.name}" for made in provider.variables]
    hint = f"request.headers['{header[1]}']" if header else nearest(problem.text, every)
    return replace(problem, hint=hint)


def _unrenderable(provider: Provider, template: Template) -> Iterator[TemplateProblem]:
    """Values in the files that make a template render to text which no header or URL can hold."""
    context = {"variables": provider.sample_variables(), "model": "m", "endpoint": "e"}
    every = {credential.name: "placeholder" for credential in provider.credentials}
    needed = {credential.name: "placeholder" for credential in provider.credentials if not credential.optional}  # fmt: skip
    for credentials in (every, needed) if needed != every else (every,):
        try:
            render_now(
                template, {**context, "credentials": credentials, "request": {"headers": {}}}
            )
        except UnusableValueError as error:
            yield TemplateProblem("T305", str(error))
            return


def template_sources(provider: Provider) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """Each template of a provider: its path, its source, and the names that it may start with."""
    yield (*provider.at, "base_url"), provider.base_url, ("variables",)
    for name, source in provider.headers.items():
        roots = ("credentials", "variables", "model", "endpoint", "request")
        yield (*provider.at, "headers", name), source, roots
    for name, source in provider.default_headers.items():
        yield (*provider.at, "default_headers", name), source, ("variables",)
    for name, source in (provider.sign.settings if provider.sign else {}).items():
        yield (*provider.at, "sign", name), source, ("variables",)
    ping = provider.ping.as_endpoint() if provider.ping else None
    for served in (*provider.endpoints, *provider.not_enabled, *((ping,) if ping else ())):
        in_path = ("variables",) if served is ping else ("variables", "model")
        yield served.path_at, served.path, in_path
        if served.stream_path is not None:
            yield (*served.at, "stream_path"), served.stream_path, ("variables", "model")
        for name, source in served.query.items():
            yield (*served.at, "query", name), source, ("variables",)


def _host(source: str) -> str:
    """The host part of a URL template; "" for a path and for a header."""
    found = re.match(r"https?://([^/]*)", source)
    return found[1] if found else ""


def _misused_names(
    provider: Provider, template: Template, roots: tuple[str, ...]
) -> Iterator[TemplateProblem]:
    known = {
        "credentials": {credential.name for credential in provider.credentials},
        "variables": {variable.name for variable in provider.variables},
    }
    for name in sorted(template.names):
        if name[0] in _PER_REQUEST and re.search(rf"\b{name[0]}\b", _host(template.source)):
            words = "a host may use `variables` only: no caller may choose where a key is sent"
            yield TemplateProblem("T307", words, name[0])
        elif name[0] not in roots:
            words = f"the name `{name[0]}` is not known here; available: " + ", ".join(
                f"`{root}`" for root in roots
            )
            yield TemplateProblem("T302", words, name[0], nearest(name[0], roots))
        elif name[0] in known and (len(name) != 2 or name[1] not in known[name[0]]):
            words = f"provider `{provider.name}` has no `{'.'.join(name)}`"
            yield TemplateProblem("T302", words, name[-1], nearest(name[-1], known[name[0]]))
        elif name[0] == "request" and (len(name) != 3 or name[1] != "headers"):
            yield TemplateProblem(
                "T302", "of a request only `request.headers['name']` is available", name[0]
            )
        elif name[0] in ("model", "endpoint") and len(name) != 1:
            yield TemplateProblem("T302", f"`{name[0]}` is text and has no attributes", name[0])
        elif name == ("model",) and "request" not in roots and name not in template.segments:
            yield TemplateProblem("T306", "write `{{ model | segment }}` in a path", "model")


def _in_template(document: Document, path: Path, problem: TemplateProblem) -> Diagnostic:
    """The finding, at the text to underline where that is on the line of the value."""
    span = document.entry(path).value
    line = document.lines[span.start.line - 1]
    word = re.compile(
        rf"(?<![\w.-]){re.escape(problem.text)}(?![\w-])|(?<=\.){re.escape(problem.text)}(?![\w-])"
    )
    inside = line.find("{{", span.start.column - 1)
    hit = word.search(line, inside) if problem.text and inside >= 0 else None
    if hit:
        column = hit.start() + 1
        start = Position(span.start.line, column)
        span = Span(span.file, start, Position(start.line, column + len(problem.text)))
    label = f"did you mean `{problem.hint}`?" if problem.hint else ""
    fix = Fix(span, problem.hint) if problem.hint and hit else None
    return Diagnostic(problem.code, problem.message, span, label=label, path=path, fix=fix)
