"""Advice: what is allowed and better done differently. Reported with `--audit` only."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from engine.config.checks.registry import KEYS, PROVIDERS, ROUTES, CheckContext, Stage, check
from engine.config.checks.rules import fallback_at
from engine.config.checks.urls import url_problem
from engine.config.checks.values import is_loopback
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.config.template import render_now


@check("A501", "A502", stage=Stage.AUDIT)
def broad_key(context: CheckContext) -> Iterator[Diagnostic]:
    for key in context.config.keys or ():
        if key.expiry_text is None:
            message = f"key `{key.name}` never expires"
            yield context.at("A501", message, KEYS, key.at, help="add `expires:` with a date")
        if key.endpoints is None and key.models is None:
            message = f"key `{key.name}` may ask every endpoint for every model"
            help_text = "narrow it with `endpoints:` or `models:`"
            yield context.at("A502", message, KEYS, key.at, help=help_text)


@check("A503", stage=Stage.AUDIT)
def no_tests(context: CheckContext) -> Iterator[Diagnostic]:
    incomplete = "tests" in context.config.incomplete
    if ROUTES in context.documents and not context.config.tests and not incomplete:
        message = "no `tests:` say where requests should go"
        help_text = "add `tests:` with the models that matter and the provider each must reach"
        yield context.at("A503", message, ROUTES, (), help=help_text)


@check("A504", stage=Stage.AUDIT)
def plain_http(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        path = (*provider.at, "base_url")
        template = context.templates.get(path)
        variables = provider.sample_variables()
        if template is None or url_problem(template, variables):
            continue  # reported as an error
        parts = urlsplit(render_now(template, {"variables": variables, "model": "m"}) or "")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            message = f"provider `{provider.name}` is called without TLS inside the network"
            help_text = "write https:// if it supports that"
            yield context.at("A504", message, PROVIDERS, path, EntryPart.VALUE, help=help_text)


@check("A505", stage=Stage.AUDIT)
def catch_all(context: CheckContext) -> Iterator[Diagnostic]:
    for rule in context.config.rules:
        if rule.is_prefix and not rule.pattern and rule.endpoints is None:
            message = f"every model without a rule of its own goes to provider `{rule.provider}`"
            help_text = "give prefixes, so that a mistyped model is refused here and not billed"
            yield context.at("A505", message, ROUTES, (*rule.at, "prefix"), help=help_text)


@check("A506", stage=Stage.AUDIT)
def paid_twice(context: CheckContext) -> Iterator[Diagnostic]:
    for rule in context.config.rules:
        asked = [target for target in rule.targets[:-1] if target.fallback_on]
        if asked:
            words = ", ".join(dict.fromkeys(word for t in asked for word in t.fallback_on))
            yield context.at(
                "A506",
                f"requests of {rule.label} may be paid twice: `fallback_on` sends them again after {words}",
                ROUTES,
                fallback_at(context, rule, asked[0]),
            )
