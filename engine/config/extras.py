"""How the optional parts of this package are installed: signers, accounts, tracing and the language server."""

INSTALL = "pip install -e '.[{extra}]'"  # in the clone, with the pip of its .venv


def installing(extra: str) -> str:
    """The command that installs the extra `extra`."""
    return INSTALL.format(extra=extra)
