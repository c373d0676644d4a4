"""`engine` as if packages were not installed.

python -m tests.lacking PACKAGE,PACKAGE WORDS...
"""

import sys

from engine.cli import main

if __name__ == "__main__":
    packages, *sys.argv[1:] = sys.argv[1:]
    for package in packages.split(","):
        assert package not in sys.modules, f"the server imports {package} without any need"
        sys.modules[package] = None  # type: ignore[assignment] # stops its import
    main()
