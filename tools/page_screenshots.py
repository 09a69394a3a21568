"""Take screenshots of the decision-support page in Chromium: light, dark, and on a phone.

    .venv/bin/python -m tools.page_screenshots --out docs --kinds light      # the one in the README
    .venv/bin/python -m tools.page_screenshots --run RUN_FOLDER --image IMAGE

Without a run folder nothing is detected: a stand-in for the network answers with the outlines that
a synthetic slice was drawn with. Playwright and Chromium are needed, as for the tests of the page.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Literal, Optional, Tuple

import numpy as np
import tyro

from common.errors import InputError, exits_cleanly
from common.imaging.reading import read_rgb
from reproductions.brain_tumour_mask_rcnn import annotation_files, phantom
from reproductions.brain_tumour_mask_rcnn.app import model_process, serve
from reproductions.brain_tumour_mask_rcnn.app.facts import Network
from reproductions.brain_tumour_mask_rcnn.config import LOWEST_SCORE, PROFILES
from reproductions.brain_tumour_mask_rcnn.detections import Detections

MODULE = "tools.page_screenshots"
KINDS: Dict[str, dict] = {
    "light": {"viewport": {"width": 1200, "height": 900}},
    "dark": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 780}, "device_scale_factor": 2},
}
CONFIDENCES = (0.953, 0.847, 0.756, 0.713)  # that the stand-in gives, one after the other
MILLISECONDS = 120_000  # for anything in the browser


@dataclass(frozen=True)
class Options:
    """Take screenshots of the decision-support page."""

    out: Path = Path("results/demo/page")
    """Folder for page-light.png and so on."""
    kinds: Tuple[Literal["light", "dark", "phone"], ...] = ("light", "dark", "phone")
    """Which screenshots."""
    language: Literal["en", "tr"] = "en"
    """Of the page."""
    run: Optional[Path] = None
    """Folder of a finished training; by default the stand-in answers."""
    image: Optional[Path] = None
    """The image that is examined; by default a synthetic slice."""
    data_root: Optional[Path] = None
    """Folder that holds the data sets, for the scores of the network."""


def stand_in(folder: Path) -> Network:
    """What the page says about the stand-in, which knows the slices in this folder."""
    config = PROFILES["paper"]
    steps = config.epochs * config.steps_per_epoch
    name, data = f"none, outlines of {folder.name}", "brain_mri phantoms (synthetic)"
    return Network(
        *(name, data, config.profile, config.encoder, "none", config.min_score),
        lowest_score=LOWEST_SCORE,
        steps=steps,
        full_steps=steps,
    )


def answer(folder: Path, number: int) -> None:
    """Stand in for the process with the network, on the socket of this number."""
    outlines = annotation_files.read(folder / "annotations.json")
    known = {read_rgb(folder / name).tobytes(): name for name in outlines}

    def detect(image: np.ndarray, min_score: float) -> Detections:
        name = known.get(image.tobytes())
        polygons = outlines[name] if name else []
        masks = annotation_files.draw(polygons, image.shape[:2], str(name))
        boxes = [[*points.min(axis=0), *points.max(axis=0)] for points in polygons]
        scores = np.array(CONFIDENCES[: len(masks)], np.float32)
        return Detections(np.array(boxes, np.float32).reshape(-1, 4), scores, masks)

    model_process.answer(socket.socket(fileno=number), lambda: detect)


def serve_stand_in(folder: Path) -> None:
    """Serve the page with the stand-in, until interrupted."""
    (folder / "weights.h5").touch()  # or the page says that the network has gone
    command = [sys.executable, "-m", MODULE, "answer", str(folder)]
    serve.serve(stand_in(folder), folder, serve.Options(port=0), command)


def slice_with_most_tumours(folder: Path) -> Path:
    """Draw synthetic slices; give the one with the most tumours."""
    phantom.write(folder, train=1, val=0, test=7, size=384)
    outlines = annotation_files.read(folder / "test/annotations.json")
    return folder / "test" / max(outlines, key=lambda name: len(outlines[name]))


@exits_cleanly
def main() -> None:
    """Take the screenshots."""
    options = tyro.cli(Options, prog=f".venv/bin/python -m {MODULE}")
    with tempfile.TemporaryDirectory() as folder:
        drawn = slice_with_most_tumours(Path(folder) / "phantom")
        command = [sys.executable, "-m", MODULE, "serve", str(drawn.parent)]
        if options.run:
            command = [sys.executable, "-m", serve.__name__, "--run", str(options.run)]
            command += ["--port", "0"]
            command += ["--data-root", str(options.data_root)] if options.data_root else []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                photograph(_address(server), options.image or drawn, options)
            finally:
                server.terminate()


def photograph(address: str, image: Path, options: Options) -> None:
    """Examine an image on the page at this address, and write the screenshots."""
    from playwright.sync_api import sync_playwright  # not at the top: the server needs none

    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        raise InputError(f"no {' or '.join(names)} in PATH; install Chromium")
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for kind in options.kinds:
            tab = browser.new_context(**KINDS[kind]).new_page()
            tab.set_default_timeout(MILLISECONDS)
            tab.goto(address)
            if options.language == "en":
                tab.get_by_role("button", name="English").click()
            with tab.expect_file_chooser() as chooser:
                tab.locator(".widget-upload").click()
            chooser.value.set_files(str(image))
            tab.locator(".bt-detect:enabled").click()
            tab.locator(".bt-findings h2").wait_for()
            tab.mouse.move(0, 0)
            path = options.out / f"page-{kind}.png"
            tab.screenshot(path=path, full_page=True)
            print(f"written: {path}")
            tab.goto("about:blank")
        browser.close()


def _address(server: subprocess.Popen) -> str:
    said: List[str] = []
    for line in server.stdout or ():
        found = re.search(r"http://\S+token=\S+", line)
        if found:
            return found.group()
        said.append(line.strip())
    raise InputError(f"the page did not start: {' '.join(said)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve_stand_in(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["answer"]:
        answer(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
