"""The admin listener with real sockets and processes."""
