"""Many tabs at once."""

from __future__ import annotations

import gc
import os
import time

import pytest

from . import browser
from .browser import leave, open_tab, received, until, upload, wait_until_ready
from .conftest import encoded, plain

GIGABYTE = 1 << 30


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
    first = open_tab(chromium, started)
    before = memory(started)
    began, tabs = time.monotonic(), [first]
    for _ in range(19):
        tabs.append(open_tab(chromium, started))
    opened = time.monotonic() - began
    paths = []
    for number in range(10):
        paths.append(tmp_path / f"{number}.png")
        content = encoded(plain(height=400 + number, width=500))
        paths[-1].write_bytes(content if number % 4 else content[: len(content) // 2])
    for tab in tabs:
        with tab.expect_file_chooser() as chooser:
            tab.locator(".widget-upload").click()
        chooser.value.set_files([str(path) for path in paths])
    for tab in tabs:
        until(lambda tab=tab: received(tab) == 10, 300)
        tab.locator(".bt-detect-all:enabled").click()
    for tab in tabs:
        until(lambda tab=tab: not tab.locator(".bt-detect-all:enabled").count(), 300)
        assert tab.locator(".bt-list option").count() == 10
    most = memory(started)
    answered = time.monotonic() - began
    for tab in tabs[1:]:
        tab.close(run_before_unload=True)
    until(lambda: len(started.tabs) == 1, 120)
    gc.collect()
    after = memory(started)
    print(
        f"\n20 tabs open after {opened:.0f} s, 200 uploads answered after {answered:.0f} s; "
        f"memory {before >> 20} MB with one tab, {most >> 20} with twenty, {after >> 20} after"
    )
    assert after < before + 0.15 * GIGABYTE
    browser.stop(started)
