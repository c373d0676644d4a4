"""Where the shipped configuration and the schemas are: inside a wheel, or beside the package."""

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent


def shipped(name: str) -> Path:
    """The path of a shipped file such as `routes.yaml` or `schemas/keys.schema.json`."""
    inside = _PACKAGE / "shipped" / name
    return inside if inside.exists() else _PACKAGE.parent / name


def starter(name: str) -> Path:
    """The path of a file that `engine init` writes as a small start."""
    return _PACKAGE / "cli" / "starter" / name
