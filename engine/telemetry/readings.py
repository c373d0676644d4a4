"""Metrics read back from the text of `exposition`, for people who look at them without Prometheus."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

TOKEN_NEEDED = b"a token is needed\n"  # the body of a 401 of the metrics listener
_SERIES = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}

Series = tuple[Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class Readings:
    """All metrics at one moment, by name; a histogram as its buckets, sum and count."""

    series: Mapping[str, Sequence[Series]]

    def of(self, name: str) -> Sequence[Series]:
        """The series of a metric; none while there is nothing to count."""
        return self.series.get(name, ())

    def value(self, name: str) -> float:
        """A metric summed over all labels."""
        return sum(value for _, value in self.of(name))

    def since(self, before: "Readings") -> "Readings":
        """What counters have gained since `before`."""
        return Readings({name: [*_gains(of, before.of(name))] for name, of in self.series.items()})


def _gains(now: Sequence[Series], before: Sequence[Series]) -> Iterator[Series]:
    known = {tuple(labels.items()): value for labels, value in before}
    for labels, value in now:
        gained = value - known.get(tuple(labels.items()), 0.0)
        yield labels, gained if gained >= 0 else value  # the server was started again


def parse_readings(text: str) -> Readings:
    """Read what `Exposition.text` has written.

    Raises:
        ValueError: a line is something else.
    """
    series: dict[str, list[Series]] = {}
    for line in text.split("\n"):  # a label may have other line ends
        if line and not line.startswith("#"):
            found = _SERIES.fullmatch(line)
            if found is None:
                raise ValueError("this is no text of metrics")
            labels = {
                name: _unescaped(label) for name, label in _LABEL.findall(found["labels"] or "")
            }
            series.setdefault(found["name"], []).append((labels, float(found["value"])))
    return Readings(series)


def _unescaped(label: str) -> str:
    return re.sub(r"\\.", lambda found: _ESCAPES.get(found[0], found[0]), label)


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """The value that `share` of all do not exceed, as Prometheus estimates it; None of nothing.

    `buckets` has the number of values up to each bound.
    """
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    rank, low, below = share * buckets[bounds[-1]], 0.0, 0.0
    for bound in bounds[:-1]:
        if buckets[bound] >= rank:
            return low + (bound - low) * (rank - below) / max(1.0, buckets[bound] - below)
        low, below = bound, buckets[bound]
    return low
