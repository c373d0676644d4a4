"""One word for one thing: what docs/glossary.md names is called by no other word.

An engineer in another country knows the field's standard terms; a word of our own, or a common
word in a meaning of our own, has to be learnt. `make test` fails where one comes back.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.servers import ROOT
from tests.tables import each

# In running text and in parts of names. What stands for it on the right is what to write.
BANNED = {
    r"tells?|told|telling": "report, return, say",
    r"mend|mends|mended|mending|remedy|remedies": "fix",
    r"slips?": "typo, mistake",
    r"dial|dials|dialled|dialling": "connect, open a connection",
    r"vouch|vouches|vouched": "CA certificates, sign, trust",
    r"brought": "sent; caller credentials",
    r"parting": "drain",
    r"answers?|answered|answering": "response, respond, return",
    r"pieces?": "chunk, part",
    r"this machine|who the machine is": "environment, workload identity",
    r"hostile": "fault, malicious",
    r"plays?|played": "inject",
    r"intake|converse": "RequestBodyReader, run_attempts",
    r"(?:a|one|two|each|every|next|last|first) looks?(?!-)": "tick, check",
    r"own words|words of (?:our|its|their) own": "message",
}
# Names of types, functions and constants that HOUSE has renamed; as words they may be fine.
RENAMED = (
    "Means|Forms|Intake|Talk|Way|Slot|Keeper|Link|Greeter|Subject|LOOKED_AT|SPENT|WHOLE|"
    "SURPLUS|GARBAGE|ASK|PLAYS|_pour|in_turn|is_plain|_is_lasting|_look_at|_look_around|begun|"
    "parting|unsaved|untested"
)

# For lower case: without regard to case it would take three times as long.
FOUND = re.compile(rf"(?<![a-z])(?:{'|'.join(BANNED)})(?![a-z])")
DEFINED = re.compile(rf"\b(?:class|def) (?:{RENAMED})\b|^(?:{RENAMED})\b.* =", re.M)
# What tests and benchmarks do not say either.
BANNED_IN_TESTS = re.compile(
    r"(?<![a-z])(?:mend|mends|mended|mending|remedy|remedies|dial|dials|dialled|dialling|vouch|vouches|"
    r"vouched|brought|parting|hostile|who the machine is|intake|converse|own words)(?![a-z])"
)
# Plain words of the trade that names of classes are made of, besides those of the glossary. Whoever adds one asks
# whether an engineer in another country understands it at once.
PLAIN = """
    1 abandoned actor address api app applicability audit axis binding body bounded bounds browser buffer builder call
    catalogue cause certificate channel checked choices clocks column commands config conflict connection context correction cors
    cost crash cursor damaged database  deployment diagnostic difference document draft early edit editable
    edited editor effective effects end ended entry error example excerpt explained export exposed exposition extended
    facts family fetch field file first fixed flow folder follower foreign form format found full gone grant group
    guard header held http httpx idle ids import imported info inputs invalid invite item json kind lazy line list
    listed listen loaded located log loop match matching member membership memory mock mutex name no node not notes
    notice object occurrence  operation options otlp page paging parsed parser part path pattern pause person place
    plot pollable position prepared problem processes protocol queue quote read reader readings recorded rect redis
    reference refused regular related relayed reloader renewal repair reply reserve resolving result role route
    routing row scanner scheduler sealed secret sent series serve session setting shared shortened shown sign signal
    size snapshot span spec stage stalled start state status stop stopped stray supervisor suppressed suppression
    symbol syntax table test text thread throttle  timestamps token totals traffic trust try unavailable
    unknown unreadable unsampled unusable upload url use valid validated value version watch windows writer
"""
WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
# Promises to those who read the output, and names of tests, which are evidence and no text.
KEPT = re.compile(r'test_\w+|"told"|\btold:')

PAGES = [
    *(ROOT / "docs").glob("*.md"),
    *ROOT.glob("*.md"),
    *(ROOT / "schemas").rglob("*.json"),
    ROOT / "routes.yaml",
    ROOT / "providers.yaml",
    ROOT / "docs" / "generate.py",
]
SOURCES = [path for path in (ROOT / "engine").rglob("*") if path.suffix in (".py", ".yaml")]

TESTS = [
    path
    for folder in ("tests", "bench")
    for path in (ROOT / folder).rglob("*.py")
    if path != Path(__file__)
]


def found(path: Path, words: re.Pattern[str] = FOUND) -> list[str]:
    """The banned words of a file, each with its line."""
    text = KEPT.sub("", read(path)).lower()
    return [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for match in words.finditer(text)
    ]


def read(path: Path) -> str:
    """The text of a page; of the change log, what is not released yet."""
    text = path.read_text("utf-8")
    return text.partition("\n## [Unreleased]")[2] if path.name == "CHANGELOG.md" else text


@each("path", PAGES)
def test_a_page_uses_the_words_of_the_glossary(path: Path) -> None:
    assert found(path) == []


def test_the_code_uses_the_words_of_the_glossary() -> None:
    assert [place for path in SOURCES for place in found(path)] == []


def test_tests_and_benchmarks_do_without_the_worst_of_them() -> None:
    assert [place for path in TESTS for place in found(path, BANNED_IN_TESTS)] == []


def test_no_renamed_name_comes_back() -> None:
    sources = {path: path.read_text("utf-8") for path in SOURCES}
    assert {path: names for path, text in sources.items() if (names := DEFINED.findall(text))} == {}


@each("wrong", ["it is told", "answer_of", "_pieces", "Telling", "own words"])
def test_a_banned_word_is_found_wherever_it_stands(wrong: str) -> None:
    assert FOUND.search(wrong.lower())


@each("right", ["dialect", "mender", "total", "retell_not", "test_is_told"])
def test_other_words_are_not(right: str) -> None:
    assert not FOUND.search(KEPT.sub("", right))


def glossary() -> list[list[str]]:
    """The rows of the glossary: term, meaning, where it shows."""
    lines = (ROOT / "docs" / "glossary.md").read_text("utf-8").splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][1:]


def test_the_glossary_is_sorted_and_points_to_what_there_is() -> None:
    table = glossary()
    terms = [term.lower() for term, *_ in table]
    assert terms == sorted(terms)
    known = "".join(
        path.read_text("utf-8") for path in [*PAGES, *SOURCES] if path.name != "glossary.md"
    )
    for _, meaning, where in table:
        assert meaning
        for name in re.findall(r"`([^`]+)`", where):
            assert (ROOT / name).exists() if name.startswith("engine/") else name in known, name


def public_classes() -> Iterator[str]:
    """The names of all public classes."""
    for path in (ROOT / "engine").rglob("*.py"):
        yield from re.findall(r"^class ([A-Za-z]\w*)", path.read_text("utf-8"), re.M)


def test_a_public_class_is_named_in_words_of_the_glossary() -> None:
    terms = " ".join(term.lower() for term, *_ in glossary())
    known = set(re.findall(r"[a-z]+", terms)) | set(PLAIN.split())
    known |= {f"{word}s" for word in known}
    parts = {name: [word.lower() for word in WORD.findall(name)] for name in public_classes()}
    assert {name: words for name, words in parts.items() if not known.issuperset(words)} == {}
    used = {word for words in parts.values() for word in words}
    assert used.issuperset(PLAIN.split()), "a plain word that no name uses any more"


def test_no_two_public_classes_have_one_name() -> None:
    """Except an entry of a file and what the plan makes of it: YAML words run down to the wire."""
    rooms = defaultdict(list)
    for path in sorted((ROOT / "engine").rglob("*.py")):
        for name in re.findall(r"^class ([A-Za-z]\w*)", path.read_text("utf-8"), re.M):
            rooms[name].append(path.relative_to(ROOT / "engine").parts[0])
    assert {name: r for name, r in rooms.items() if r not in ([r[0]], ["config", "plan"])} == {}
