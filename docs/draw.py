"""Draws overview.svg, the picture of the README: what goes into the gateway and where it goes.

    python docs/draw.py

Run it with `make docs`; a test compares the file with what it draws. Text stays text, so that it
can be searched and read aloud, and the colours follow the reader's light or dark theme.
"""

from pathlib import Path

import yaml

HERE = Path(__file__).parent

WIDTH, HEIGHT = 674, 336
LINE = 26  # from one line of text to the next
ABOUT = (
    "Clients send requests to orqen. It checks the key, matches the model, sends the request to a "
    "provider and passes the response on. It runs on three YAML files that engine check has passed."
)
STYLE = """
  text { font: 18px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .head { font-weight: 600; font-size: 20px; }
  .code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
  .note { font-size: 15px; fill: #59636e; }
  .box { fill: #f6f8fa; stroke: #59636e; stroke-width: 1.5; }
  .core { fill: #ddf4ff; stroke: #0969da; stroke-width: 2; }
  .wire { stroke: #59636e; stroke-width: 2; }
  .tip { fill: #59636e; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .note { fill: #9198a1; }
    .box { fill: #151b23; stroke: #9198a1; }
    .core { fill: #0c2d4d; stroke: #4493f8; }
    .wire { stroke: #9198a1; }
    .tip { fill: #9198a1; }
  }
"""
CLIENTS = ("OpenAI SDKs", "Anthropic SDKs", "agents, curl", "browsers")
STEPS = ("check the key", "match the model", "send, retry, fall back", "pass the response on")
FILES = "routes.yaml   providers.yaml   keys.yaml"


def render() -> str:
    """The text of overview.svg; the number of providers is that of the shipped configuration."""
    shipped = yaml.safe_load((HERE.parent / "providers.yaml").read_text("utf-8"))["providers"]
    providers = ("OpenAI", "Anthropic", f"{len(shipped) - 2} others", "or your own")
    parts = [
        *_box("box", (6, 8, 150, 152), "Clients", CLIENTS),
        *_box("core", (232, 8, 210, 152), "orqen", STEPS),
        *_box("box", (518, 8, 150, 152), "Providers", providers),
        *_right(156, 232, 70, "request"),
        *_left(232, 156, 112, "response"),
        *_right(442, 518, 70),
        *_left(518, 442, 112),
        *_box("box", (97, 254, 480, 74), "Three YAML files", ()),
        _text(337, 310, FILES, "code"),
        *_up(337, 254, 160),
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    return "\n".join(
        [head, f"<title>{ABOUT}</title>", f"<style>{STYLE}</style>", *parts, "</svg>\n"]
    )


def _box(kind: str, at: tuple[int, int, int, int], head: str, lines: tuple[str, ...]) -> list[str]:
    """A box at x, y, width and height, with a heading and lines of text below it, centred."""
    x, y, width, height = at
    middle = x + width // 2
    rect = f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="10"/>'
    texts = [_text(middle, y + 29 + LINE * row, line) for row, line in enumerate(lines, start=1)]
    return [rect, _text(middle, y + 29, head, "head"), *texts]


def _text(x: int, y: int, text: str, kind: str = "", anchor: str = "middle") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x}" y="{y}" text-anchor="{anchor}" xml:space="preserve">{text}</text>'


def _right(start: int, end: int, y: int, label: str = "") -> list[str]:
    return [*_wire(start, y, end - 10, y), _tip(end, y, -10, 6), *_label(start, end, y, label)]


def _left(start: int, end: int, y: int, label: str = "") -> list[str]:
    return [*_wire(start, y, end + 10, y), _tip(end, y, 10, 6), *_label(start, end, y, label)]


def _up(x: int, start: int, end: int) -> list[str]:
    tip = f'<path class="tip" d="M {x} {end} l -6 10 h 12 z"/>'
    check = _text(x + 14, 202, "engine check", "code", "start")
    rule = _text(x + 14, 226, "with an error, nothing changes", "note", "start")
    return [*_wire(x, start, x, end + 10), tip, check, rule]


def _wire(x1: int, y1: int, x2: int, y2: int) -> list[str]:
    return [f'<line class="wire" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>']


def _tip(x: int, y: int, length: int, half: int) -> str:
    return f'<path class="tip" d="M {x} {y} l {length} {-half} v {2 * half} z"/>'


def _label(start: int, end: int, y: int, label: str) -> list[str]:
    return [_text((start + end) // 2, y - 9, label, "note")] if label else []


if __name__ == "__main__":
    (HERE / "overview.svg").write_text(render(), "utf-8")
