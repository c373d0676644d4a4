"""`prices`: import a public price list, and show the price of a model."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from engine.cli.common import IN_DIRECTORY, refuse_errors
from engine.cli.exits import COULD_NOT_RUN, stop
from engine.cli.files import only_writer, replace_file
from engine.config.checks.registry import PRICES
from engine.config.listed_prices import PriceListError, read_price_list
from engine.config.load import load
from engine.config.price_lists import select_prices
from engine.config.prices import UNITS, plain, thousands, usd_of
from engine.config.source.files import read_file, unreadable_reason
from engine.plan.plan import Plan
from engine.plan.prices import Price
from engine.report.prices import render_imported, render_prices

MAX_LIST = 64 * 1024 * 1024
# Stands for the file to be written, so that a budget in US dollars does not miss it.
_NO_PRICES = b"version: 1\nsource: none\ndate: 2026-01-01\nproviders: {}\n"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def prices() -> None:
    """What models cost: prices.yaml."""


@prices.command("import")
@click.argument("file", type=_FILE)
@click.option("--source", help="Where the list is from.  [default: the name of FILE]")
@click.option("--date", "day", help="The day of the list.  [default: when FILE was changed]")
@click.option("--all", "every", is_flag=True, help="Include models that no model rule uses.")
@click.option(
    "--provider", "called", multiple=True, metavar="NAME=THEIRS",
    help="What the list calls a provider of yours. May be repeated.",
)  # fmt: skip
@click.option("--replace", is_flag=True, help="Overwrite the prices.yaml that is there.")
@IN_DIRECTORY
def import_prices(  # noqa: PLR0913, PLR0917 one parameter an option
    file: Path,
    source: str | None,
    day: str | None,
    every: bool,  # noqa: FBT001 click's
    called: tuple[str, ...],
    replace: bool,  # noqa: FBT001 click's
    directory: Path,
) -> None:
    """Write prices.yaml from FILE, a price list that you have downloaded.

    FILE is model_prices_and_context_window.json of LiteLLM or api.json of models.dev. Only prices of
    models that the model rules send are written.
    """
    target = directory / PRICES
    if target.exists() and not replace:
        stop(f"there is a {PRICES} already: --replace overwrites all of it")
    loaded = load(directory, os.environ, time.time(), overrides={PRICES: _NO_PRICES})
    refuse_errors(loaded)
    try:
        listed = read_price_list(read_file(file, MAX_LIST))
    except PriceListError as error:
        stop(f"{file} is no price list: {error}")
    except OSError as error:
        stop(f"{file} cannot be read: {unreadable_reason(file, error)}")
    imported = select_prices(listed, loaded.config, _called(called), every=every)
    first, *more = render_imported(imported)
    if not imported.prices:
        stop("\n".join((f"{file} has no price that can be used; nothing is written", *more)))
    text = render_prices(imported, source or file.name, day or _changed(file))
    _refuse_wrong(directory, text)
    with only_writer(target):
        replace_file(target, text.encode())
    click.echo("\n".join((f"wrote {first} to {target}", *more)))


def _called(options: tuple[str, ...]) -> dict[str, list[str]]:
    """`mine=theirs` by `mine`."""
    names: dict[str, list[str]] = {}
    for option in options:
        ours, equals, theirs = option.partition("=")
        if not equals or not ours or not theirs:
            raise click.BadParameter(f"{option!r} is not NAME=THEIRS", param_hint="--provider")
        names.setdefault(ours, []).append(theirs)
    return names


def _changed(file: Path) -> str:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC).strftime("%Y-%m-%d")


def _refuse_wrong(directory: Path, text: str) -> None:
    """End the run when what would be written has errors, such as an invalid date."""
    loaded = load(directory, os.environ, time.time(), overrides={PRICES: text.encode()})
    refuse_errors(loaded, "nothing is written")


@prices.command("show")
@click.argument("model")
@IN_DIRECTORY
def show_price(model: str, directory: Path) -> None:
    """Show what MODEL costs, by its name as callers write it, at each provider that serves it."""
    loaded = load(directory, os.environ, time.time())
    plan = refuse_errors(loaded)
    if plan.prices is None:
        stop(f"there is no {PRICES} in {directory}")
    found = dict.fromkeys(_sent(plan, model))
    if not found:
        stop(f"no model rule sends `{model}`")
    click.echo(f"prices {plan.prices.version}, from {plan.prices.source}")
    unknown = 0
    for provider, sent in found:
        price = plan.prices.find(provider, sent)
        unknown += price is None
        click.echo(f"{provider} {sent}: {'no price' if price is None else _text(price)}")
        for tier, table in plan.prices.tiers.items():
            of_tier = table.find(provider, sent)
            if of_tier is not None:
                click.echo(f"{provider} {sent} in {tier}: {_text(of_tier)}")
    if unknown == len(found):
        raise SystemExit(COULD_NOT_RUN)


def _sent(plan: Plan, model: str) -> Iterator[tuple[str, str]]:
    """The providers that get `model`, each with the name that it gets."""
    for endpoint in plan.every_endpoint():
        for decision in plan.possible_decisions(endpoint.name, model):
            if decision.provider is not None:
                yield decision.provider.name, decision.sent_model


def _text(price: Price) -> str:
    """The prices as prices.yaml has them, and their line."""
    parts = [_numbers(price)]
    parts += (f"above {thousands(tokens)} of input {_numbers(above)}" for tokens, above in price.above[::-1])  # fmt: skip
    return "; ".join(parts) + f" ({price.where})"


def _numbers(price: Price) -> str:
    shown = usd_of(price)
    return ", ".join(f"{key} {plain(shown[key])}" for key in UNITS if key in shown)
