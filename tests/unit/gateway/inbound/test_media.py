"""What a content-type stands for, and how it goes up."""

from engine.gateway.inbound.media import find_boundary, is_plain_text, kind_of, normalized
from tests.tables import each


@each(
    ("told", "goes_up"),
    [
        ("application/json", "application/json"),
        ("Application/JSON ;charset=UTF-8", "application/json"),
        ('application/json; charset="utf-8"', "application/json"),
        ("application/json;charset=utf8; ", "application/json"),
        ("application/json;", "application/json"),
        ("application/json; profile=x; v=1", "application/json"),
        ("application/vnd.api+json; charset=utf-8", "application/vnd.api+json"),
    ],
)
def test_json_goes_up_in_our_own_spelling(told: str, goes_up: str) -> None:
    assert kind_of(told.encode()) == "json"
    assert normalized(told.encode()) == goes_up.encode()


@each(
    "told",
    [
        "application/json; xcharset=utf-8; charset=utf-7",
        "application/json; charset=utf-8; charset=utf-7",
        "application/json; charset=utf-8; charset=utf-8",
        'application/json; charset="utf-8',
        'application/json; charset="utf\\-7"',
        "application/json; charset=utf-16",
        'application/json; charset="UTF-16"',
        "application/json; charset*=utf-8''utf-7",
        "application/json; charset =utf-8",
        "application/json; charset",
        'application/json; x="a"charset=utf-7',
        "application/json, text/plain",
        "application/json garbage",
        "application/json; charset=utf-8, application/json; charset=utf-7",
        "application/json\xa0; charset=utf-7",
        "application/json+x",
        "text/json",
        "application/",
        "",
        "application/json; x=" + "y" * 2000,
    ],
)
def test_what_could_be_read_in_two_ways_is_no_json(told: str) -> None:
    assert kind_of(told.encode("latin-1")) is None


@each(
    ("told", "goes_up"),
    [
        ("Multipart/Form-Data; x=y; Boundary=abc", "multipart/form-data; boundary=abc"),
        ('multipart/form-data; boundary="abc"; charset=utf-8', "multipart/form-data; boundary=abc"),
        ('multipart/form-data; boundary="a:c?"', 'multipart/form-data; boundary="a:c?"'),
        (
            'multipart/form-data; x="; boundary=no"; boundary=abc',
            "multipart/form-data; boundary=abc",
        ),
    ],
)
def test_a_form_goes_up_with_its_boundary_alone(told: str, goes_up: str) -> None:
    assert kind_of(told.encode()) == "form"
    assert normalized(told.encode()) == goes_up.encode()
    assert find_boundary(goes_up.encode()) == find_boundary(told.encode())


@each(
    ("told", "is_plain"),
    [
        ("text/plain", True),
        ("Text/Plain;charset=UTF-8", True),
        ("text/plain; charset=us-ascii", True),
        ("text/plain; charset=utf-16", False),
        ("text/plain; charset=utf-8; charset=utf-7", False),
        ("text/html", False),
        ("application/json", False),
        ("multipart/mixed; boundary=x", False),
        ("", False),
    ],
)
def test_the_text_of_a_part(told: str, is_plain: bool) -> None:
    assert is_plain_text(told.encode()) is is_plain
