"""One finding for one mistake: what a typo breaks twice is reported once, at the typo."""

import re
from dataclasses import replace

from engine.config.diagnostics.diagnostic import Diagnostic, Related
from engine.config.source.document import Document, Path


def merge_repeated(document: Document, found: list[Diagnostic]) -> list[Diagnostic]:
    """`found` without those that another finding already reports."""
    found = [d for d in found if d.code != "S103" or not _is_bare_template(document, d)]
    found = _without_misfits(_without_misspelt(found))
    found = _without_swallowed(document, found)
    return _without_hanging(document, found)


def _is_bare_template(document: Document, found: Diagnostic) -> bool:
    """Whether a value is a template without quotes, which Y005 reports."""
    start = found.span.start
    return document.lines[start.line - 1].startswith("{{", start.column - 1)


def _without_misspelt(found: list[Diagnostic]) -> list[Diagnostic]:
    """Drop a missing key whose misspelling is reported beside it."""
    typos = {(d.path[:-1], d.fix.text.strip(" :") or re.split("[:=]", str(d.path[-1]))[0]) for d in found if d.code == "S102" and d.fix}  # fmt: skip
    return [d for d in found if d.code != "S101" or not _stands_for(d, typos)]


def _stands_for(missing: Diagnostic, typos: set[tuple[Path, str]]) -> bool:
    """Whether a misspelt key beside it is the missing one, or one that does as well."""
    words = {str(missing.path[-1]), *re.findall(r"[a-z_]+", missing.help)}
    return any(path == missing.path[:-1] and text in words for path, text in typos)


def _without_swallowed(document: Document, found: list[Diagnostic]) -> list[Diagnostic]:
    """A missing key that is there, but indented into or out of its entry: reported at that place."""
    absent = [d for d in found if d.code == "S101"]
    places = _places(document, {d.path[-1] for d in absent})
    for missing in absent:
        place = _astray(places[missing.path[-1]], missing.path, {d.path for d in found})
        if place is None:
            continue
        depth = "less" if len(place) > len(missing.path) else "more"
        moved = replace(
            missing,
            message=f"{missing.message}: this one is indented into another entry",
            span=document.entry(place).head,
            help=f"indent it {depth}",
            related=(Related(missing.span, "it belongs here"),),
        )
        found = [d for d in found if d is not missing and d.path[: len(place)] != place]
        found.append(moved)
    return found


def _without_misfits(found: list[Diagnostic]) -> list[Diagnostic]:
    """Drop what is wrong with a value of the wrong type."""
    kinds = {d.path for d in found if d.code == "S103"}
    return [d for d in found if d.code != "S104" or d.path not in kinds]


def _places(document: Document, keys: set[str | int]) -> dict[str | int, list[Path]]:
    """Where each of `keys` is a key."""
    places: dict[str | int, list[Path]] = {key: [] for key in keys}
    for path in document.entries:
        if path and path[-1] in places:
            places[path[-1]].append(path)
    return places


def _astray(places: list[Path], missing: Path, broken: set[Path]) -> Path | None:
    """Where the missing key is: deeper in the same entry, or beside the entry."""
    owner = missing[:-1]
    deeper = (
        path
        for path in places
        if path[: len(owner)] == owner and len(path) > len(missing) and isinstance(path[-2], str)
    )
    beside = (*owner[:-1], missing[-1])
    return next(deeper, beside if owner and beside in broken else None)


def _without_hanging(document: Document, found: list[Diagnostic]) -> list[Diagnostic]:
    """A key without a value, and below it a key that is wrong beside it: it was meant to be inside."""
    for empty in [d for d in found if d.code == "S103" and document.value(d.path) is None]:
        line = empty.span.start.line
        for wrong in found:
            is_beside = wrong.path[:-1] == empty.path[:-1]
            if is_beside and wrong.code in ("S102", "S103") and wrong.span.start.line > line:
                inside = replace(
                    wrong,
                    message=f"`{wrong.path[-1]}` is beside `{empty.path[-1]}`, which is empty",
                    span=document.entry(wrong.path).head,
                    label="",
                    fix=None,
                    help=f"indent it to put it inside `{empty.path[-1]}`",
                    related=(Related(document.entry(empty.path).head, "this one is empty"),),
                )
                found = [inside if d is wrong else d for d in found if d is not empty]
                break
    return found
