"""A config-driven gateway for LLM APIs: YAML in, every endpoint out."""

__version__ = "0.1.0"  # the build reads it from here
