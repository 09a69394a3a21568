"""Many tabs at once."""

from __future__ import annotations

import os
import time

import pytest

from . import browser
from .browser import TURKISH, leave, open_tab, received, until, upload, wait_until_ready
from .conftest import encoded, plain

GIGABYTE = 1 << 30
PATIENCE = 600  # seconds that twenty tabs together may take on a busy machine


def memory(server) -> int:
    """Memory of all processes of the page, what they share counted once."""
    everything = [server.process, *server.process.children(recursive=True)]
    return sum(process.memory_full_info().pss for process in everything)


@pytest.fixture
def own_server(chromium, tmp_path):
    """A page of its own, with room for ten tabs."""
    started = browser.start(tmp_path, "most_tabs=10")
    yield started
    browser.stop(started)


def test_ten_tabs_share_one_network_and_little_memory(chromium, own_server, scan):
    began = time.monotonic()
    *tabs, more = [chromium.new_context().new_page() for _ in range(11)]
    for tab in (*tabs, more):
        tab.set_default_timeout(3 * browser.SECONDS * 1000)
    for tab in tabs:
        tab.goto(own_server.entrance, wait_until="commit")
    for tab in tabs:
        wait_until_ready(tab)
    opened = time.monotonic() - began
    assert len(own_server.tabs) == 10
    for tab in tabs:
        upload(tab, scan)
    for tab in tabs:
        tab.locator(".bt-detect").click()
    for tab in tabs:
        tab.locator(".bt-findings h2").wait_for()
    largest = max(process.memory_info().rss for process in own_server.tabs)
    together = memory(own_server)
    print(
        f"\n10 tabs open after {opened:.0f} s, load {os.getloadavg()[0]:.0f}; the largest of them "
        f"{largest >> 20} MB; server, stand-in network and tabs {together >> 20} MB"
    )
    assert largest < 0.15 * GIGABYTE
    assert together < 2 * GIGABYTE  # without TensorFlow; a network adds one or two
    assert not any("tensorflow" in m.path for p in own_server.tabs for m in p.memory_maps())

    # One more is refused with a message, until another is closed.
    assert more.goto(own_server.entrance).ok
    more.get_by_text("Açık sekme sayısı sınırda (10).").wait_for()
    assert len(own_server.tabs) == 10
    tabs.pop().close(run_before_unload=True)
    until(lambda: len(own_server.tabs) == 9)
    more.reload()
    wait_until_ready(more)
    for tab in [*tabs, more]:
        leave(tab)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("EXPLORE"), reason="takes minutes; EXPLORE=1 runs it")
def test_twenty_tabs_and_two_hundred_uploads_are_all_answered(chromium, tmp_path):
    started = browser.start(tmp_path)
    began = time.monotonic()
    tabs = [open_tab(chromium, started)]
    before = memory(started)
    tabs += [open_tab(chromium, started) for _ in range(19)]
    opened = time.monotonic() - began
    files = {tmp_path / f"{number}.png": number % 4 == 0 for number in range(200)}
    for number, (path, bad) in enumerate(files.items()):
        content = encoded(plain(height=400 + number, width=500))
        path.write_bytes(content[: len(content) // 2] if bad else content)
    chosen = {tab: list(files)[10 * place : 10 * place + 10] for place, tab in enumerate(tabs)}
    began = time.monotonic()
    for tab, paths in chosen.items():
        with tab.expect_file_chooser() as chooser:
            tab.locator(".widget-upload").click()
        chooser.value.set_files(paths)
    for tab in tabs:
        until(lambda tab=tab: received(tab) == 10, PATIENCE)
        tab.locator(".bt-detect-all:enabled").click()
    for tab, paths in chosen.items():
        expected = [TURKISH["entry_bad"] if files[path] else "2 bulgu" for path in paths]
        until(lambda tab=tab, expected=expected: outcomes(tab) == expected, PATIENCE)
    answered = time.monotonic() - began
    most, largest = memory(started), max(tab.memory_info().rss for tab in started.tabs)
    for tab in tabs[1:]:
        tab.close(run_before_unload=True)
    until(lambda: len(started.tabs) == 1, PATIENCE)
    after = memory(started)
    print(
        f"\n20 tabs open after {opened:.0f} s, 200 uploads examined in {answered:.0f} s, load "
        f"{os.getloadavg()[1]:.0f}; memory {before >> 20} MB with one tab, {most >> 20} with "
        f"twenty (the largest has {largest >> 20}), {after >> 20} with one again"
    )
    assert after < before + 0.15 * GIGABYTE
    browser.stop(started)


def outcomes(tab) -> list:
    """What the list of a tab says about each image."""
    lines = tab.locator(".bt-list option").all_text_contents()
    return [line.replace("\xa0", " ").partition(" ")[2].partition(" – ")[0] for line in lines]
