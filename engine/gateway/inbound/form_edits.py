"""A provider's changes to the parts of a form, as edits of its bytes."""

from collections.abc import Iterator

from engine.gateway.inbound.edits import Edit
from engine.gateway.inbound.form_body import FormBody, too_late
from engine.gateway.inbound.json_edits import both_names
from engine.plan.plan import BodyEdits


def form_edits(form: FormBody, edits: BodyEdits) -> list[Edit]:
    """What `edits` change in the head of `form`; later parts of these names are refused elsewhere.

    Raises:
        GatewayError: `duplicate_field`, or `invalid_form` when a part cannot be changed any more.
    """
    opened = form.delimiters()
    names = _names_after(form, edits)
    parts = [*_removed(form, edits, opened), *_renamed(form, edits)]
    added = [f for f in edits.default.items() if f[0] not in names] + list(edits.set.items())
    start = opened[0] + 2
    text = b"".join(
        form.delimiter
        + b'\r\nContent-Disposition: form-data; name="'
        + name.encode()
        + b'"\r\n\r\n'
        + value.text.encode()
        + b"\r\n"
        for name, value in added
    )
    return [*parts, Edit(start, start, text)] if text else parts


def _names_after(form: FormBody, edits: BodyEdits) -> set[str]:
    """The names of the parts once they are dropped and renamed."""
    names = set(form.parts) - set(edits.drop)
    for name, new in edits.rename.items():
        if name in names:
            if new in names:
                raise both_names(name, new)
            names = (names - {name}) | {new}
    return names


def _gone(edits: BodyEdits) -> set[str]:
    """The names whose parts are removed: those dropped, and those that are set anew."""
    overruled = {name for name, new in edits.rename.items() if new in edits.set}
    return {*edits.drop, *edits.set} | overruled


def _removed(form: FormBody, edits: BodyEdits, opened: list[int]) -> Iterator[Edit]:
    for name in _gone(edits):
        for part in form.parts.get(name, ()):
            if part + 1 >= len(opened):
                raise too_late(name)
            yield Edit(opened[part] + 2, opened[part + 1] + 2, b"")


def _renamed(form: FormBody, edits: BodyEdits) -> Iterator[Edit]:
    for name, new in edits.rename.items():
        for part in form.parts.get(name, ()) if name not in _gone(edits) else ():
            start, end = form.names_at[part]
            yield Edit(start, end, b'"' + new.encode() + b'"')
