"""The command line: arguments in, exit code out. Every command is a short call into the packages below.

It never imports the request side, and is the only package that prints.

Exit codes: 0 fine, 1 findings, 2 could not run.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from keyword import iskeyword

import click

from engine import __version__
from engine.cli.crash import Commands

# The module of each command, imported on demand: most need little of the rest.
MODULES = {
    "serve": "serve",
    "mock": "serve",
    "status": "status",
    "top": "top",
    "check": "check",
    "explain": "explain",
    "route": "route",
    "routes": "route",
    "test": "test",
    "show": "show",
    "diff": "diff",
    "fmt": "fmt",
    "schema": "check",
    "lsp": "lsp",
    "health": "health",
    "ping": "ping",
    "init": "init",
    "import": "imports",
    "keys": "keys",
    "accounts": "accounts",
    "vault": "vault",
    "db": "db",
    "usage": "usage",
    "prices": "prices",
}


class LazyCommands(Mapping[str, click.Command]):
    """The commands by name, each imported when it is looked up."""

    def __getitem__(self, name: str) -> click.Command:
        attribute = f"{name}_" if iskeyword(name) else name
        command: click.Command = getattr(import_module(f"engine.cli.{MODULES[name]}"), attribute)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


@click.group(
    cls=Commands,
    commands=LazyCommands(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, prog_name="engine")
@click.option("--debug", is_flag=True, envvar="ENGINE_DEBUG", help="Show the traceback of a bug.")
def main(debug: bool) -> None:  # noqa: FBT001 click's; `Commands` reads it
    """A gateway for LLM APIs, driven by YAML files.

    \b
    routes.yaml      the endpoints it serves, and where each model goes
    providers.yaml   the providers: URL, credentials, headers
    keys.yaml        who may call it (optional while you try it out)
    server.yaml      accounts and their dashboard (optional)
    prices.yaml      what models cost (optional)

    \b
    engine serve --mock          try it, with a built-in upstream and no keys
    engine check                 is my configuration right?
    engine route POST PATH --model NAME     where would this request go?
    """
