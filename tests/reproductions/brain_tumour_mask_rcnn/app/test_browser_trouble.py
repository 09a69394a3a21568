"""What can break while the page is open, in Chromium: each gives a sentence and a way on."""

from __future__ import annotations

import shutil

import psutil
import pytest

from . import browser
from .browser import TURKISH, detect, leave, open_tab, until, upload
from .conftest import encoded, plain
from .stub_model import DIES, NO_MEMORY, STUCK


@pytest.fixture
def own_server(chromium, tmp_path):
    """A page of its own, whose network is given up after two seconds."""
    started = browser.start(tmp_path, "broker.LOOK=0.2", "seconds=2")
    yield started
    browser.stop(started)


def image(folder, red: int):
    path = folder / f"{red}.png"
    path.write_bytes(encoded(plain(red)))
    return path


def test_a_killed_or_stuck_network_and_too_little_memory_are_told_and_the_next_try_works(
    chromium, own_server, tmp_path
):
    tab = open_tab(chromium, own_server)
    for red, key in ((DIES, "killed"), (NO_MEMORY, "memory"), (STUCK, "time")):
        upload(tab, image(tmp_path, red))
        tab.locator(".bt-detect:enabled").click()
        tab.get_by_text(TURKISH[key]).wait_for()
        assert tab.locator(".bt-alert").get_by_role("alert").inner_text() == TURKISH[key]
    own_server.model.kill()  # while nobody waits for it
    tab.get_by_text(TURKISH["restarting_killed"]).wait_for()
    upload(tab, image(tmp_path, 200))
    detect(tab)
    assert len(own_server.log.read_text().splitlines()) == 1


def test_a_run_folder_that_is_removed_is_told_and_taken_up_when_it_is_back(
    chromium, own_server, tmp_path
):
    tab = open_tab(chromium, own_server)
    own_server.run.rename(tmp_path / "away")
    tab.get_by_text(TURKISH["folder_gone"].format(run="run")).wait_for()
    upload(tab, image(tmp_path, 200))
    detect(tab)  # the network in memory works
    second = open_tab(chromium, own_server)  # and so does a new tab
    own_server.model.kill()
    for each in (tab, second):
        each.get_by_text(TURKISH["folder_gone_stopped"].format(run="run")).wait_for()
    shutil.copytree(tmp_path / "away", own_server.run)
    second.get_by_text(TURKISH["choose"]).wait_for()
    detect(tab)


def test_a_killed_tab_process_is_told_with_a_button_that_helps(chromium, server, tmp_path):
    tab = open_tab(chromium, server)
    server.tabs[0].kill()
    tab.get_by_text(TURKISH["gone_tab"]).wait_for()
    tab.get_by_role("button", name=TURKISH["reload"]).click()
    tab.get_by_text(TURKISH["choose"]).wait_for()
    upload(tab, image(tmp_path, 200))
    detect(tab)
    leave(tab)


def test_an_answer_that_is_late_is_told_and_still_taken(chromium, server, tmp_path):
    tab = chromium.new_context().new_page()
    tab.set_default_timeout(browser.SECONDS * 1000)
    tab.clock.install()
    tab.goto(server.entrance)
    browser.wait_until_ready(tab)
    path, (process,) = image(tmp_path, 200), server.tabs
    process.suspend()
    with tab.expect_file_chooser() as chooser:
        tab.locator(".widget-upload").click()
    chooser.value.set_files(path)
    late = tab.get_by_text(TURKISH["no_answer"].format(name=path.name))
    tab.clock.fast_forward(91_000)
    late.wait_for()
    process.resume()
    tab.get_by_text(TURKISH["ready"]).wait_for()
    late.wait_for(state="hidden")
    leave(tab)


def test_a_tab_without_a_goodbye_is_ended_and_ctrl_c_ends_everything(chromium, tmp_path):
    started = browser.start(tmp_path, "abandoned_after=2")
    silent = open_tab(chromium, started)
    silent.context.close()  # without a word
    until(lambda: not started.tabs, 30)
    tab = open_tab(chromium, started)
    everything = [started.process, *started.process.children(recursive=True)]
    started.process.send_signal(browser.signal.SIGINT)
    gone, left = psutil.wait_procs(everything, timeout=30)
    assert not left
    assert started.log.read_text().splitlines()[1:] == ["ended"]
    tab.get_by_text(TURKISH["gone_server"]).wait_for()
    tab.context.close()
