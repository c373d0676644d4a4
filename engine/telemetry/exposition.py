"""The sums as text for Prometheus: format 0.0.4, or OpenMetrics 1.0 for those who ask for it."""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from engine.telemetry.families import (
    BUILD_INFO,
    COUNTER,
    EXPORTS_FAILED,
    GROUPS,
    PROCESS_FAMILIES,
    PROCESS_LABELS,
    Family,
)
from engine.telemetry.memory import Labels
from engine.telemetry.totals import Totals

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Exposition:
    """Writes the text. The names and labels of a series are written once, and kept as long as it is there."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._templates: dict[tuple[str, Labels], str] = {}

    def text(
        self,
        totals: Totals,
        processes: Iterable[tuple[str, list[float]]],
        exports_failed: int = 0,
        *,
        as_openmetrics: bool = False,
    ) -> bytes:
        """All metrics; `processes` are name and values of each process, in the order of PROCESS_FAMILIES."""
        parts = list(self._counted(totals, as_openmetrics=as_openmetrics))
        listed = list(processes)
        for at, family in enumerate(PROCESS_FAMILIES):
            parts.append(_head(family, as_openmetrics=as_openmetrics))
            parts += [
                f"{family.name}{_braces(PROCESS_LABELS, (name,))} {values[at]!r}\n"
                for name, values in listed
            ]
        parts.append(_head(BUILD_INFO, as_openmetrics=as_openmetrics))
        parts.append(f"{BUILD_INFO.name}{_braces(('version',), (self._version,))} 1\n")
        parts.append(_head(EXPORTS_FAILED, as_openmetrics=as_openmetrics))
        parts.append(f"{EXPORTS_FAILED.name} {exports_failed}\n")
        if as_openmetrics:
            parts.append("# EOF\n")
        return "".join(parts).encode()

    def _counted(self, totals: Totals, *, as_openmetrics: bool) -> Iterator[str]:
        for group, blocks in zip(GROUPS, totals, strict=True):
            listed = sorted(blocks.items())
            for family in group.families:
                yield _head(family, as_openmetrics=as_openmetrics)
                at, end = group.places[family.name], group.places[family.name] + family.width
                for labels, words in listed:
                    values = words[at:end]
                    if not (family.is_sparse and not any(values)):
                        yield self._template(family, group.labels, labels) % _values(family, values)

    def _template(self, family: Family, names: Labels, labels: Labels) -> str:
        key = family.name, labels
        found = self._templates.get(key)
        if found is None:
            found = self._templates[key] = _template(family, names, labels)
        return found


def _values(family: Family, words: list[int]) -> tuple[object, ...]:
    """What the template of a family is filled with."""
    if not family.bounds:
        return (words[0] if family.scale == 1 else words[0] / family.scale,)
    counts = list(accumulate(words[:-1]))
    return (*counts, words[-1] / family.scale, counts[-1])


def _template(family: Family, names: Labels, labels: Labels) -> str:
    if not family.bounds:
        return f"{family.name}{_braces(names, labels)} ".replace("%", "%%") + "%r\n"
    bounds = [*(repr(float(bound)) for bound in family.bounds), "+Inf"]
    starts = [
        f"{family.name}_bucket{_braces((*names, 'le'), (*labels, bound))} " for bound in bounds
    ]
    starts += [f"{family.name}{suffix}{_braces(names, labels)} " for suffix in ("_sum", "_count")]
    return "".join(start.replace("%", "%%") + "%r\n" for start in starts)


def _braces(names: Labels, labels: Labels) -> str:
    pairs = [f'{name}="{_escaped(label)}"' for name, label in zip(names, labels, strict=True)]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _head(family: Family, *, as_openmetrics: bool) -> str:
    name = family.name
    if as_openmetrics and family.kind == COUNTER:
        name = name.removesuffix("_total")
    return f"# HELP {name} {family.help}\n# TYPE {name} {family.kind}\n"
