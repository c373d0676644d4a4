"""`engine` as if packages were not installed.

python -m tests.lacking PACKAGE,PACKAGE WORDS...
"""

import sys

from engine.cli import main
from tests.preloaded import forget

if __name__ == "__main__":
    packages, *sys.argv[1:] = sys.argv[1:]
    for package in packages.split(","):
        forget(package)
        sys.modules[package] = None  # type: ignore[assignment] # stops its import
    main()
