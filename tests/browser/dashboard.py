"""The dashboard in a real browser, beside a real gateway with its built-in upstream.

`make test-browser` runs this; it needs Debian's package chromium, and axe-core from npm for one test.
"""

import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests import loopback
from tests.servers import ROOT, Server, gateway, ship

if TYPE_CHECKING:  # `make test-browser` alone installs it
    from playwright.sync_api import Browser, BrowserContext, Page

AXE = (
    ROOT / ".venv-conformance/dashboard/node_modules/axe-core/axe.min.js"
)  # the Makefile puts it there
PATHS = (
    "/", "/?range=24h", "/providers", "/providers?show=saved", "/providers?q=nothing", "/providers/openai",
    "/providers/azure", "/providers/openai/remove", "/keys", "/keys?show=all", "/keys?q=nothing", "/keys/new",
    "/usage", "/usage?by=key&range=90d", "/routes", "/routes?model=gpt-5-mini&endpoint=chat_completions",
    "/routes?model=nothing&endpoint=embeddings", "/people", "/audit", "/configuration", "/accounts", "/you", "/nothing",
)  # fmt: skip
WIDTHS = (360, 768, 1440)
LINK = re.compile(r"^dashboard: (http\S+)$", re.MULTILINE)
pytestmark = pytest.mark.needs("chromium")

OPENED = "document.querySelectorAll('details:not(.menu)').forEach(each => { each.open = true; })"
TOO_WIDE = """
[...document.querySelectorAll('body *')]
  .filter(each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.scroll, pre, datalist, .visually-hidden, .skip'))
  .map(each => each.outerHTML.slice(0, 100))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = ship(tmp_path_factory.mktemp("dashboard"))
    with gateway(folder, folder / "log", "--mock") as running:
        yield running


@pytest.fixture(scope="module")
def link(server: Server) -> str:
    """The one-time link that the gateway prints."""
    found = LINK.search(server.text)
    assert found, server.text
    wait_for(lambda: loopback.get(f"{origin(found[1])}/healthz").status_code == 200)
    return found[1]


def origin(url: str) -> str:
    return url.partition("/signin")[0]


def wait_for(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if is_so():
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError("it did not happen")


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 as above

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def walked(chromium: "Browser", link: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The walk of the README, step by step, in a browser; the file of its session.

    A click is a press on what a step names in bold; typing into the field that has the focus is none.
    """
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    problems = listen(page)
    page.goto(link)
    clicks = 0
    for step in walk():
        for name in re.findall(r"\*\*(.+?)\*\*", step):
            if name == "Save key":
                type_into_focus(page, "sk-canary-walk-1234567890")
            if "overview" in step:
                page.goto(origin(link))
            press(page, name)
            clicks += 1
        if "terminal" in step:
            wait_for(lambda: "curl" in page.evaluate("navigator.clipboard.readText()"))
            command = page.evaluate("navigator.clipboard.readText()")
            assert call(command).status_code == 200, command
    assert clicks <= 6
    wait_for(lambda: bool(page.goto(origin(link))) and page.get_by_text("Latency p95").count() == 1)
    assert problems == []
    state = tmp_path_factory.mktemp("session") / "state.json"
    context.storage_state(path=state)
    context.close()
    return state


def walk() -> list[str]:
    """The numbered lines of the README after their mark."""
    text = (
        (ROOT / "README.md")
        .read_text("utf-8")
        .partition("dashboard.py follows these steps -->\n")[2]
    )
    return re.findall(r"^\d\. (.+)$", text.partition("\n\n")[0], re.MULTILINE)


def press(page: "Page", name: str) -> None:
    """Press the button or the link of that name; the page that has it may still be on its way."""
    button = page.get_by_role("button", name=name, exact=True)
    button.or_(page.get_by_role("link", name=name, exact=True)).first.click()


def type_into_focus(page: "Page", text: str) -> None:
    """Type where the page put the focus by itself, once it is there."""
    page.locator("main input:focus").press_sequentially(text)


def call(command: str) -> httpx2.Response:
    """What curl would send, without curl."""
    _, url, *rest = shlex.split(command.replace("\\\n", " "))
    options = list(zip(rest[::2], rest[1::2], strict=True))
    headers = dict(value.split(": ", 1) for name, value in options if name == "-H")
    return loopback.post(url, headers=headers, content=dict(options)["-d"])


def listen(page: "Page") -> list[str]:
    """What the browser complains of on `page`: scripts that fail, and what the policy forbids."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    return problems


def expect(found: Any) -> Any:
    """An expectation that is waited for."""
    from playwright.sync_api import expect as waiting  # noqa: PLC0415 as above

    return waiting(found)


Open = Callable[..., "BrowserContext"]


@pytest.fixture
def opened(chromium: "Browser", walked: Path) -> Iterator[Open]:
    """Makes a context of the signed-in person."""
    made: list[BrowserContext] = []

    def open_context(**options: Any) -> "BrowserContext":
        made.append(chromium.new_context(storage_state=walked, **options))
        return made[-1]

    yield open_context
    for context in made:
        context.close()


def every_path(page: "Page", url: str) -> Sequence[str]:
    """All paths, with those of a key."""
    page.goto(f"{url}/keys?show=all")
    key = page.locator("td a.to").first.get_attribute("href")
    return (*PATHS, f"{key}", f"{key}/rotate", f"{key}/revoke")


def test_the_walk_of_the_readme_takes_six_clicks_at_most(walked: Path) -> None:
    assert len(walk()) == 3
    assert walked.exists()


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_its_window(opened: Open, link: str, width: int) -> None:
    page = opened(viewport={"width": width, "height": 800}).new_page()
    problems = listen(page)
    for path in every_path(page, origin(link)):
        page.goto(origin(link) + path)
        page.evaluate(OPENED)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.evaluate(TOO_WIDE) == [], path
    assert [each for each in problems if "404" not in each] == []


@pytest.mark.skipif(not AXE.exists(), reason="npm has not installed axe-core")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 360)])
def test_axe_finds_nothing(opened: Open, link: str, scheme: str, width: int) -> None:
    context = opened(color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    page = context.new_page()
    for path in every_path(page, origin(link)):
        page.goto(origin(link) + path)
        assert axe(page) == [], path


@pytest.mark.skipif(not AXE.exists(), reason="npm has not installed axe-core")
def test_axe_finds_nothing_where_nobody_is_signed_in(chromium: "Browser", link: str) -> None:
    with chromium.new_context(bypass_csp=True) as context:
        page = context.new_page()
        for path in ("/signin", "/signin/link?token=x", "/invite?token=x"):
            page.goto(origin(link) + path)
            assert axe(page) == [], path


def axe(page: "Page") -> list[tuple[str, str]]:
    page.evaluate(OPENED)
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run()")
    return [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]]


def test_the_keyboard_alone_saves_a_key_and_makes_one(opened: Open, link: str) -> None:
    page = opened().new_page()
    page.goto(origin(link))
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    go(page, "Providers")
    expect(page.get_by_role("heading", name="Providers")).to_be_visible()
    go(page, "Anthropic (Claude API)")
    type_into_focus(page, "sk-canary-keyboard-1234567890")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("saved")
    go(page, "Keys")
    go(page, "Create key")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    expect(page.get_by_label("The key, shown only now")).to_be_focused()
    go(page, "Done")
    go(page, "Revoke key")
    go(page, "Revoke key")
    expect(page.get_by_role("status")).to_contain_text("revoked")


def focused(page: "Page") -> str:
    text: str = page.evaluate(
        "document.activeElement.innerText || document.activeElement.name || ''"
    )
    return text.strip()


def go(page: "Page", name: str) -> None:
    """Press Tab until what is called `name` has the focus, which must be seen, and then Enter."""
    page.wait_for_load_state()  # the outline is of the style sheet
    for _ in range(300):
        page.keyboard.press("Tab")
        if focused(page) == name:
            style = "getComputedStyle(document.activeElement).outlineStyle"
            assert page.evaluate(style) == "solid", name
            with page.expect_navigation():
                page.keyboard.press("Enter")
            return
    raise AssertionError(f"Tab does not reach {name}")


def test_everything_but_comfort_works_without_script(opened: Open, link: str) -> None:
    page = opened(java_script_enabled=False).new_page()
    page.goto(f"{origin(link)}/providers?q=mistral")
    assert page.locator("tbody tr").count() == 1
    page.locator("tbody a").first.click()
    page.get_by_label("api_key").fill("sk-canary-scriptless-123456")
    page.get_by_role("button", name="Save key").click()
    expect(page.get_by_role("status")).to_contain_text("saved")
    page.goto(f"{origin(link)}/keys/new")
    page.get_by_label("Name").fill("without script")
    page.get_by_role("button", name="Create key").click()
    assert page.get_by_label("The key, shown only now").input_value().startswith("sk-orq-")
    expect(page.get_by_role("button", name="Copy key")).to_be_hidden()  # it could do nothing
    page.goto(origin(link))
    assert page.locator("figure svg rect").count() > 0
    page.get_by_text("Show as a table").first.click()
    expect(page.get_by_role("region", name="Requests as a table")).to_be_visible()


def test_a_saved_key_is_tested_through_the_gateway(opened: Open, link: str) -> None:
    page = opened().new_page()
    page.goto(f"{origin(link)}/providers?show=saved")
    page.get_by_role("link", name="Manage").first.click()
    page.get_by_role("button", name="Send one request").click()
    expect(page.locator("#test [role=status]")).to_contain_text("accepted the key")


def test_the_providers_are_narrowed_while_typing(opened: Open, link: str) -> None:
    page = opened().new_page()
    page.goto(f"{origin(link)}/providers")
    rows = page.locator("tbody tr:visible")
    before = rows.count()
    page.get_by_role("searchbox").type("azure openai")
    expect(rows).not_to_have_count(before)
    assert 0 < rows.count() < before
    page.get_by_role("searchbox").fill("nothing at all")
    expect(page.get_by_role("heading", name="No provider has that")).to_be_visible()


def test_a_plot_says_what_is_below_the_pointer(opened: Open, link: str) -> None:
    page = opened().new_page()
    page.goto(f"{origin(link)}/?range=24h")
    figure = page.locator("figure").first
    readout = figure.locator("[data-readout]")
    expect(readout).not_to_contain_text("succeeded")
    figure.locator(".hit").last.hover()
    expect(readout).to_contain_text("succeeded")


def test_the_menu_of_a_phone_opens_and_closes(opened: Open, link: str) -> None:
    page = opened(viewport={"width": 360, "height": 700}).new_page()
    page.goto(origin(link))
    expect(page.get_by_role("link", name="Audit log")).to_be_hidden()
    page.get_by_text("Menu").click()
    page.get_by_role("link", name="Audit log").click()
    expect(page.get_by_role("heading", name="Audit log")).to_be_visible()
    page.get_by_text("Menu").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Audit log")).to_be_hidden()


def test_whoever_signs_out_is_out_in_every_tab(opened: Open, link: str) -> None:
    """The last test, since all of them share the session."""
    context = opened()
    page, other = context.new_page(), context.new_page()
    other.goto(f"{origin(link)}/keys")
    page.goto(origin(link))
    page.get_by_role("button", name="Sign out").locator("visible=true").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    other.reload()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
