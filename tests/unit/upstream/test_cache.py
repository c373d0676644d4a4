"""The cache does what a dict with a list of sizes does, whatever is kept, updated and emptied."""

from hypothesis import example, given
from hypothesis import strategies as st

from engine.upstream.cache import ENTRY_BYTES, BoundedCache

MAX_BYTES = 5 * (ENTRY_BYTES + 100)
MAX_ENTRY = 400
KEEPS = st.tuples(st.sampled_from("abcdefgh"), st.integers(), st.integers(0, MAX_ENTRY + 100))


class Model:
    """Entries with their sizes in the order in which their keys came."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, int, int]] = []

    def keep(self, key: str, value: int, size: int) -> None:
        if size > MAX_ENTRY:
            self.entries = [entry for entry in self.entries if entry[0] != key]
            return
        others = [entry for entry in self.entries if entry[0] != key]
        if sum(ENTRY_BYTES + entry[2] for entry in others) + ENTRY_BYTES + size > MAX_BYTES:
            self.entries = []
        places = [n for n, entry in enumerate(self.entries) if entry[0] == key]
        place = places[0] if places else len(self.entries)
        self.entries[place : place + 1] = [(key, value, size)]


@given(st.lists(st.one_of(KEEPS, st.none()), max_size=60))
@example([("a", 1, 0), *[("b", n, 0) for n in range(20)]])
@example([("a", 1, 400), ("a", 2, 0), ("b", 1, 400), ("c", 1, 400)])
@example([("a", 1, 0), ("a", 2, MAX_ENTRY + 1)])
def test_a_cache_is_a_dict_with_a_bound(steps: list[tuple[str, int, int] | None]) -> None:
    cache, model = BoundedCache[str, int](MAX_BYTES, MAX_ENTRY), Model()
    for step in steps:
        if step is None:
            cache.clear()
            model.entries = []
        else:
            cache.put(*step)
            model.keep(*step)
        assert list(cache.items()) == [entry[:2] for entry in model.entries]
        assert sum(ENTRY_BYTES + entry[2] for entry in model.entries) <= MAX_BYTES
