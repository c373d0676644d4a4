"""The configuration's changes to the parts of a form, as edits of its bytes."""

from collections.abc import Iterator, Mapping, Sequence

from engine.gateway.inbound.edits import Edit
from engine.gateway.inbound.form_body import FormBody, too_late
from engine.gateway.inbound.json_edits import both_names
from engine.plan.plan import BodyEdits, FieldValue

# By name of the parts as they will be: their name in the form, or the value of one that is added.
_Fates = dict[str, str | FieldValue]


def form_edits(form: FormBody, edits: Sequence[BodyEdits]) -> list[Edit]:
    """What `edits` change in the head of `form`; later parts of these names are refused elsewhere.

    Raises:
        GatewayError: `duplicate_field`, or `invalid_form` when a part cannot be changed any more.
    """
    fates: _Fates = {name: name for name in form.parts}
    for each in edits:
        _apply(fates, each)
    opened = form.delimiters()
    names = {old: new for new, old in fates.items() if isinstance(old, str)}
    parts = [*_removed(form, names, opened), *_renamed(form, names)]
    start = opened[0] + 2
    text = b"".join(
        form.delimiter
        + b'\r\nContent-Disposition: form-data; name="'
        + name.encode()
        + b'"\r\n\r\n'
        + value.text.encode()
        + b"\r\n"
        for name, value in fates.items()
        if isinstance(value, FieldValue)
    )
    return [*parts, Edit(start, start, text)] if text else parts


def _apply(fates: _Fates, edits: BodyEdits) -> None:
    for name in edits.drop:
        fates.pop(name, None)
    for name, new in edits.rename.items():
        if name in fates:
            if new in fates:
                raise both_names(name, new)
            fates[new] = fates.pop(name)
    for name, value in edits.default.items():
        fates.setdefault(name, value)
    for name, value in edits.set.items():
        fates.pop(name, None)
        fates[name] = value


def _removed(form: FormBody, names: Mapping[str, str], opened: list[int]) -> Iterator[Edit]:
    for name, parts in form.parts.items():
        for part in parts if name not in names else ():
            if part + 1 >= len(opened):
                raise too_late(name)
            yield Edit(opened[part] + 2, opened[part + 1] + 2, b"")


def _renamed(form: FormBody, names: Mapping[str, str]) -> Iterator[Edit]:
    for name, new in names.items():
        for part in form.parts[name] if new != name else ():
            start, end = form.names_at[part]
            yield Edit(start, end, b'"' + new.encode() + b'"')
