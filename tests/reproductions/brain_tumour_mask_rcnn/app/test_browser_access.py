"""The page for everyone, in Chromium: screen reader, keyboard, small, dark and forced colours."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .browser import ENGLISH, TURKISH, detect, leave, open_tab, until, upload


@pytest.fixture(scope="module")
def tab(chromium, server):
    """A tab with findings, in light colours unless a test changes that."""
    opened = open_tab(chromium, server)
    pixels = np.random.default_rng(0).integers(0, 200, (300, 400, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hasta-4711.png"
        Image.fromarray(pixels).save(path)
        upload(opened, path)
    detect(opened)
    yield opened
    leave(opened)


def contrast(tab, selector: str) -> float:
    """Contrast of an element's text with what lies behind it, as WCAG defines it."""
    return tab.locator(selector).first.evaluate(
        """element => {
          const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
          const light = colour => numbers(colour).slice(0, 3)
            .map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
          let behind = element, colour = "rgba(0, 0, 0, 0)";
          while (behind && numbers(colour)[3] === 0) {
            colour = getComputedStyle(behind).backgroundColor;
            behind = behind.parentElement;
          }
          const both = [light(getComputedStyle(element).color), light(colour)];
          both.sort((a, b) => b - a);
          return (both[0] + 0.05) / (both[1] + 0.05);
        }"""
    )


def test_the_accessibility_tree_has_landmarks_names_values_and_results(tab):
    tree = tab.locator("body").aria_snapshot()
    for line in (
        "- note:",
        "- banner:",
        'heading "Beyin MR görüntüsünde tümör tespiti" [level=1]',
        'group "Dil":',
        'button "Türkçe" [pressed]',
        "- main:",
        'region "Görüntü ve ayarlar":',
        'button "Görüntü yükle"',
        'slider "Güven eşiği"',
        'region "Görüntü ve bulgular":',
        'img "hasta-4711.png görüntüsünde işaretlenen bulgu sayısı: 2"',
        "table",
        'button "1. bulguyu görüntüde vurgula"',
        'group "İndir":',
        "- contentinfo:",
    ):
        assert line in tree, f"{line}\n{tree}"
    status = tree.partition("- status:")[2].partition("- alert")[0]
    assert "İnceleme tamamlandı. Bulgu sayısı: 2, en yüksek skor 0,93." in status
    slider = tab.get_by_role("slider")
    values = [
        slider.get_attribute(f"aria-{name}") for name in ("valuemin", "valuenow", "valuetext")
    ]
    assert values == ["0.05", "0.7", "0,70"]
    slider.press("ArrowRight")
    until(lambda: slider.get_attribute("aria-valuetext") == "0,71")
    slider.press("ArrowLeft")


def test_turkish_holds_no_english(tab):
    text = tab.locator("body").inner_text()
    attributes = tab.evaluate(
        """() => [...document.querySelectorAll("[aria-label], [title], [alt]")]
          .filter(e => e.checkVisibility())
          .map(e => [e.ariaLabel, e.title, e.alt].join(" ")).join(" ")"""
    )
    said = f"{text} {attributes}".replace(ENGLISH["notice"], "").replace("English", "")
    words = set(re.findall(r"[A-Za-z]{3,}", said))
    leaks = {"the", "Loading", "Upload", "Value", "null", "Running", "widget", "Select", "and"}
    assert not words & leaks
    assert tab.evaluate("document.documentElement.lang") == "tr"


def test_everything_can_be_done_with_the_keyboard_alone(chromium, server, scan):
    tab = open_tab(chromium, server)

    def go_to(selector: str) -> None:
        for _ in range(60):
            tab.keyboard.press("Tab")
            if tab.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"{selector} is not reached")

    go_to(".widget-upload")
    ring = "getComputedStyle(document.activeElement).outlineStyle"
    assert tab.evaluate(ring) == "solid"
    with tab.expect_file_chooser() as chooser:
        tab.keyboard.press("Enter")
    chooser.value.set_files(scan)
    tab.get_by_text(TURKISH["ready"]).wait_for()
    go_to(".bt-detect")
    tab.keyboard.press("Enter")
    tab.locator(".bt-findings h2").wait_for()
    go_to(".bt-pick")
    tab.keyboard.press("Enter")
    until(lambda: tab.locator(".bt-pick[aria-pressed='true']").count() == 1)
    go_to(".bt-file-button")
    with tab.expect_download():
        tab.keyboard.press("Enter")
    tab.keyboard.press("Shift+Tab")
    go_to(".bt-head .widget-toggle-button:not(.mod-active)")
    tab.keyboard.press("Space")
    tab.get_by_role("heading", name="Findings").wait_for()
    leave(tab)


@pytest.mark.parametrize(
    "width, height", [(360, 740), (640, 450)], ids=["360 px", "200 % of 1280 px"]
)
def test_small_windows_need_no_scrolling_sideways_and_the_banner_covers_no_image(
    tab, width, height
):
    tab.set_viewport_size({"width": width, "height": height})
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for selector in (".bt-view", ".bt-findings table", ".bt-downloads"):
        box = tab.locator(selector).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= tab.viewport_size["width"]
    assert tab.locator(".bt-view").bounding_box()["height"] >= 0.8 * min(width, height)
    tab.locator(".bt-view").evaluate("e => e.scrollIntoView()")
    top = tab.locator(".bt-notice").bounding_box()
    assert top["y"] + top["height"] <= tab.locator(".bt-view").bounding_box()["y"] + 1


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_text_stands_out_in_dark_and_in_light(tab, scheme):
    tab.emulate_media(color_scheme=scheme)
    for selector in (
        *(".bt-notice b", ".bt-heading h1", ".bt-message", ".bt-threshold b", ".bt-hint-privacy"),
        *(".bt-findings td", ".bt-findings th", ".bt-note", ".bt-measured p", ".bt-footer p"),
        *(".widget-upload", ".bt-detect", ".bt-file-button", ".bt-head .mod-active"),
    ):
        assert contrast(tab, selector) >= 4.5, selector
    ground = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 380) == (scheme == "light")


def test_forced_colours_keep_controls_and_image_apart(tab):
    tab.emulate_media(forced_colors="active")
    assert tab.locator(".bt-view").evaluate("e => getComputedStyle(e).forcedColorAdjust") == "none"
    for selector in (".widget-upload", ".bt-file-button", ".noUi-target"):
        border = "e => parseFloat(getComputedStyle(e).borderTopWidth)"
        assert tab.locator(selector).first.evaluate(border) >= 1
    tab.emulate_media(forced_colors="none")
