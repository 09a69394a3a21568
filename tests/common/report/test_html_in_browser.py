"""The page in a real Chromium, without a network."""

import os
import shutil

import pytest

from common.files import PROJECT
from common.report import html

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        # As root, as in a container, Chromium runs only without its sandbox.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page about the results as they are, in a file."""
    path = tmp_path_factory.mktemp("page") / html.NAME
    path.write_text(html.render(PROJECT / "results"), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def visit(browser, address):
    """Open the page; nothing else may be asked for, and nothing may be complained about."""
    asked, complaints, pages = [], [], []

    def opened(**options):
        tab = browser.new_page(**options)
        pages.append(tab)
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(address)
        return tab

    yield opened
    for tab in pages:
        tab.close()
    assert {url for url in asked if not url.startswith("data:")} == {address}
    assert not complaints


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_but_tables_is_wider_than_the_screen(visit, width):
    tab = visit(viewport={"width": width, "height": 800})
    tab.evaluate("document.querySelectorAll('details').forEach(block => block.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert all(
        tab.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
    )


def test_the_first_screen_holds_the_answer_about_all_papers(visit):
    tab = visit(viewport={"width": 1280, "height": 800})
    assert tab.locator(".glance tbody tr").count() == tab.locator("article").count() > 0
    last = tab.locator(".glance tbody tr").last.locator("th").bounding_box()
    assert last["y"] + last["height"] <= 800


def test_the_first_column_stays_while_a_table_is_scrolled(visit):
    tab = visit(viewport={"width": 390, "height": 800})
    table = tab.locator(".scroll").first
    name = table.locator("tbody th").first
    before = name.bounding_box()["x"]
    table.evaluate("part => part.scrollLeft = 200")
    assert table.evaluate("part => part.scrollLeft") == 200
    assert name.bounding_box()["x"] == pytest.approx(before, abs=1)


def test_a_keyboard_reaches_everything(visit):
    tab = visit(viewport={"width": 390, "height": 800})
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    assert tab.locator(".skip").bounding_box()["y"] >= 0
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "papers"
    tab.locator(".legend summary").focus()
    tab.keyboard.press("Enter")
    assert tab.locator(".legend dl").first.is_visible()
    tab.locator(".scroll").first.focus()
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_light_and_dark_follow_the_system(visit):
    grounds = [
        visit(color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    light, dark = (sum(map(int, ground[4:-1].split(", "))) for ground in grounds)
    assert light > 700 > 100 > dark


def test_paper_gets_what_is_folded_away_on_the_screen(visit):
    tab = visit()
    folded = tab.locator(".legend dl").first
    assert not folded.is_visible()
    tab.emulate_media(media="print")
    assert folded.is_visible()
    assert not tab.locator("details > :not(summary)").evaluate_all(
        "parts => parts.filter(part => !part.checkVisibility({contentVisibilityAuto: true})).length"
    )
