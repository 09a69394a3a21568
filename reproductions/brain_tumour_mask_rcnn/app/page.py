"""The decision-support page: upload an MR image, press "Tümör Tespiti", see and measure what the
model outlines.

`make brain-ui` serves page.ipynb, which gives each browser tab a process and a `Page` of its own.
An upload stays in that process's memory: it is neither written to disk nor logged. Research use
only, not for diagnosis.
"""

from __future__ import annotations

import asyncio
import html
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, NamedTuple, Tuple

import ipywidgets
import numpy as np
from IPython.display import HTML, display

from common.errors import InputError
from common.imaging import reading
from common.training import runs
from reproductions.brain_tumour_mask_rcnn.app import svg
from reproductions.brain_tumour_mask_rcnn.app.strings import TEXTS
from reproductions.brain_tumour_mask_rcnn.config import LOWEST_SCORE
from reproductions.brain_tumour_mask_rcnn.detections import Detections

RUN = "BRAIN_TUMOUR_RUN"  # the environment variable that names the run folder
MEGABYTES = 16  # the most that an upload may have
SIDE = 2048  # an upload may have SIDE² pixels; MR slices have up to 1024²
REPEATS = (1, 2, 4, 8, 16)  # seconds between the times that a tab is told that the model is there
COLOURS = (
    "#56b4e9",
    "#e69f00",
    "#f0e442",
    "#cc79a7",
    "#009e73",
)  # Okabe and Ito: for colour vision of any kind

# The upload widget would read and send a file of any size, and the server cuts the connection at a
# message over its limit. So the page sends nothing of a file that is too large but its name and
# size.
GUARD = """<script>(() => {
  const read = FileReader.prototype.readAsArrayBuffer;
  FileReader.prototype.readAsArrayBuffer = function (file) {
    return read.call(this, file.size > %d ? file.slice(0, 0) : file);
  };
})();</script>"""


class Origin(NamedTuple):
    """Where a model comes from, as its run folder says."""

    run: str
    data: str
    profile: str
    encoder: str
    encoder_weights: str
    min_score: float  # from which it is meant to report

    @property
    def synthetic(self) -> bool:
        """Whether it was trained on phantoms."""
        return self.data.endswith("(synthetic)")


def origin(run_folder: Path) -> Origin:
    """Read where a model comes from.

    Raises:
        InputError: `run_folder` is not that of a finished training.
    """
    if not (run_folder / "metrics.csv").exists():
        raise InputError(
            f"{run_folder}: no metrics.csv in it, expected the folder of a finished training"
        )
    try:
        config = runs.read_json(run_folder / "config.json")
        data = runs.read_json(run_folder / "environment.json")["sessions"][-1]["data"]
        names = ("profile", "encoder", "encoder_weights", "min_score")
        return Origin(run_folder.name, data, **{name: config[name] for name in names})
    except (OSError, LookupError) as error:
        raise InputError(
            f"{run_folder}: not a run of this paper (no {error}), expected one of Mask R-CNN"
        ) from None


def show() -> None:
    """Display the page for the run folder that the environment names, and load its model
    meanwhile.
    """
    run_folder = Path(os.environ[RUN])

    def load() -> Detector:
        from reproductions.brain_tumour_mask_rcnn import predict  # takes about 15 seconds

        return predict.load(run_folder)

    Page(load, origin(run_folder)).show()


Detector = Callable[[np.ndarray, float], Detections]


class Page:
    """The widgets, and what they show of one image at a time.

    Args:
        load: gives the detector, which takes an image, uint8 (H, W, 3), and a lowest score. Both
            are called outside the main thread.
        source: of the model.
    """

    def __init__(self, load: Callable[[], Detector], source: Origin):
        self._load, self._source = load, source
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._detector = self._image = self._pixel_area = self._found = None
        self._name, self._reason, self._working = "", "", False
        self._problem = None  # with the model or the image: a key of TEXTS

        self.language = ipywidgets.ToggleButtons(
            options=[("Türkçe", "tr"), ("English", "en")], value="tr"
        )
        self.upload = ipywidgets.FileUpload(
            accept="image/png,image/jpeg,image/tiff,application/dicom,.dcm,.dicom", description=""
        )
        self.detect = ipywidgets.Button(button_style="primary")
        self.threshold = ipywidgets.FloatSlider(
            source.min_score, min=LOWEST_SCORE, max=0.99, step=0.01, readout=False
        )
        parts = (
            "notice",
            "heading",
            "status",
            "threshold",
            "hint",
            "picture",
            "drawing",
            "findings",
            "footer",
        )
        self.parts = {name: ipywidgets.HTML().add_class(f"bt-{name}") for name in parts}
        notice, heading, status, threshold, hint, picture, drawing, findings, footer = (
            self.parts.values()
        )
        head = ipywidgets.HBox([heading, self.language]).add_class("bt-head")
        controls = ipywidgets.VBox(
            [self.upload, self.detect, status, threshold, self.threshold, hint]
        )
        result = ipywidgets.VBox(
            [ipywidgets.Box([picture, drawing]).add_class("bt-view"), findings]
        )
        main = ipywidgets.Box(
            [controls.add_class("bt-controls"), result.add_class("bt-result")]
        ).add_class("bt-main")
        self.root = ipywidgets.VBox([notice, head, main, footer]).add_class("bt-page")

        for widget in (self.language, self.threshold):
            widget.observe(lambda change: self._render(), "value")
        self.upload.observe(lambda change: self._receive(), "value")
        self.detect.on_click(lambda button: asyncio.ensure_future(self.examine()))
        self._render()

    def show(self) -> None:
        """Display the page, and begin to load the model."""
        style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
        display(HTML(f"<style>{style}</style>{GUARD % (MEGABYTES << 20)}"), self.root)
        asyncio.ensure_future(self.start())

    async def start(self) -> None:
        """Load the model, while the page takes an upload already."""
        try:
            self._detector = await self._aside(self._load)
        except (
            Exception
        ) as error:  # of a damaged run folder, or a missing library: the page has to say so
            self._problem, self._reason = (
                "no_model",
                " ".join(str(error).split()) or type(error).__name__,
            )
        self._render()
        asyncio.ensure_future(self._repeat())

    async def _repeat(self) -> None:
        """Say again that the model is there: a tab that was fetching the widgets just then has
        missed it.
        """
        for seconds in REPEATS:
            await asyncio.sleep(seconds)
            self.parts["status"].send_state("value")

    async def examine(self) -> None:
        """Find tumours in the image and show them, unless another image has come meanwhile."""
        image, detector = self._image, self._detector
        if image is None or detector is None or self._working:
            return
        self._working, self._found, self._problem = True, None, None
        self._render()
        found = problem = None
        try:
            found = await self._aside(lambda: detector(image, LOWEST_SCORE))
            order = np.argsort(-found.scores, kind="stable")
            found = Detections(*(part[order] for part in found))
        except (
            Exception
        ) as error:  # such as too little memory: the page has to say so, and to go on
            problem, self._reason = "failed", type(error).__name__
        self._working = False
        if image is self._image:
            self._found, self._problem = found, problem
        self._render()

    async def _aside(self, function: Callable):
        return await asyncio.get_running_loop().run_in_executor(self._worker, function)

    def _receive(self) -> None:
        if not self.upload.value:
            return
        upload = self.upload.value[0]
        self.upload.value = ()  # lets go of the bytes, and lets the same file be chosen again
        self._name, self._image, self._pixel_area, self._found = upload["name"], None, None, None
        if self._problem != "no_model":
            self._problem = None
        try:
            content = bytes(upload["content"])
            if max(upload["size"], len(content)) > MEGABYTES << 20:
                self._problem = "too_many_bytes"
            else:
                self._image = reading.to_rgb(reading.decode(content, self._name, SIDE * SIDE))
                self._pixel_area = reading.pixel_area(content)
        except reading.TooManyPixels:
            self._problem = "too_many_pixels"
        except InputError:
            self._problem = "unreadable"
        self.parts["picture"].value = "" if self._image is None else svg.picture(self._image)
        self._render()

    def _render(self) -> None:
        """Say everything anew, in the language chosen."""
        text, source = TEXTS[self.language.value], self._source
        limits = {"megabytes": MEGABYTES, "side": SIDE}
        self.upload.tooltip, self.detect.description = text["upload"], text["detect"]
        self.detect.disabled = self._image is None or self._detector is None or self._working
        other = TEXTS["en" if self.language.value == "tr" else "tr"]
        stamp = f"<p class='bt-stamp'>{text['synthetic']}</p>" if source.synthetic else ""
        network = source.encoder.replace("resnet", "ResNet-")
        drawing, findings = self._results()
        values = {
            "notice": f"<b>{text['notice']}</b> <span>{other['notice']}</span>{stamp}",
            "heading": f"<h1>{text['title']}</h1><p>{text['subtitle'].format(network=network)}</p>",
            "status": self._status(),
            "threshold": f"{text['threshold']}: <b>{self._number(self.threshold.value, 2)}</b>",
            "hint": f"<p>{text['threshold_hint']}</p><p>{text['hint'].format(**limits)}</p><p>{text['privacy']}</p>",
            "drawing": drawing,
            "findings": findings,
            "footer": f"<p>{text['model']}: {html.escape(source.run)} · {text['data']}: "
            f"{html.escape(source.data)} · {text['profile']}: {source.profile} · "
            f"{text['weights']}: {html.escape(source.encoder_weights)}</p>",
        }
        for name, value in values.items():
            self.parts[name].value = value

    def _status(self) -> str:
        text = TEXTS[self.language.value]
        if self._problem:
            key = self._problem
        elif self._working:
            key = "working"
        elif self._found is not None:
            key = "done"
        elif self._detector is None:
            key = "loading"
        else:
            key = "choose" if self._image is None else "ready"
        facts = {"name": html.escape(self._name), "reason": html.escape(self._reason)}
        message = text[key].format(megabytes=MEGABYTES, side=SIDE, **facts)
        name = ""
        if self._image is not None:
            height, width = self._image.shape[:2]
            name = f"<p class='bt-file'>{facts['name']} <span>{width} × {height}</span></p>"
        busy = " bt-busy" if key in ("loading", "working") else ""
        role = "alert" if self._problem else "status"
        return f"{name}<p role='{role}' class='bt-message{busy}'>{message}</p>"

    def _results(self) -> Tuple[str, str]:
        """The drawing over the image, and the findings in numbers with the mask to download."""
        text = TEXTS[self.language.value]
        if self._image is None:
            return f"<p class='bt-empty'>{text['empty']}</p>", ""
        if self._found is None:
            return svg.drawing(
                self._image.shape, text["picture"].format(name=html.escape(self._name)), ""
            ), ""
        shown = self._found.above(self.threshold.value)
        count, candidates = len(shown.scores), len(self._found.scores)
        shapes, rows = [], []
        for number, (box, score, mask) in enumerate(zip(*shown), start=1):
            colour, score = COLOURS[(number - 1) % len(COLOURS)], self._number(score, 2)
            shapes.append(svg.outline(mask, box, f"{number} · {score}", colour))
            rows.append((f"<i style='background:{colour}'></i>{number}", score, *self._areas(mask)))
        if count > 1:
            rows.append((text["union"], "", *self._areas(shown.union)))
        label = text["drawing"].format(name=html.escape(self._name), count=count)
        parts = [f"<h2>{text['findings']}</h2>"]
        if count:
            parts.append(
                svg.table([text["number"], text["score"], text["pixels"], text["area"]], rows)
            )
            if self._pixel_area is None:
                parts.append(f"<p class='bt-note'>{text['no_spacing']}</p>")
        else:
            parts.append(f"<p class='bt-none'>{text['none']}</p>")
        if count < candidates:
            highest = self._number(self._found.scores[count], 2)
            below = text["below"].format(count=candidates - count, score=highest)
            parts.append(f"<p class='bt-note'>{below}</p>")
        if count:
            file = html.escape(f"{Path(self._name).stem}_mask.png", quote=True)
            address = svg.data_address(shown.union.astype(np.uint8) * 255)
            parts.append(
                f"<a class='bt-download' download='{file}' href='{address}'>{text['download']}</a>"
            )
        # The surest finding comes last, over the others.
        return svg.drawing(self._image.shape, label, "".join(reversed(shapes))), "".join(parts)

    def _areas(self, mask: np.ndarray) -> Tuple[str, str]:
        pixels = int(mask.sum())
        area = "–" if self._pixel_area is None else self._number(pixels * self._pixel_area, 1)
        return self._number(pixels, 0), area

    def _number(self, value: float, decimals: int) -> str:
        written = f"{value:,.{decimals}f}"
        return (
            written.translate(str.maketrans(",.", ".,")) if self.language.value == "tr" else written
        )
