"""Packages that are slow to import, and used by few tests: imported when something of them is used."""

import importlib.util
import sys

SDKS = (
    "openai",
    "anthropic",
    "cohere",
    "mistralai.client",
)  # four seconds together, in every process that collects


def import_at_use(*names: str) -> None:
    """Let `import NAME` do nothing until an attribute of the module is asked for."""
    for name in names:
        spec = importlib.util.find_spec(name)
        if name in sys.modules or spec is None or spec.loader is None:
            continue
        spec.loader = importlib.util.LazyLoader(spec.loader)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
