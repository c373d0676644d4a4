"""What is sent to a provider: unused credentials, and text that looks like an unfilled variable."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from engine.config.checks.bodies import every_change
from engine.config.checks.registry import PROVIDERS, ROUTES, CheckContext, check
from engine.config.checks.values import UNEXPANDED, is_unfilled
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart, Fix, Span
from engine.config.model import Provider
from engine.config.schema.places import describe, within
from engine.config.source.document import Path
from engine.config.source.secret_shapes import has_key, has_token, names_secret
from engine.plan.signers import SIGNERS

_DOLLAR = re.compile(r"((?:Bearer|Basic|Token|Key) )?\$(?:\{([A-Z][A-Z0-9_]*)\}|([A-Z][A-Z0-9_]*))")
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_SIGN = re.compile(r"[$#%](?=\{\{)")
_OWN_TEMPLATE = re.compile(
    r"\{\{\s*(?:variables|credentials|request|model|endpoint|env)\b[^{}]*\}\}"
)
_LITERAL = "write the value itself: only URLs, queries and headers have templates"
_MODEL_NAME = "write the name of the model itself"
_NAMING = ("base_url", "headers", "variables")
_FILL = "values come from `credentials:` and `variables:` only, as in `{{ credentials.api_key }}`"


@check("X270")
def unused_credential(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        used = _used_credentials(context, provider)
        for credential in provider.credentials if used is not None else ():
            if credential.name not in (used or ()):
                message = f"credential `{credential.name}` of provider `{provider.name}` is used nowhere, so requests are sent without it"
                fix_hint = f'add `headers: {{authorization: "Bearer {{{{ credentials.{credential.name} }}}}"}}`, or what the provider requires'
                yield context.at("X270", message, PROVIDERS, credential.at, help=fix_hint)


def _used_credentials(context: CheckContext, provider: Provider) -> set[str] | None:
    """The credentials that headers and signer use.

    None when another finding says where a credential was meant: a header with a bad template, with
    a secret or an unfilled variable in it, or a signer without its credential.
    """
    paths = [(*provider.at, "headers", name) for name in provider.headers]
    is_reported = (
        not all(path in context.templates for path in paths)
        or any(_is_secret(name, text) for name, text in provider.headers.items())
        or any(
            _unfilled_sign(p, t) is not None
            for p, t in zip(paths, provider.headers.values(), strict=True)
        )
    )
    needed, possible = _signed_with(provider)
    if is_reported or not needed <= {credential.name for credential in provider.credentials}:
        return None
    names = (name for path in paths for name in context.templates[path].names)
    return {n[1] for n in names if n[0] == "credentials" and len(n) > 1} | possible


def _is_secret(name: str, text: str) -> bool:
    return has_key(text) or (names_secret(name) and has_token(text))


def _signed_with(provider: Provider) -> tuple[set[str], set[str]]:
    """The credentials that the signer of a provider needs, and all that it can use."""
    if provider.sign is None:
        return set(), set()
    kind = SIGNERS[provider.sign.signer]
    needed = set() if provider.sign.by_workload_identity else set(kind.needs)
    return needed, {*kind.needs, *kind.may}


@check("X271")
def unfilled_value(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        for path, text, sign in _unfilled(provider):
            where = within(f"provider `{provider.name}`", path[2:])
            if sign:
                message = f"{where} has `{sign}` before `{{{{`, and it is sent as it is"
                fix_hint = f"leave `{sign}` out: only `{{{{ … }}}}` is filled in"
                yield context.at("X271", message, PROVIDERS, path, EntryPart.VALUE, help=fix_hint)
                continue
            message = (
                f"{where} has a variable or placeholder that is not filled in: it is sent as it is"
            )
            found = context.at("X271", message, PROVIDERS, path, EntryPart.VALUE, help=_FILL)
            yield replace(found, fix=_template_for(provider, path, text, found.span))


def _unfilled(provider: Provider) -> Iterator[tuple[Path, str, str]]:
    """Texts with an unfilled variable or a placeholder: path, text, and the `$` in front of `{{`, if any."""
    for path, text in _sent(provider):
        sign = _unfilled_sign(path, text)
        if sign is not None:
            yield path, text, sign


def _unfilled_sign(path: Path, text: str) -> str | None:
    """The `$` in front of `{{` in a text, "" for another variable or placeholder in it, None for neither."""
    bare = _TEMPLATE.sub(" ", text)
    if UNEXPANDED.search(bare) or (path[2] in _NAMING and is_unfilled(bare)):
        return ""
    sign = _SIGN.search(text)
    return sign[0] if sign else None


def _template_for(provider: Provider, path: Path, text: str, span: Span) -> Fix | None:
    """For a header that is just `$NAME`, the variable of a credential: that credential's template."""
    hit = _DOLLAR.fullmatch(text) if "headers" in path else None
    names = [c.name for c in provider.credentials if hit and (hit[2] or hit[3]) in c.env]
    if hit is None or not names:
        return None
    return Fix(span, f'"{hit[1] or ""}{{{{ credentials.{names[0]} }}}}"')


def _sent(provider: Provider) -> Iterator[tuple[Path, str]]:
    """Every text of the file that becomes a part of requests."""
    yield (*provider.at, "base_url"), provider.base_url
    for section in ("headers", "default_headers"):
        for name, text in getattr(provider, section).items():
            yield (*provider.at, section, name), text
    every = [
        *provider.variables,
        *(v for credential_set in provider.accounts for v in credential_set.variables),
    ]
    for variable in every:
        if variable.value is not None:
            yield (*variable.at, "default") if variable.env else variable.at, variable.value
    for name, text in (provider.sign.settings if provider.sign else {}).items():
        yield (*provider.at, "sign", name), text
    for served in (*provider.endpoints, *provider.not_enabled):
        yield served.path_at, served.path
        yield from (((*served.at, "query", name), text) for name, text in served.query.items())


@check("X271")
def unfilled_in_a_body(context: CheckContext) -> Iterator[Diagnostic]:
    """Variables and templates in values of bodies, where nothing is filled in."""
    for changes in every_change(context):
        for kind in ("set", "default"):
            for name, value in getattr(changes.edits, kind).items():
                for path, text in _texts(value, (*changes.at, kind, name)):
                    is_template = _OWN_TEMPLATE.fullmatch(text.strip())
                    if is_template or UNEXPANDED.fullmatch(text.strip()):
                        where = describe(context.documents[changes.file].data, path)
                        what = "a template" if is_template else "a variable or placeholder"
                        message = f"{where} has {what}, which is not filled in in a body: it is sent as it is"
                        yield context.at(
                            "X271", message, changes.file, path, EntryPart.VALUE, help=_LITERAL
                        )


@check("X271")
def unfilled_model_name(context: CheckContext) -> Iterator[Diagnostic]:
    """A variable in `as:`, where nothing is filled in."""
    for rule in context.config.rules:
        places = {(*target.at, "as"): target.rename for target in rule.targets}
        for path, name in ({(*rule.at, "as"): rule.rename} | places).items():
            if name and UNEXPANDED.search(name) and path in context.documents[ROUTES].entries:
                message = f"{describe(context.documents[ROUTES].data, path)} has a variable or placeholder that is not filled in: it is sent as it is"
                yield context.at("X271", message, ROUTES, path, EntryPart.VALUE, help=_MODEL_NAME)


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Every text in `value`, which is at `path`."""
    match value:
        case str():
            yield path, value
        case dict():
            for key, inner in value.items():
                yield from _texts(inner, (*path, key))
        case list():
            for index, inner in enumerate(value):
                yield from _texts(inner, (*path, index))
