"""The page in a real browser: a server with the stand-in network, and what a user does in a tab."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, List

import psutil
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from common.files import PROJECT
from reproductions.brain_tumour_mask_rcnn.app.strings import TEXTS

from .conftest import run_folder

HERE = Path(__file__).parent
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
TURKISH, ENGLISH = TEXTS["tr"], TEXTS["en"]
SECONDS = int(os.environ.get("PAGE_SECONDS", 60))  # for anything in the browser


@dataclass
class Server:
    """A running page."""

    entrance: str  # the address that it has printed
    process: psutil.Process
    folder: Path  # holds everything that it could write
    run: Path
    log: Path

    @property
    def root(self) -> str:
        return self.entrance.partition("?")[0]

    @property
    def tabs(self) -> List[psutil.Process]:
        """Processes of tabs."""
        return [p for p in self.process.children() if "ipykernel_launcher" in _command(p)]

    @property
    def model(self) -> psutil.Process:
        """The process with the network."""
        return until(lambda: [p for p in self.process.children() if "stub_model" in _command(p)])[0]


def start(folder: Path, *options: str) -> Server:
    """Start the page with a run folder of its own; options as for page_server_stub.py."""
    run, log = run_folder(folder / "run"), folder / "log"
    homes = dict.fromkeys(("HOME", "TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"), str(folder))
    command = [sys.executable, str(HERE / "page_server_stub.py"), str(run), *options]
    with log.open("w") as stream:
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**os.environ, **homes, "PYTHONPATH": str(PROJECT)},
            stdout=stream,
            stderr=stream,
        )
    until(lambda: "token" in log.read_text() or process.poll() is not None)
    printed = re.search(r"http://127.0.0.1:\d+/\?token=\S+", log.read_text())
    assert printed, log.read_text()
    return Server(printed.group(0), psutil.Process(process.pid), folder, run, log)


def stop(server: Server) -> None:
    everything = [server.process, *server.process.children(recursive=True)]
    server.process.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs(everything, timeout=SECONDS)
    commands = [_command(process) for process in left]
    for process in left:
        process.kill()
    assert not commands


def launch() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def until(condition: Callable, seconds: float = SECONDS):
    """Wait until something holds, and give it."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def open_tab(browser: Browser, server: Server, **options) -> Page:
    """Open the page in a window of its own, and wait until it can be used."""
    tab = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}).new_page()
    tab.set_default_timeout(SECONDS * 1000)
    # Choosers are watched from the start: to begin when one opens may be too late.
    tab.on("filechooser", lambda chooser: None)
    tab.goto(server.entrance)
    wait_until_ready(tab)
    return tab


def wait_until_ready(tab: Page) -> None:
    """Wait until a tab can be used; where it never can, fail with what it says instead."""
    try:
        tab.get_by_text(TURKISH["choose"]).wait_for()
    except TimeoutError:
        raise AssertionError(f"no page, but: {tab.locator('body').inner_text()!r}") from None


def leave(tab: Page) -> None:
    """Leave the page, so that it says goodbye, and close the window."""
    for page in tab.context.pages:
        page.goto("about:blank")
    tab.context.close()


def upload(tab: Page, *paths: Path) -> None:
    """Choose files, and wait until each was answered."""
    before = received(tab)
    with tab.expect_file_chooser() as chooser:
        tab.locator(".widget-upload").click()
    chooser.value.set_files([str(path) for path in paths])
    tab.wait_for_function(
        "n => JSON.parse(document.querySelector('[data-words]').dataset.words).received >= n",
        arg=before + len(paths),
    )


def received(tab: Page) -> int:
    """Number of files that the tab's process has answered."""
    said = "JSON.parse(document.querySelector('[data-words]').dataset.words).received"
    return tab.evaluate(said)


def detect(tab: Page) -> None:
    """Press the button, and wait for findings."""
    tab.locator(".bt-detect:enabled").click()
    tab.locator(".bt-findings h2").wait_for()


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
