"""The gateway keys of keys.yaml: who may do what, until when. No key is in it, nor a whole digest."""

from collections.abc import Sequence
from typing import Any

from engine.config.model import Key

FORMAT_VERSION = "1.0"
_SHOWN = 12  # hex digits of a digest: enough to distinguish keys
View = dict[str, Any]


def view_keys(keys: Sequence[Key], now: float) -> View:
    """The keys as plain data; `now` is POSIX time."""
    return {
        "format_version": FORMAT_VERSION,
        "keys": [
            {
                "name": key.name,
                "fingerprint": key.sha256[:_SHOWN],
                "endpoints": list(key.endpoints) if key.endpoints is not None else None,
                "models": list(key.models) if key.models is not None else None,
                "expires": key.expiry_text,
                "expired": key.expires is not None and key.expires <= now,
            }
            for key in keys
        ],
    }


def render_text(view: View) -> str:
    """The keys as a table; long limits are on separate lines."""
    if not view["keys"]:
        return "no keys: every request is refused"
    header = ("name", "sha256", "expires")
    rows = [(k["name"], k["fingerprint"], _expiry(k)) for k in view["keys"]]
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = ["  ".join(f"{c:<{w}}" for c, w in zip(header, widths, strict=True)) + "  limits"]
    for row, key in zip(rows, view["keys"], strict=True):
        start = "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True))
        limits = _limits(key)
        lines += [f"{start}  {limits[0]}"] + [f"  {limit}" for limit in limits[1:]]
    return "\n".join(lines)


def _expiry(key: View) -> str:
    if key["expires"] is None:
        return "never"
    return f"{key['expires']} EXPIRED" if key["expired"] else str(key["expires"])


def _limits(key: View) -> list[str]:
    """What a key may use, as a cell of the row or as lines below it."""
    parts = [f"{kind}: {', '.join(key[kind])}" for kind in ("endpoints", "models") if key[kind] is not None]  # fmt: skip
    return ["limited to", *parts] if parts else ["none"]
