"""`init`: writes a configuration to start from."""

import shutil
from pathlib import Path

import click

from engine.cli.exits import stop
from engine.config.resources import shipped, starter

SCHEMAS = [f"schemas/{name}.schema.json" for name in ("routes", "providers", "keys", "server")]
EDITORS = {"vscode": ("settings.json", "extensions.json")}


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--minimal", is_flag=True, help="Start from one provider, not all that are known.")
@click.option(
    "--editor", type=click.Choice(list(EDITORS)), help="Settings that show an editor the schemas."
)
def init(directory: Path, minimal: bool, editor: str | None) -> None:  # noqa: FBT001 click's
    """Write a configuration that works and its schemas into DIRECTORY; nothing is overwritten."""
    find = starter if minimal else shipped
    files = {name: find(name) for name in ("routes.yaml", "providers.yaml")}
    files |= {name: shipped(name) for name in SCHEMAS}
    if editor:
        files |= {f".{editor}/{n}": starter(f"{editor}-{n}") for n in EDITORS[editor]}
    taken = [name for name in files if (directory / name).exists()]
    if taken:
        stop(f"{directory} already has {', '.join(taken)}; choose another folder")
    for name, source in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, directory / name)
        click.echo(f"wrote {directory / name}")
    click.echo(f"next: engine keys new NAME --write -C {directory}; engine serve {directory}")
