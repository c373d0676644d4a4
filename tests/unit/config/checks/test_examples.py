"""The examples of the catalogue do what they say."""

from engine.config.diagnostics.codes import RULES
from engine.config.examples import example, folder, load_example
from tests.servers import read_yaml
from tests.tables import each
from tests.unit.config.folders import NOW, codes

IN_FILE = list(read_yaml("engine/config/checks/examples.yaml")["examples"])


@each("code", IN_FILE)
def test_the_bad_one_is_told_as_its_code_and_nothing_else(code: str) -> None:
    found = set(codes(load_example(code, NOW))) - set(example(code).also)
    assert found == {code} or (example(code).elsewhere and not found)


def test_one_example_alone_depends_on_what_is_installed() -> None:
    assert [code for code in RULES if example(code).elsewhere] == ["E404"]


@each("code", IN_FILE)
def test_the_good_one_is_clean(code: str) -> None:
    found = load_example(code, NOW, good=True)
    assert codes(found) == []
    assert found.plan is not None


def test_a_line_that_stands_for_many_is_there_as_often_as_it_says() -> None:
    text = folder("F005").texts["routes.yaml"]
    assert text is not None
    assert (text.count(b"setting_"), b"setting_201: true" in text) == (201, True)


def test_every_code_has_an_example_and_no_other() -> None:
    assert sorted(IN_FILE) == sorted(RULES)


def test_the_two_sides_of_an_example_differ() -> None:
    same = [code for code in RULES if example(code).bad == example(code).good]
    assert same == ["F002", "F004"]  # the difference is how they are stored


def test_examples_are_short_enough_to_be_read() -> None:
    for code in RULES:
        shown = example(code)
        assert max(len((shown.bad or "").splitlines()), len(shown.good.splitlines())) <= 12, code
