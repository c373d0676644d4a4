"""What a template may do, what it is refused, and what it can make."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from engine.config.template import (
    MAX_OUTPUT,
    MAX_SOURCE,
    MAX_TOKENS,
    Template,
    checked_output,
    compile_template,
    render_now,
    segment,
)
from engine.plan.plan import UnusableValueError
from tests.tables import each

CONTEXT: dict[str, Any] = {
    "credentials": {"api_key": "KEY"},
    "variables": {"region": "eu-1", "items": "not a method"},
    "model": "Org/Model",
    "endpoint": "chat_completions",
    "request": {"headers": {"openai-beta": "v2"}},
}


def compiled(source: str) -> Template:
    template, problems = compile_template(source)
    assert problems == []
    assert template is not None
    return template


def refusals(source: str) -> list[str]:
    template, problems = compile_template(source)
    assert template is None
    return [problem.code for problem in problems]


UNREADABLE = {
    "{{ a.b }": "a value ends with `}}`, and here is one `}`",
    "{{ a.b": "`{{` is never closed with `}}`",
    "{{ a | upper": "`{{` is never closed with `}}`",
    "{{ }}": "a name is missing before `}}`",
    "{{ a | }}": "a name is missing before `}}`",
    "{{ a. }}": "a name is missing after `.`",
    "{{ a b }}": "before `b` there must be `|`, for a filter, or `}}`",
    "{{ a['b' }}": "`]` is missing before `}`",
    "{{ $a }}": "no template can have `$` there",
    "{{ 'a }}": "no template can have `'` there",
    "{% if a %}": "a template only inserts names, with filters; it has no `{% %}`",
    "{% x %}": "a template only inserts names, with filters; it has no `{% %}`",
    "{# a": "`{#` is never closed with `#}`",
}


@each(("source", "words"), UNREADABLE.items())
def test_what_cannot_be_read_is_said_in_the_words_of_templates(source: str, words: str) -> None:
    """And not in those of Jinja: a `print statement`, a token, a tag."""
    _, [problem] = compile_template(source)
    assert problem.message == f"the template cannot be read: {words}"


@each(
    ("source", "text"),
    [
        ("Bearer {{ credentials.api_key }}", "Bearer KEY"),
        ("{{credentials.api_key}}", "KEY"),
        ("{{ credentials['api_key'] }}", "KEY"),
        ("{{ request.headers['openai-beta'] }}", "v2"),
        ("{{ request.headers['absent'] | default('v1') }}", "v1"),
        ("{{ request.headers['absent'] | default(model) }}", "Org/Model"),
        ("{{ variables.region }}-{{ endpoint }}", "eu-1-chat_completions"),
        ("{{ variables.items }}", "not a method"),
        ("{{ model | lower }}", "org/model"),
        ("{{ model | upper }}", "ORG/MODEL"),
        ("{{ ' x ' | trim }}", "x"),
        ("{{ credentials.api_key | b64encode }}", "S0VZ"),
        ("{{ 'a constant' }}", "a constant"),
        ("{# a comment #}x", "x"),
        ("no template", "no template"),
        ("a { b } c", "a { b } c"),
        ("", ""),
        ("{{ model }}\n", None),
    ],
)
def test_what_is_allowed(source: str, text: str | None) -> None:
    if text is None:
        with pytest.raises(UnusableValueError):
            compiled(source).render(CONTEXT)
    else:
        assert compiled(source).render(CONTEXT) == text


@each(
    "source",
    [
        "{% if model %}a{% endif %}", "{% for x in model %}{{ x }}{% endfor %}",
        "{% set x = model %}{{ x }}", "{% macro m() %}{% endmacro %}", "{% raw %}a{% endraw %}{{ model() }}",
        "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% block b %}{% endblock %}",
        "{% filter upper %}a{% endfilter %}", "{% call model() %}{% endcall %}",
        "{{ model() }}", "{{ model.upper() }}", "{{ range(9) }}", "{{ credentials.get('api_key') }}",
        "{{ 1 + 1 }}", "{{ 'a' * 9 ** 9 }}", "{{ 'a' ~ model }}", "{{ -1 }}", "{{ 'a' % 9 }}", "{{ 9 // 2 }}",
        "{{ model == 'x' }}", "{{ not model }}", "{{ model and endpoint }}", "{{ 'a' in model }}",
        "{{ 'a' if model else 'b' }}", "{{ model is defined }}",
        "{{ [model] }}", "{{ {'a': model} }}", "{{ (model, endpoint) }}",
        "{{ model[0] }}", "{{ model[1:] }}", "{{ variables[model] }}", "{{ variables[variables.region] }}",
        "{{ ''.__class__ }}", "{{ ('a').upper }}", "{{ 'x'.y }}", "{{ [].append }}",
        "{{ model | default('a' * 9 ** 9) }}", "{{ model | default(range(9)) }}",
        "{{ model | default([1]) }}", "{{ model | default(model.upper()) }}",
    ],
)  # fmt: skip
def test_everything_else_is_too_clever(source: str) -> None:
    assert set(refusals(source)) == {"T304"}


@each(
    "source",
    ["{{ model | default(*model) }}", "{{ model | default(**model) }}",
     "{{ model | default(default_value=model.upper()) }}", "{{ model | default('x', boolean=1 + 1) }}",
     "{{ model | default('x', 'a' * 9 ** 9) }}"],
)  # fmt: skip
def test_arguments_in_other_forms_are_seen_as_well(source: str) -> None:
    assert set(refusals(source)) == {"T304"}


@each(
    "source",
    ["{{ model | lower('x') }}", "{{ model | upper(1) }}", "{{ model | segment('/') }}",
     "{{ model | b64encode('ascii') }}", "{{ model | default(1, 2, 3) }}", "{{ model | trim(1) }}"],
)  # fmt: skip
def test_arguments_that_a_filter_cannot_take_are_refused_at_load(source: str) -> None:
    assert refusals(source)


@each(
    "source",
    ["{{ model.__class__ }}", "{{ model.__class__.__mro__ }}", "{{ request.__init__.__globals__ }}",
     "{{ credentials.__len__ }}", "{{ variables.keys }}", "{{ credentials['__class__'] }}",
     "{{ model['upper'] }}", "{{ self._TemplateReference__context }}", "{{ cycler }}",
     "{{ lipsum.__globals__ }}", "{{ namespace }}", "{{ joiner }}", "{{ dict }}", "{{ range }}"],
)  # fmt: skip
def test_no_attribute_of_python_can_be_reached(source: str) -> None:
    """A name that is in no mapping is absent, whatever Python has under it."""
    template, problems = compile_template(source)
    assert template is not None, problems
    with pytest.raises(UndefinedError):
        template.render(CONTEXT)


@each(
    ("source", "code"),
    [
        ("{{ model", "T301"), ("{{ }}", "T301"), ("{{ model | }}", "T301"), ("{{ a b }}", "T301"),
        ("{% if model %}", "T301"), ("{% nonsense %}", "T301"), ("{{ 'a }}", "T301"), ("{# a", "T301"),
        ("{{ model | nothing }}", "T303"), ("{{ model | attr('x') }}", "T303"),
        ("{{ model | map('upper') }}", "T303"), ("{{ model | format(1) }}", "T303"),
        ("{{ model | safe }}", "T303"), ("{{ model | tojson }}", "T303"), ("{{ model | xmlattr }}", "T303"),
        ("a\nb", "T305"), ("ü", "T305"), ("a\tb", "T305"), ("x" * (MAX_OUTPUT + 1), "T305"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_code(source: str, code: str) -> None:
    assert refusals(source) == [code]


def test_every_problem_of_a_template_is_told() -> None:
    assert refusals("{{ a() }} {{ b | nothing }} {{ c + d }}") == ["T304", "T303", "T304"]


def test_a_filter_is_named_but_a_text_is_not_quoted() -> None:
    for source in ("{{ 'CANARY' + model }}", "{{ 'CANARY' }", "{{ model('CANARY') }}", "ü CANARY"):
        for problem in compile_template(source)[1]:
            assert "CANARY" not in problem.message + problem.text


def test_the_names_used_are_known() -> None:
    template = compiled(
        "{{ credentials.a }} {{ credentials.b | default('') }} {{ model | segment }} {{ request.headers['x-y'] }}"
    )
    assert template.uses("credentials") == {"a"}
    assert template.optional == {("credentials", "b")}
    assert template.segments == {("model",)}
    assert ("request", "headers", "x-y") in template.names


# -- output --------------------------------------------------------------------------------------


@each(
    "value", ["a\r\nx-injected: 1", "a\nb", "a\rb", "a\0b", "a\tb", "ü", "\x7f", "\u2028", "a\x85b"]
)
def test_output_that_no_header_can_hold_is_refused(value: str) -> None:
    with pytest.raises(UnusableValueError) as caught:
        compiled("{{ model }}").render({"model": value})
    assert value not in str(caught.value)


def test_output_is_at_most_eight_kib() -> None:
    assert checked_output("x" * MAX_OUTPUT)
    with pytest.raises(UnusableValueError):
        compiled("{{ model }}{{ model }}").render({"model": "x" * (MAX_OUTPUT // 2 + 1)})


def test_a_value_is_never_read_as_a_template() -> None:
    assert compiled("{{ model }}").render({"model": "{{ credentials.api_key }}"}) == (
        "{{ credentials.api_key }}"
    )


def test_an_absent_value_renders_to_nothing() -> None:
    template = compiled("{{ credentials.absent }}")
    assert render_now(template, CONTEXT) is None
    assert render_now(compiled("{{ absent.deeper.still }}"), CONTEXT) is None
    assert render_now(compiled("{{ credentials.absent | default('x') }}"), CONTEXT) == "x"


# -- segment -------------------------------------------------------------------------------------


@each(
    ("value", "encoded"),
    [("gpt-4o", "gpt-4o"), ("a b", "a%20b"), ("a?b#c", "a%3Fb%23c"), ("titan-v2:0", "titan-v2:0"),
     ("ü", "%C3%BC"), ("...", "..."), (".a", ".a"), ("a;b=c", "a;b=c"), ("[a]", "%5Ba%5D"), ("a@b", "a@b")],
)  # fmt: skip
def test_segment_encodes_one_segment(value: str, encoded: str) -> None:
    assert segment(value) == encoded


@each(
    "value",
    ["", ".", "..", "a/b", "../x", "a\\b", "a%2fb", "%2e%2e", "a\rb", "a\nb", "a\0b", "\x7f"],
)
def test_segment_refuses_what_could_be_more_than_one(value: str) -> None:
    with pytest.raises(UnusableValueError) as caught:
        segment(value)
    assert value == "" or value == "." or value not in str(caught.value)


@given(st.text(max_size=30))
def test_segment_gives_one_plain_segment_or_refuses(value: str) -> None:
    try:
        encoded = segment(value)
    except UnusableValueError:
        return
    assert encoded not in ("", ".", "..")
    assert checked_output(encoded)
    assert not set(encoded) & set("/\\?# ")


@each(
    "inside",
    [
        "(" * 100 + "a" + ")" * 100,
        "[" * 100 + "a" + "]" * 100,
        "{" * 100,
        "credentials" + ".a" * 400,
        "a | default(" * 150 + "a" + ")" * 150,
        "a" + "|lower" * 1000,
        "not " * 500 + "a",
        "-" * 1000 + "a",
        "a" + " - a" * 500,
        "a" + " ** a" * 500,
        "a" + " if a else a" * 300,
        "a" + "[a" * 200 + "]" * 200,
    ],
)
def test_a_template_of_many_levels_is_refused_at_once(inside: str) -> None:
    for source in (f"{{{{ {inside} }}}}", f"{{% if {inside} %}}{{% endif %}}", f"{{{{ {inside}"):
        assert refusals(source) == ["T301"]


def test_a_template_may_have_so_many_characters_names_and_signs() -> None:
    most = "{{ model" + "|lower" * ((MAX_TOKENS - 1) // 2) + " }}"
    assert compiled(most).render(CONTEXT) == "org/model"
    assert refusals(most.replace("|lower }}", "|lower|lower }}")) == ["T301"]
    longest = "{{model}}" * 3 + "a" * (MAX_SOURCE - 27)
    assert compiled(longest).source == longest
    assert refusals(longest + "a") == ["T301"]
    assert compiled("{{model}}{{model|lower}}" * 99).names == {("model",)}


def test_statements_inside_each_other_are_refused_however_deep() -> None:
    assert refusals("{% if a %}" * 400) == ["T301"]
