"""The page in a real Chromium, without a network."""

import os
import re
import shutil
import zlib

import pytest

from common.files import PROJECT
from common.report import html, pdf

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
OPEN_ALL = "document.querySelectorAll('details').forEach(block => block.open = true)"
PRINTED_WIDTH = 688  # CSS pixels between the margins of an A4 page
SMALLEST = 8.0  # points


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, pdf.BROWSERS)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(pdf.BROWSERS)} is installed")
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
    assert {url.partition("#")[0] for url in asked if not url.startswith("data:")} == {address}
    assert not complaints


def test_nothing_is_wider_than_the_screen_nor_scrolls_sideways(visit):
    tab = visit()
    tab.evaluate(OPEN_ALL)
    for width in (
        360,
        705,
        768,
        1025,
        1920,
    ):  # of a phone, a tablet, a desk; where the form changes
        tab.set_viewport_size({"width": width, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, width
    assert tab.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    css = (PROJECT / "common/report/style.css").read_text()
    scrolling = re.findall(r"^([^{}]*)\{[^{}]*overflow(?:-x)?: *(?:auto|scroll)", css, re.MULTILINE)
    assert not scrolling  # nothing is cut off within the page
    assert re.findall(r"overflow-y: auto", css)  # but the contents, which may be long


def test_the_first_screen_holds_the_answer_about_all_papers(visit):
    tab = visit(viewport={"width": 1280, "height": 800})
    assert tab.locator(".glance tbody tr").count() == tab.locator("article").count() > 0
    last = tab.locator(".glance tbody tr").last.bounding_box()
    assert last["y"] + last["height"] <= 800
    words = tab.locator(".five dt").all_inner_texts()
    assert words == [
        "agree",
        "differ",
        "cannot be told yet",
        "cannot be told by any number of runs",
        "cannot all be right as printed",
    ]


def test_a_phone_shows_verdicts_without_scrolling_sideways(visit):
    tab = visit(viewport={"width": 360, "height": 800})
    numbers = tab.locator(".number .verdict")
    assert numbers.count() > 100
    boxes = numbers.evaluate_all(
        "parts => parts.map(part => part.getBoundingClientRect()).map(box => [box.left, box.right])"
    )
    visible = [box for box in boxes if box != [0, 0]]
    assert len(visible) > 100
    assert all(left >= 0 and right <= 360 for left, right in visible)
    assert tab.locator(".five dd").last.bounding_box()["y"] < 600


def test_contents_stay_beside_the_text(visit):
    tab = visit(viewport={"width": 1280, "height": 800})
    tab.locator("nav a", has_text="How to read this page").click()
    nav, text = tab.locator("nav").bounding_box(), tab.locator("#reading-this").bounding_box()
    assert 0 <= nav["y"] < 100
    assert nav["x"] + nav["width"] <= text["x"]


def test_numbers_are_filtered_by_verdict(visit):
    tab = visit()
    every = tab.locator(".number:visible").count()
    labels = tab.locator("nav .filter label").all_inner_texts()
    counts = {text.strip().rpartition(" ")[0]: int(text.split()[-1]) for text in labels}
    assert counts.pop("all") == every == sum(counts.values())
    for state, count in counts.items():
        tab.locator("nav .filter label", has_text=state).first.locator("input").check()
        assert tab.locator(".number:visible").count() == count, state
    tab.locator("#show-all").check()
    assert tab.locator(".number:visible").count() == every


def test_findings_are_filtered_by_severity_and_paper(visit):
    tab = visit()
    impossible = tab.locator(".found.impossible")
    assert tab.locator(".found:visible").count() == impossible.count() > 0  # these come first
    tab.locator("#found-all").check()
    assert tab.locator(".found:visible").count() == tab.locator(".found").count()
    tab.locator("#of-polyp_unet").check()
    own = tab.locator(".found.of-polyp_unet").count()
    assert tab.locator(".found:visible").count() == own > 0
    tab.locator("#found-note").check()
    both = tab.locator(".found.note.of-polyp_unet").count()
    assert tab.locator(".found:visible").count() == both > 0
    # No heading stands without its findings.
    assert (
        tab.locator(".check:visible").count()
        == tab.locator(".check:visible:has(.found:visible)").count()
    )


def test_a_link_leads_to_what_a_filter_hides(visit):
    tab = visit()
    mark = tab.locator("td.printed a.mark.suspicious").first
    target = tab.locator(mark.get_attribute("href"))
    assert not target.is_visible()
    mark.click()
    assert target.is_visible()
    assert 0 <= target.bounding_box()["y"] < 800
    target.locator(".cells a").first.click()
    assert tab.evaluate("document.querySelector(':target').matches('.number, .cell')")


def test_a_keyboard_reaches_everything(visit):
    tab = visit(viewport={"width": 390, "height": 800})
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    assert tab.locator(".skip").bounding_box()["y"] >= 0
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "papers"
    tab.locator("#found-impossible").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#found-suspicious").is_checked()
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    summary = tab.locator("article summary").first
    summary.focus()
    tab.keyboard.press("Enter")
    assert summary.evaluate("part => part.parentElement.open")


def test_light_and_dark_follow_the_system(visit):
    grounds = [
        visit(color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    light, dark = (sum(map(int, ground[4:-1].split(", "))) for ground in grounds)
    assert light > 700 > 100 > dark


def test_charts_are_seen_in_forced_colours(visit):
    tab = visit(forced_colors="active", color_scheme="dark")
    ground, line, dot = tab.evaluate(
        "[getComputedStyle(document.body).backgroundColor,"
        " getComputedStyle(document.querySelector('.dots .printed')).stroke,"
        " getComputedStyle(document.querySelector('.dots circle.published')).fill]"
    )
    assert ground == "rgb(0, 0, 0)"
    assert sum(map(int, re.findall(r"\d+", line))) > 300
    assert sum(map(int, re.findall(r"\d+", dot))) > 300


def test_printed_pages_are_a4_numbered_and_readable(visit):
    tab = visit(viewport={"width": PRINTED_WIDTH, "height": 900})
    tab.emulate_media(media="print")
    # Where something is wider than the page, Chromium shrinks all of it.
    assert tab.evaluate("document.documentElement.scrollWidth") <= PRINTED_WIDTH
    sizes = tab.evaluate(
        "[...document.querySelectorAll('body *')].filter(part => part.checkVisibility() && "
        "[...part.childNodes].some(node => node.nodeType == 3 && node.data.trim()))"
        ".map(part => [parseFloat(getComputedStyle(part).fontSize) * 0.75, part.textContent])"
    )
    assert min(sizes)[0] >= SMALLEST, min(sizes)
    assert tab.locator("nav a:visible").count() > 20  # contents
    assert not tab.locator("details.screen:visible").count()  # all metrics
    pdf = tab.pdf(prefer_css_page_size=True)
    pages = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert 10 < len(pages) < 60
    assert {(round(float(width)), round(float(height))) for width, height in pages} == {(595, 842)}
    assert min(_text_sizes(pdf)) >= SMALLEST - 0.05


def _text_sizes(pdf):
    """Sizes of all text of a PDF by Skia in points: of the font, times the scale of its page."""
    sizes = []
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            content = zlib.decompress(stream)
        except zlib.error:
            continue
        scale = re.match(rb"\s*([\d.]+) 0 0 -[\d.]+ ", content)
        if scale is None:
            continue
        inner = re.search(rb"q\s+([\d.]+) 0 0 ([\d.]+) [-\d.]+ [-\d.]+ cm", content)
        factor = float(scale.group(1)) * (float(inner.group(1)) if inner else 1)
        sizes += [float(size) * factor for size in re.findall(rb"/F\d+ ([\d.]+) Tf", content)]
    return sizes
