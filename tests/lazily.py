"""Packages that are slow to import, and used by few tests: imported when something of them is used."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

SDKS = ("openai", "anthropic", "cohere", "mistralai.client")  # four seconds together
EDITORS = ("lsprotocol.types",)  # half a second


class Lazy(ModuleType):
    """A module that becomes itself when an attribute is asked for.

    `importlib.util.LazyLoader` does so at the statement `import` already, before Python 3.12.
    """

    _mock_name = None  # pytest asks every name of a module of tests for it, as for some of Python's

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") and attribute != "__path__":
            raise AttributeError(attribute)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), attribute)


def import_at_use(*names: str) -> None:
    """Let `import NAME` do nothing until an attribute of the module is asked for."""
    for name in names:
        if parent := name.rpartition(".")[0]:
            import_module(parent)
        sys.modules.setdefault(name, Lazy(name))
