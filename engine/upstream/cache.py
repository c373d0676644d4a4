"""The one kind of cache on the request side: a dict with a bound in bytes."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
ENTRY_BYTES = 300  # about what two dicts and three small objects take for an entry


class BoundedCache(dict[K, V], Generic[K, V]):
    """Entries of `max_bytes` in all, and of `max_entry` each; when full, all of them go.

    A hit is a look-up in a dict, and nothing else is done for it: entries in frequent use
    are added again soon after all were dropped. `used` is the size of all entries, in bytes.
    """

    def __init__(self, max_bytes: int, max_entry: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes
        self._max_entry = max_entry
        self.used = 0
        self._sizes: dict[K, int] = {}

    def put(self, key: K, value: V, size: int) -> None:
        """Keep `value` in place of what `key` has; drop that too if `value` is too large.

        `size` is that of key and value, in bytes.
        """
        self.used -= self._sizes.pop(key, 0)
        if size > self._max_entry:
            self.pop(key, None)
            return
        size += ENTRY_BYTES
        if self.used + size > self._max_bytes:
            self.clear()
        self.used += size
        self._sizes[key] = size
        self[key] = value

    def clear(self) -> None:
        """Forget all entries."""
        super().clear()
        self._sizes.clear()
        self.used = 0
