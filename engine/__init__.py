"""A config-driven gateway for LLM APIs: YAML in, every endpoint out."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("orqen")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0.0.0"
