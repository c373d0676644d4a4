"""Checks of meaning, across entries and files: each reads a Config and changes nothing.

`registry` is the module that others import first. Importing the package registers the checks of
every module in it.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
