"""`python -m engine` is the same command as `engine`."""

from engine.cli import main

main()
