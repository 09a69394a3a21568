"""The decision-support page: upload MR images, press "Tümör Tespiti", see and measure what the
network outlines.

`make brain-ui` serves web/page.ipynb, which gives each browser tab a small process and a `Page` of
its own; one process with the network is shared by all. An upload stays in the memory of these two,
and of one more while it is decoded: it is neither written to disk nor logged. Research use only,
not for diagnosis.
"""

from __future__ import annotations

import asyncio
import base64
import html
import os
from pathlib import Path
from typing import Coroutine, List, Optional, Set, Tuple

import ipywidgets
import numpy as np
from IPython.display import display

from common.errors import InputError
from common.imaging import formats
from common.imaging.listing import result_name
from reproductions.brain_tumour_mask_rcnn.app import downloads, facts, findings, svg
from reproductions.brain_tumour_mask_rcnn.app import uploads as lists
from reproductions.brain_tumour_mask_rcnn.app.facts import Network
from reproductions.brain_tumour_mask_rcnn.app.findings import Finding
from reproductions.brain_tumour_mask_rcnn.app.model_client import DetectionError, ModelClient
from reproductions.brain_tumour_mask_rcnn.app.strings import LANGUAGES
from reproductions.brain_tumour_mask_rcnn.app.uploads import Entry, Uploads
from reproductions.brain_tumour_mask_rcnn.app.views import HIGHEST, Views
from reproductions.brain_tumour_mask_rcnn.app.wording import rounded_down

PARTS = (
    *("words", "notice", "heading", "status", "alert", "threshold", "hint", "picture", "drawing"),
    *("findings", "measured", "handout", "footer"),
)
FILES = ("mask", "seg", "overlay", "csv")
LINES = 8  # of the list that are seen at once


def show() -> None:
    """Display the page of a tab, about the network and the broker that the environment names."""
    network = facts.from_json(os.environ[facts.VARIABLE])
    Page(ModelClient(Path(os.environ[facts.SOCKET])), network).show()


class Page:
    """The widgets, and what they show.

    Args:
        model: finds tumours, and tells how its process is.
        network: what is known about it.
    """

    def __init__(self, model: ModelClient, network: Network):
        self._model, self._network = model, network
        self._state = {"state": "loading", "reason": "", "folder": True}  # of the model process
        self._uploads = Uploads()
        self._current: Optional[Entry] = None
        self._image: Optional[np.ndarray] = None  # of the current entry
        self._working: List[Entry] = []  # that are being examined, or wait for it
        self._busy = ""  # a key of the texts, while something takes time
        self._refused: Tuple[str, dict] = ("", {})  # what could not be done: key and facts
        self._received = self._files = 0
        self._updating = False
        self._tasks: Set[asyncio.Future] = set()
        self._make_widgets()
        self._connect_widgets()
        self._render()

    def show(self) -> None:
        """Display the page, and listen to how the model process is."""
        display(self.root)
        self._spawn(self._model.watch(self.tell))

    def tell(self, state: dict) -> None:
        """Take in how the model process is: its `state`, the `reason`, and whether its run
        `folder` is there.
        """
        self._state = state
        self._render()

    @property
    def threshold_value(self) -> float:
        """The threshold chosen, to the hundredth that is shown."""
        return rounded_down(round(self.threshold.value, 2))

    # Widgets

    def _make_widgets(self) -> None:
        options = [(name, code) for code, name in LANGUAGES.items()]
        self.language = ipywidgets.ToggleButtons(options=options, value="tr")
        self.upload = ipywidgets.FileUpload(accept=formats.ACCEPT, multiple=True, description="")
        self.list = ipywidgets.Select(options=[], rows=2).add_class("bt-list")
        self.clear = ipywidgets.Button().add_class("bt-clear")
        self.detect = ipywidgets.Button(button_style="primary").add_class("bt-detect")
        self.detect_all = ipywidgets.Button().add_class("bt-detect-all")
        lowest = self._network.lowest_score
        self.threshold = ipywidgets.FloatSlider(
            self._network.min_score, min=lowest, max=HIGHEST, step=0.01, readout=False
        )
        self.files = {name: ipywidgets.Button().add_class("bt-file-button") for name in FILES}
        self.parts = {name: ipywidgets.HTML().add_class(f"bt-{name}") for name in PARTS}
        self.root = self._arranged()

    def _arranged(self) -> ipywidgets.VBox:
        part = self.parts
        several = ipywidgets.VBox([self.list, self.clear, self.detect_all]).add_class("bt-several")
        self.several = several
        head = ipywidgets.HBox([part["heading"], self.language]).add_class("bt-head")
        controls = ipywidgets.VBox(
            [
                *(self.upload, self.detect, several, part["status"], part["alert"]),
                *(part["threshold"], self.threshold, part["hint"]),
            ]
        ).add_class("bt-controls")
        view = ipywidgets.Box([part["picture"], part["drawing"]]).add_class("bt-view")
        self.downloads = ipywidgets.HBox(list(self.files.values())).add_class("bt-downloads")
        result = ipywidgets.VBox(
            [view, part["findings"], self.downloads, part["measured"]]
        ).add_class("bt-result")
        main = ipywidgets.Box([controls, result]).add_class("bt-main")
        return ipywidgets.VBox(
            [part["notice"], head, main, part["footer"], part["words"], part["handout"]]
        ).add_class("bt-page")

    def _connect_widgets(self) -> None:
        for widget in (self.language, self.threshold):
            widget.observe(lambda change: self._render(), "value")
        self.upload.observe(lambda change: self._receive(), "value")
        self.list.observe(lambda change: self._choose(), "index")
        self.clear.on_click(lambda button: self._empty())
        self.detect.on_click(lambda button: self._spawn(self.examine()))
        self.detect_all.on_click(lambda button: self._spawn(self.examine_all()))
        for name, button in self.files.items():
            button.on_click(lambda button, name=name: self._spawn(self.download(name)))

    def _spawn(self, work: Coroutine) -> None:
        """Do something beside the widgets' messages; it is held until it is done."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What the user does

    def _receive(self) -> None:
        """Take what was uploaded into the list, and show the last of it."""
        received, self.upload.value = self.upload.value, ()  # so that it holds no bytes
        for file in received:
            self._refused, self._busy = ("", {}), "reading"
            self._render(name=file["name"])
            place = self._uploads.add(file["name"], bytes(file["content"]), file["size"])
            self._busy = ""
            if place is None:
                self._refused = ("list_full", {"name": file["name"]})
            else:
                self._open(self._uploads.entries[place])
            self._received += 1
            self._render()

    def _choose(self) -> None:
        if not self._updating and self.list.index is not None:
            self._refused = ("", {})
            self._open(self._uploads.entries[self.list.index])
            self._render()

    def _open(self, entry: Optional[Entry]) -> None:
        """Make an entry the one that is shown."""
        self._current = entry
        self._image = None if entry is None else lists.pixels(entry)
        self.parts["picture"].value = "" if self._image is None else svg.picture(self._image)

    def _empty(self) -> None:
        self._uploads, self._refused = Uploads(), ("", {})
        self._open(None)
        self._render()

    async def examine(self) -> None:
        """Find tumours in the image that is shown."""
        if self._current is not None and not self._working:
            await self._examine([self._current])

    async def examine_all(self) -> None:
        """Find tumours in every image of the list that was not examined yet."""
        if not self._working:
            await self._examine([entry for entry in self._uploads.entries if entry.found is None])

    async def _examine(self, entries: List[Entry]) -> None:
        self._working = [entry for entry in entries if not entry.problem]
        self._refused = ("", {})
        try:
            while self._working:
                entry = self._working[0]
                entry.found = None
                self._render()
                image = self._image if entry is self._current else lists.pixels(entry)
                if image is not None:
                    entry.found = await self._model.detect(image, self._network.lowest_score)
                self._working = self._working[1:]
                if all(entry is not other for other in self._uploads.entries):
                    break  # the list was emptied meanwhile
        except DetectionError as error:
            self._refused = (error.key, {"reason": error.reason})
        finally:
            self._working = []
            self._render()

    async def download(self, kind: str) -> None:
        """Hand a file to the browser: `mask`, `seg`, `overlay` or `csv`."""
        entry, image = self._current, self._image
        if entry is None or image is None or entry.found is None:
            return
        self._refused, self._busy = ("", {}), "preparing"
        self._render()
        loop = asyncio.get_running_loop()
        try:
            name, content = await loop.run_in_executor(None, self._file, kind, entry, image)
        except InputError as error:
            self._refused = ("seg_failed", {"reason": error})
        else:
            self._files += 1
            address = f"data:application/octet-stream;base64,{base64.b64encode(content).decode()}"
            named = html.escape(name, quote=True)
            self.parts[
                "handout"
            ].value = f"<a data-file='{self._files}' download='{named}' href='{address}'></a>"
        self._busy = ""
        self._render()

    # Files

    def _file(self, kind: str, entry: Entry, image: np.ndarray) -> Tuple[str, bytes]:
        """Name and bytes of a file about an entry."""
        views, threshold = self._views(), self.threshold_value
        shown, note = self._shown(entry), views.note(threshold)
        stem = result_name(Path(entry.name)) + (f"_{entry.index + 1}" if entry.frames > 1 else "")
        mask = findings.union(shown, *entry.size)
        if kind == "mask":
            return f"{stem}_mask.png", downloads.mask_png(mask, entry.spacing, note)
        if kind == "overlay":
            labels, notes = views.labels(shown), self._notes(views)
            return f"{stem}_overlay.png", downloads.overlay_png(image, shown, labels, notes)
        if kind == "seg":
            masks = np.zeros((entry.frames, *entry.size), bool)
            masks[entry.index] = mask
            english = Views("en", self._network).text["notice"]
            content = downloads.dicom_seg(entry.content, masks, self._network.run, english)
            return f"{stem}_seg.dcm", content
        return "findings.csv", downloads.table_csv(self._rows(views))

    def _notes(self, views: Views) -> List[str]:
        """Lines below an image that leaves the page: what it may be used for, and the network."""
        return [views.note(self.threshold_value), *views.stamps()]

    def _rows(self, views: Views) -> List[tuple]:
        """The table of all images examined; numbers as in English, so that programs read them."""
        rows: List[tuple] = []
        network, notes = self._network, " ".join(self._notes(views))
        about = (self.threshold_value, network.run, network.data, notes)
        for entry in self._uploads.entries:
            if entry.found is None:
                continue
            shown = self._shown(entry)
            if not shown:
                rows.append((entry.name, entry.index + 1, 0, *[""] * 7, *about))
            for number, finding in enumerate(shown, start=1):
                y1, x1, y2, x2 = (round(side, 1) for side in finding.box)
                area = (
                    "" if entry.pixel_area is None else round(finding.pixels * entry.pixel_area, 2)
                )
                score = f"{rounded_down(finding.score):.2f}"
                place = (entry.name, entry.index + 1, number, score, x1, y1, x2, y2)
                rows.append((*place, finding.pixels, area, *about))
        return rows

    # What is shown

    def _views(self) -> Views:
        return Views(self.language.value, self._network)

    def _shown(self, entry: Entry) -> List[Finding]:
        """Findings of an entry that reach the threshold."""
        return [f for f in entry.found or [] if f.score >= self.threshold_value]

    def _render(self, **facts: object) -> None:
        """Say everything anew, in the language chosen."""
        views, entry = self._views(), self._current
        drawing, found = self._results(views)
        values = {
            "words": views.words(self._received, self.threshold_value),
            "notice": views.notice(),
            "heading": views.heading(),
            "status": views.status(self._messages(views, facts), entry, self._waits()),
            "alert": views.alert(self._alerts(views)),
            "threshold": views.threshold(self.threshold_value),
            "hint": views.hint(),
            "drawing": drawing,
            "findings": found,
            "measured": views.measured(self.threshold_value),
            "footer": views.footer(),
        }
        for name, value in values.items():
            self.parts[name].value = value
        self._render_controls(views)
        self._render_list(views)

    def _render_controls(self, views: Views) -> None:
        text, entry = views.text, self._current
        self.upload.tooltip, self.clear.description = text["upload"], text["clear"]
        self.detect.description = text["detect"]
        ready = self._state["state"] == "ready" and not self._working
        self.detect.disabled = not ready or self._image is None
        new = [e for e in self._uploads.entries if e.found is None and not e.problem]
        self.detect_all.description = views.say("detect_all", count=len(new))
        self.detect_all.disabled = not ready or not new
        self.clear.disabled = bool(self._working)
        _show(self.downloads, entry is not None and entry.found is not None)
        _show(self.files["seg"], entry is not None and entry.is_dicom)
        for name, button in self.files.items():
            button.description = text[f"download_{name}"]
            button.disabled = self._busy == "preparing"

    def _render_list(self, views: Views) -> None:
        entries = self._uploads.entries
        _show(self.several, len(entries) > 1)
        threshold = self.threshold_value
        options = tuple(views.option(n, e, threshold) for n, e in enumerate(entries, start=1))
        self._updating = True
        if options != tuple(self.list.options):
            self.list.options, self.list.rows = options, max(2, min(len(options), LINES))
        places = [place for place, entry in enumerate(entries) if entry is self._current]
        self.list.index = places[0] if places else None
        self._updating = False

    def _results(self, views: Views) -> Tuple[str, str]:
        """The drawing over the image, and the table of findings."""
        entry = self._current
        if entry is None or self._image is None:
            return views.empty(), ""
        if entry.found is None:
            return views.drawing(entry, []), ""
        shown = self._shown(entry)
        union = int(findings.union(shown, *entry.size).sum())
        return views.drawing(entry, shown), views.findings(entry, shown, union)

    def _waits(self) -> bool:
        """Whether something goes on that the user waits for."""
        return bool(self._working or self._busy) or self._state["state"] in (
            "loading",
            "restarting",
        )

    def _messages(self, views: Views, facts: dict) -> List[str]:
        """How it goes, in one sentence."""
        state, entry = self._state, self._current
        if self._busy:
            return [views.say(self._busy, **facts)]
        if self._working:
            return [views.text["working"]]
        if state["state"] == "restarting" and state["folder"]:
            return [views.text[f"restarting_{state['reason']}"]]
        if state["state"] == "loading":
            return [views.text["loading"]]
        if self._refused[0] or state["state"] != "ready":
            return []
        if entry is None:
            return [views.text["choose"]]
        if entry.problem:
            return []
        if entry.found is None:
            return [views.text["ready"]]
        shown = self._shown(entry)
        if not shown:
            return [views.say("done", count=0)]
        best = views.labels(shown)[0].split(" · ")[1]
        return [views.say("done_best", count=len(shown), score=best)]

    def _alerts(self, views: Views) -> List[str]:
        """What went wrong, and what can be done."""
        alerts, state, entry = [], self._state, self._current
        if not state["folder"]:
            works = state["state"] == "ready"
            key = "folder_gone" if works else "folder_gone_stopped"
            alerts.append(views.say(key, run=self._network.run))
        elif state["state"] == "failed":
            alerts.append(views.say("model_failed", reason=state["reason"]))
        key, facts = self._refused
        if key:
            alerts.append(views.say(key, **facts))
        elif entry is not None and entry.problem:
            alerts.append(views.say(entry.problem, name=entry.name))
        return alerts


def _show(widget: ipywidgets.DOMWidget, visible: bool) -> None:
    """Show a widget or take it off the page."""
    widget.layout.display = None if visible else "none"
