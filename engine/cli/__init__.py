"""The command line: arguments in, exit code out. Every command is a thin call into the rooms below.

Exit codes: 0 fine, 1 findings, 2 could not run.
"""

import click

from engine import __version__
from engine.cli import (
    checking,
    comparing,
    editing,
    explaining,
    formatting,
    inspecting,
    making,
    routing,
    serving,
    status,
    testing,
)
from engine.cli.crash import Commands


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="engine")
@click.option("--debug", is_flag=True, envvar="ENGINE_DEBUG", help="Show the traceback of a bug.")
def main(debug: bool) -> None:  # noqa: FBT001 click's; `Commands` reads it
    """A gateway for LLM APIs, driven by two YAML files.

    \b
    routes.yaml      the endpoints it answers, and which model goes to which provider
    providers.yaml   the providers: URL, credentials, headers
    keys.yaml        who may call it (optional while you try it out)

    \b
    engine serve --mock          try it, with a built-in upstream and no provider key
    engine check                 is my configuration right?
    engine route POST PATH --model NAME     where would this request go?
    """


for command in (
    serving.serve,
    serving.mock,
    status.status,
    checking.check,
    explaining.explain,
    routing.route,
    routing.routes,
    testing.test,
    inspecting.show,
    comparing.diff,
    formatting.fmt,
    checking.schema,
    editing.lsp,
    making.init,
    making.keys,
):
    main.add_command(command)
