"""One word for one thing: what docs/glossary.md names is called by no other word.

An engineer in another country knows the field's standard terms; a word of our own, or a common
word in a meaning of our own, has to be learnt. `make test` fails where one comes back.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
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
DEFINED = re.compile(rf"^(?: *(?:class|(?:async )?def) (?:{RENAMED})\b|(?:{RENAMED})\b.* =)", re.M)
# What tests and benchmarks do not say either.
BANNED_IN_TESTS = re.compile(
    r"(?<![a-z])(?:mend|mends|mended|mending|remedy|remedies|dial|dials|dialled|dialling|vouch|vouches|"
    r"vouched|brought|parting|hostile|who the machine is|intake|converse|own words)(?![a-z])"
)
# Plain words of the trade that public names are made of, besides those of the glossary: one a line, sorted. Whoever adds
# one asks whether an engineer in another country understands it at once. Plurals and forms of verbs follow from the stem.
PLAIN = (Path(__file__).parent / "plain_words.txt").read_text("utf-8").split()
# What a module or a class defines: classes, functions with their parameters, constants, fields.
DEFINITION = re.compile(
    r"^(?P<inside> {4})?(?:class (?P<owner>\w+)|(?:async )?def (?P<function>\w+)\((?P<parameters>.*?)\)(?: ->|:\n)"
    r"|(?P<values>\w+(?:, \w+)*)(?:: [^=\n]+)? = |(?P<field>\w+): \S)",
    re.M | re.S,
)
PARAMETER = re.compile(r"(?:\A|,)(?:\s*# .*)?\s*\**([a-z]\w*):")
DOCSTRING = re.compile(r'""".*?"""', re.S)
WORD = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+")
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
MODULES = sorted(path for path in SOURCES if path.suffix == ".py")

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


@cache
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
    assert {path: names for path in SOURCES if (names := DEFINED.findall(read(path)))} == {}


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
    known = "".join(read(path) for path in [*PAGES, *SOURCES] if path.name != "glossary.md")
    for _, meaning, where in table:
        assert meaning
        for name in re.findall(r"`([^`]+)`", where):
            assert (ROOT / name).exists() if name.startswith("engine/") else name in known, name


@cache
def public_names() -> frozenset[str]:
    """The names of modules, of what they and their public classes define, and of what public functions take."""
    modules = (path.parent.name if path.stem == "__init__" else path.stem for path in MODULES)
    return frozenset(modules).union(*(names_in(read(path)) for path in MODULES))


def names_in(source: str) -> Iterator[str]:
    is_public = True  # of a class; what stands in a function is not
    for found in DEFINITION.finditer(DOCSTRING.sub("", source)):
        owner, function = found["owner"], found["function"]
        if not found["inside"]:
            is_public = owner is not None and not owner.startswith("_")
        elif not is_public:
            continue
        names = (found["values"] or found["field"] or owner or function).split(", ")
        yield from (name for name in names if not name.startswith("_"))
        if function and (function == "__init__" or not function.startswith("_")):
            yield from PARAMETER.findall(found["parameters"])


def words_of(name: str) -> list[str]:
    """The words of a name; a single letter is none, such as a type variable."""
    return [word.lower() for word in WORD.findall(name) if len(word) > 1]


def forms(word: str) -> Iterator[str]:
    """The plural of a noun, and what a regular verb becomes: `retries`, `dropped`, `mapping`, `writers`."""
    yield word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")
    if word.endswith("y"):
        yield from (f"{word[:-1]}{end}" for end in ("ies", "ied", "ier"))
    if len(word) > 2:
        for stem in (word.removesuffix("e"), word + word[-1]):
            yield from (f"{stem}{end}" for end in ("ed", "ing", "ings", "er", "ers"))


@cache
def terms() -> frozenset[str]:
    """The words of the terms of the glossary."""
    return frozenset(re.findall(r"[a-z]+", " ".join(term.lower() for term, *_ in glossary())))


@cache
def known_words() -> frozenset[str]:
    known = terms().union(PLAIN)
    return known.union(*map(forms, known))


def unknown(names: Iterable[str]) -> dict[str, list[str]]:
    """The names with a word that neither the glossary nor the list of plain words has, and all of their words."""
    parts = {name: words_of(name) for name in names}
    return {name: words for name, words in parts.items() if not known_words().issuperset(words)}


def test_a_public_name_is_made_of_words_of_the_glossary() -> None:
    assert unknown(public_names()) == {}


@each(
    "source",
    [
        "def twiddle_gizmo(path: Path) -> None:",
        "class Gizmo(Base):",
        "class Page:\n    async def twiddle(self) -> None:",
        "class Page:\n    gizmo: int",
        "GIZMO = 1",
        "def read(\n    path: Path,\n    *,\n    gizmo: int = 1,  # a comment\n) -> None:",
    ],
)
def test_a_made_up_word_is_found_wherever_a_name_is_defined(source: str) -> None:
    assert unknown(names_in(source))


@each(
    "source",
    [
        "def _gizmo() -> None:",
        "class _Gizmo:\n    gizmo: int",
        "def read() -> None:\n    gizmo = 1",
    ],
)
def test_what_is_private_may_have_any_name(source: str) -> None:
    assert unknown(names_in(source)) == {}


def test_the_plain_words_are_sorted_and_each_is_needed() -> None:
    assert sorted(set(PLAIN)) == PLAIN
    used = {word for name in public_names() for word in words_of(name)}
    assert [word for word in PLAIN if used.isdisjoint([word, *forms(word)])] == []
    follow = {form for word in {*terms(), *PLAIN} for form in forms(word)}
    assert [word for word in PLAIN if word in follow] == [], "these follow from another word"


def test_no_two_public_classes_have_one_name() -> None:
    """Except an entry of a file and what the plan makes of it: YAML words run down to the wire."""
    packages = defaultdict(list)
    for path in MODULES:
        for name in re.findall(r"^class ([A-Za-z]\w*)", read(path), re.M):
            packages[name].append(path.relative_to(ROOT / "engine").parts[0])
    assert {name: r for name, r in packages.items() if r not in ([r[0]], ["config", "plan"])} == {}
