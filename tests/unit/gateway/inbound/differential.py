"""Bodies through the gateway's own reading and through parsers that providers use.

    make differential                100,000 bodies, with Node and Go where they are installed
    make differential CASES=1000

No body that is accepted may name another `model`, `stream` or `api_key` to any of them. A parser
that fails, or that finds none, names no other.
"""

import asyncio
import base64
import io
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec
from aiohttp.streams import StreamReader
from python_multipart import FormParser
from werkzeug.formparser import FormDataParser

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.form_body import FormBody
from engine.gateway.inbound.media import find_boundary, kind_of, normalized
from engine.gateway.inbound.payload import JsonRequestBody
from tests.unit.gateway.inbound.forms import body_reader_of, passed_on

HERE = Path(__file__).parent
NAMES = ("model", "stream", "api_key")
CACHE_KEY_HEADERS = frozenset(NAMES)
FORM = "multipart/form-data; boundary=frontier"
# By parser what it finds for each of NAMES; None where it fails.
Reading = list[list[Any]] | None
Case = tuple[str, str, bytes]
Chance = random.Random

KEYS = [
    '"model"', '"Model"', '"MODEL"', '"mod\\u0065l"', '"\\u006dodel"', '"model\\u0000"', '"model "', '"stream"', '"\\u017ftream"',
    '"Stream"', '"api_key"', '"api_\\u212aey"', '"api\\u005fkey"', '"x"', '"k"', '""', '"x\\"model"', '"\u017ftream"', '"api_Key"', '"\\\\model"',
]  # fmt: skip
VALUES = [
    '"A"', '"B"', "true", "false", "null", "1", "1e5", "[]", "{}", '{"model":"N"}', '[{"model":"N"}]', '"\\"model\\":\\"N\\""',
    '"\\ud83d"', '"\\ud83d\\ude00"', '"é"', '"{"', '"}"', '"\\\\"', '{"x":{"model":"N","model":"M"}}', '"model"',
]  # fmt: skip
# Members that stand beside each other in a body that is accepted.
FINE = [
    '"model":"A"', '"api_key":"k"', '"x":{"model":"N","model":"M"}', '"k":"\\"model\\":\\"N\\""', '"":[{"model":"N"}]', '"\\"model":"N"', '"models":"N"',
    '"mode":1e5', '"\\ud83d\\ude00":"é"', '"model_":"N"', '"é":null', '"{":"}"', '"xmodel":["\\\\"]',
]  # fmt: skip
FLAGS = ["true", "true", "false", '"true"', '"True"', "1", "0", "1.0", "null", '""', '"false"']
JSON_TYPES = ["application/json", "application/json; charset=utf-8", "application/json; xcharset=utf-8; charset=utf-7", "application/json;"]  # fmt: skip
FORM_TYPES = [FORM, FORM, FORM, FORM, 'multipart/form-data; boundary="frontier"', "multipart/form-data; charset=utf-8; boundary=frontier", FORM + "; boundary=other", 'multipart/form-data; x="; boundary=other"; boundary=frontier', "multipart/form-data; boundary=frontier; charset=utf-16"]  # fmt: skip
PART_NAMES = [
    'name="model"', 'name="model"', 'name="file"', 'name="x"', 'name="stream"', 'name="api_key"', 'name="m\\odel"', "name=model", 'name="Model"', 'name="model "',
    "name*=utf-8''model", 'name="x"; name="model"', 'name="mod%65l"', 'name="=?utf-8?q?model?="', 'name="model[]"', 'name="x"; NAME="model"', 'Name="model"',
    'name*0="mo"; name*1="del"', 'name="api.key"', 'name="_charset_"', 'name="mod\x00el"', 'name="model', 'name="x\\"; name=\\"model"', 'name = "model"', "name='model'",
    'name="\ufeffmodel"', 'name="\uff4dodel"', 'name=""', 'filename="model"; name="x"', 'name="mo\rdel"', 'name="%6dodel"',
]  # fmt: skip
MORE = [
    "", "", "", "", '; filename="a.wav"', '; filename="a;b; name=model"', '; filename="a\\"; name=model; y=\\"b"', '; filename="a\\"; name=\\"model"', "; filename*=utf-8''a",
    '; filename="C:\\a\\"', "; size=3", ";", '; filename=""', '; filename="\xe9"', '; filename="x" ; name="model"',
]  # fmt: skip
LINES = [
    "", "", "", "", "\r\nContent-Type: text/plain", "\r\nContent-Type: text/plain; charset=utf-16", "\r\nContent-Type: multipart/mixed; boundary=inner", "\r\nContent-Length: 1",
    "\r\nContent-Length: 4000", "\r\nContent-Transfer-Encoding: base64", "\r\nContent-Transfer-Encoding: quoted-printable", "\r\nContent-Disposition: form-data; name=\"model\"",
    "\r\n folded", "\nContent-Disposition: form-data; name=\"model\"", "\r\nX: y", "\r\nContent-Encoding: gzip", "\r\ncontent-disposition : form-data; name=\"model\"",
]  # fmt: skip
_INNER = 'Content-Disposition: form-data; name="model"\r\n\r\nN\r\n'
CONTENTS = [
    "A", "B", "true", "", "QQ==", "=41", "A\r\n", f"--frontier\r\n{_INNER}", f"x\n--frontier\n{_INNER}", f"x\r--frontier\r{_INNER}", f"x\r\n--frontier \r\n{_INNER}",
    f"x\r\n--frontier\t\r\n{_INNER}", f"x\r\n--frontiery\r\n{_INNER}", f"x\r\n--frontier-\r\n{_INNER}", f"x--frontier\r\n{_INNER}", f"--inner\r\n{_INNER}--inner--\r\n", "\x00", "é",
    f"x\n--frontier\r\n{_INNER}", f"x\r\n--frontier\n{_INNER}", "x\r\n--frontie",
]  # fmt: skip


def mutated(chance: Chance, raw: bytes) -> bytes:
    """Most often as it is; else with a piece cut out, doubled or put elsewhere."""
    for _ in range(chance.choice((0, 0, 0, 0, 0, 1, 2))):
        start = chance.randint(0, len(raw))
        end = min(len(raw), start + chance.randint(0, 9))
        place = chance.randint(0, len(raw))
        chunk = chance.choice((b"", raw[start:end], b"\r\n", b"\n", b'"', b"\\", b"\0", b";", b"--frontier", b'"model":"N",'))  # fmt: skip
        raw = (
            raw[:start] + raw[end:] if chance.getrandbits(1) else raw[:place] + chunk + raw[place:]
        )
    return raw


def json_case(chance: Chance) -> Case:
    """Few keys in many spellings, decoys as long as what they stand for, and now and then padding."""
    is_fine = chance.random() < 0.6
    members = [
        f"{chance.choice(KEYS)}:{chance.choice(VALUES)}" for _ in range(chance.randint(0, 5))
    ]
    if is_fine:
        members = [*chance.sample(FINE, chance.randint(1, 6)), f'"stream":{chance.choice(FLAGS)}']
    elif chance.random() < 0.5:
        members = ['"model":"A"', *members[:1]]
    text = ",".join(members)
    if chance.random() < 0.3:
        decoys = [f'"x":{{{text}}}', '"k":' + json.dumps(text), f'"k":"{"K" * len(text)}"']
        members += chance.sample(decoys, chance.randint(1, 3))
        chance.shuffle(members)
    if chance.random() < 0.02:
        members.append(f'"pad":"{"q" * chance.choice((17_000, 140_000))}"')
    gap = chance.choice(("", " ", "\n", "\t\r\n"))
    raw = "{" + f"{gap},{gap}".join(members) + gap + "}"
    sent = raw.encode("utf-8", "surrogatepass")
    if is_fine:
        return (
            "json",
            odd(chance, JSON_TYPES),
            sent if chance.random() < 0.9 else mutated(chance, sent),
        )
    return "json", chance.choice(JSON_TYPES), mutated(chance, sent)


def odd(chance: Chance, choices: Sequence[str], plain: float = 0.8) -> str:
    """The plain one, which is the first, more often than not."""
    return choices[0] if chance.random() < plain else chance.choice(choices)


def form_case(chance: Chance) -> Case:
    """Parts named and filled with what frameworks read differently."""
    names = [f'name="{name}"' for name in ("model", "x", "stream", "file", "api_key")]
    chance.shuffle(names)
    plain = chance.choice((0.8, 0.98))  # odd things hide best among plain ones
    parts = [
        f"--frontier\r\nContent-Disposition: form-data; {odd(chance, [name, *PART_NAMES], plain)}{odd(chance, MORE, plain)}{odd(chance, LINES, plain)}\r\n\r\n{odd(chance, CONTENTS, plain)}\r\n"
        for name in names[: chance.randint(1, 4)]
    ]
    start = odd(chance, ("", "\r\n", "preamble\r\n", f"--frontier \r\n{_INNER}"), plain)
    end = odd(chance, ("", "\r\n", f"--frontier\r\n{_INNER}"), plain)
    raw = start + "".join(parts) + "--frontier--\r\n" + end
    text = raw.encode("utf-8")
    text = text if plain > 0.9 else mutated(chance, text)
    return "form", odd(chance, FORM_TYPES, plain), text


def own_reading(case: Case) -> Reading:
    """What the gateway finds; None when it refuses the body."""
    kind, media, raw = case
    try:
        if kind_of(media.encode()) != kind:
            return None
        if kind == "json":
            body = JsonRequestBody(raw, CACHE_KEY_HEADERS)
            return [
                [value] if (value := _json_value(body, name)) is not None else [] for name in NAMES
            ]
        form = FormBody(body_reader_of([raw]), find_boundary(media.encode()), CACHE_KEY_HEADERS)
        try:
            asyncio.run(passed_on(form, {}))
        finally:
            form.close()
        return [[form.fields[name].value] if name in form.fields else [] for name in NAMES]
    except GatewayError:
        return None


def _json_value(body: JsonRequestBody, name: str) -> Any:
    """Anything but a string is refused when it is needed; `stream` may hold whatever it likes."""
    if name != "stream":
        return body.text(name)
    if body.flag(name):
        return True
    held = body._fields.get(name)
    return None if held is None else json.loads(bytes(held))


def first_wins(raw: bytes) -> Reading:
    return _picked(dict(reversed(json.loads(raw, object_pairs_hook=list))))


def last_wins(raw: bytes) -> Reading:
    return _picked(json.loads(raw))


def any_case(raw: bytes) -> Reading:
    """As readers do that fold: the last of all spellings."""
    pairs: list[tuple[str, Any]] = json.loads(raw, object_pairs_hook=list)
    return _picked({key.casefold(): value for key, value in pairs})


def by_msgspec(raw: bytes) -> Reading:
    return _picked(msgspec.json.decode(raw))


def _picked(found: Any) -> Reading:
    return [[found[name]] if name in found else [] for name in NAMES]


def by_werkzeug(media: str, raw: bytes) -> Reading:
    parser = FormDataParser(silent=False)
    _, form, _ = parser.parse(io.BytesIO(raw), "multipart/form-data", len(raw), {"boundary": find_boundary(media.encode()).decode()})  # fmt: skip
    return [form.getlist(name) for name in NAMES]


def by_python_multipart(media: str, raw: bytes) -> Reading:
    fields: list[Any] = []
    parser = FormParser("multipart/form-data", fields.append, lambda _: None, boundary=find_boundary(media.encode()))  # fmt: skip
    parser.write(raw)
    parser.finalize()
    return [
        [(f.value or b"").decode() for f in fields if f.field_name == n.encode()] for n in NAMES
    ]


def by_aiohttp(media: str, raw: bytes) -> Reading:
    return asyncio.run(_by_aiohttp(media, raw))


async def _by_aiohttp(media: str, raw: bytes) -> Reading:
    protocol: Any = SimpleNamespace(_reading_paused=False)
    stream = StreamReader(protocol, limit=2**20, loop=asyncio.get_running_loop())
    stream.feed_data(raw)
    stream.feed_eof()
    reader = aiohttp.MultipartReader({"Content-Type": media}, stream)
    found: dict[str, list[Any]] = {name: [] for name in NAMES}
    async with asyncio.timeout(5):
        while (part := await reader.next()) is not None:
            if isinstance(part, aiohttp.MultipartReader):
                continue
            text = await part.text() if part.name in found else await part.read()
            if part.name in found:
                found[part.name].append("a file" if part.filename is not None else text)
    return list(found.values())


JSON_PEERS: dict[str, Callable[[bytes], Reading]] = {
    "first wins": first_wins, "last wins": last_wins, "any case": any_case, "msgspec": by_msgspec,
}  # fmt: skip
FORM_PEERS: dict[str, Callable[[str, bytes], Reading]] = {
    "werkzeug": by_werkzeug, "python-multipart": by_python_multipart, "aiohttp": by_aiohttp,
}  # fmt: skip


def attempted(read: Callable[..., Reading], *arguments: Any) -> Reading:
    try:
        return read(*arguments)
    except Exception:  # noqa: BLE001 whatever a parser raises, it has not read the body
        return None


def differs(own: Sequence[Sequence[Any]], kind: str, theirs: Reading) -> bool:
    """Whether a parser finds something else than the gateway; nothing at all is nothing else."""
    if theirs is None:
        return False
    for name, ours, found in zip(NAMES, own, theirs, strict=True):
        if kind == "json" and name == "stream":
            named = [v for v in found if isinstance(v, bool | int | float | str)]
            same = [type(v) for v in named if type(v) is bool] == [
                type(v) for v in ours if type(v) is bool
            ]
        else:
            named, same = [v for v in found if v not in (None, "a file")], True
        if named and (named != list(ours) or not same):
            return True
    return False


def checked(cases: Iterable[Case]) -> tuple[list[tuple[Case, list[list[Any]]]], list[str]]:
    """The cases that are accepted, and what is wrong with any of them."""
    accepted, wrong = [], []
    for case in cases:
        own = own_reading(case)
        if own is None:
            continue
        kind, media, raw = case
        goes_up = normalized(media.encode()).decode()
        accepted.append(((kind, goes_up, raw), own))
        peers = {n: attempted(p, raw) for n, p in JSON_PEERS.items()} if kind == "json" else {n: attempted(p, goes_up, raw) for n, p in FORM_PEERS.items()}  # fmt: skip
        wrong += [f"{name}: {found} for {case}, {own}" for name, found in peers.items() if differs(own, kind, found)]  # fmt: skip
    return accepted, wrong


def generated(count: int, seed: int) -> Iterable[Case]:
    for number in range(count):
        chance = random.Random(f"{seed}/{number}")
        yield json_case(chance) if number % 2 else form_case(chance)


def asked_of(command: Sequence[str], cases: Sequence[Case]) -> list[Reading]:
    """What another program reads in `cases`, one a line."""
    lines = [
        json.dumps([kind, media, base64.b64encode(raw).decode()]) for kind, media, raw in cases
    ]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def programs(folder: Path) -> dict[str, list[str]]:
    """The programs of other languages that this machine can run."""
    found = {}
    if shutil.which("node"):
        found["Node"] = ["node", str(HERE / "peers.js")]
    if shutil.which("go"):
        shutil.copy(HERE / "peers.go.txt", folder / "peers.go")
        subprocess.run(["go", "build", "-o", str(folder / "peers"), str(folder / "peers.go")], check=True)  # fmt: skip
        found["Go"] = [str(folder / "peers")]
    return found


def main(count: int, seed: int) -> int:
    accepted, wrong = checked(generated(count, seed))
    with tempfile.TemporaryDirectory() as folder:
        known = programs(Path(folder))
        for name, command in known.items():
            for (case, own), found in zip(accepted, asked_of(command, [c for c, _ in accepted]), strict=True):  # fmt: skip
                if differs(own, case[0], found):
                    wrong.append(f"{name}: {found} for {case}, {own}")
    for line in wrong[:10]:
        sys.stdout.write(line + "\n")
    peers = [*JSON_PEERS, *FORM_PEERS, *known]
    sys.stdout.write(f"{len(wrong)} of {count} bodies read differently; {len(accepted)} accepted; by {', '.join(peers)}\n")  # fmt: skip
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1))
