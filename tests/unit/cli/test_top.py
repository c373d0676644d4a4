"""How `engine top` fits into a terminal."""

from engine.cli.top import truncate


def test_the_busiest_stay_on_a_screen_that_is_too_small() -> None:
    text = "head\nbusiest\nsecond\nthird\n"
    assert truncate(text, 80, 24) == truncate(text, 80, 4) == "head\nbusiest\nsecond\nthird"
    assert truncate(text, 80, 3) == "head\nbusiest\n2 more lines; --once shows all"
    assert truncate(text, 4, 3) == "head\nbusi\n2 mo"
