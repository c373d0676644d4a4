"""JSON Pointer (RFC 6901): `/metadata/tier` is the member `tier` of the member `metadata`."""


def steps(pointer: str) -> tuple[str, ...]:
    """The names on the path of `pointer`; in it, `~1` stands for a slash and `~0` for a tilde."""
    return tuple(
        name.replace("~1", "/").replace("~0", "~") for name in pointer.removeprefix("/").split("/")
    )
