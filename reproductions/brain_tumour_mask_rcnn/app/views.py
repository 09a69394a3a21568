"""The parts of the page as HTML, from what is to be said. Names of files and networks are escaped
here.
"""

from __future__ import annotations

import html
import json
from typing import Dict, List, Optional, Sequence

from reproductions.brain_tumour_mask_rcnn.app import svg, uploads, wording
from reproductions.brain_tumour_mask_rcnn.app.facts import Network
from reproductions.brain_tumour_mask_rcnn.app.findings import Finding
from reproductions.brain_tumour_mask_rcnn.app.strings import LANGUAGES, TEXTS
from reproductions.brain_tumour_mask_rcnn.app.uploads import Entry

LIMITS = {
    "megabytes": uploads.MEGABYTES,
    "side": uploads.SIDE,
    "ratio": uploads.NARROWEST,
    "entries": uploads.ENTRIES,
    "together": uploads.TOGETHER,
}
LETTERS = 24  # of a file's name in the list
HIGHEST = 0.99  # threshold that can be chosen
# What the browser needs to know in words: names of controls, and what it says without the server.
NAMES = ("title", "language", "controls", "result", "upload", "threshold", "list", "downloads")
ALONE = ("gone_tab", "gone_server", "gone_address", "no_answer", "reload")


class Views:
    """Writes HTML about one network, in one language."""

    def __init__(self, language: str, network: Network):
        self.language, self.network = language, network
        self.text = TEXTS[language]

    def say(self, key: str, **facts: object) -> str:
        """Give a text with its facts filled in; they are escaped."""
        escaped = {name: html.escape(str(value)) for name, value in facts.items()}
        return self.text[key].format(**{**LIMITS, **escaped})

    def words(self, received: int, threshold: float) -> str:
        """What the browser needs: language, names of controls, and the number of files received."""
        named = {name: self.text[name].format(count="", **LIMITS) for name in NAMES}
        told = {name: self.text[name] for name in ALONE}
        words = {
            "code": self.language,
            "received": received,
            "value": threshold,
            "value_text": wording.score(threshold, self.language),
            "lowest": self.network.lowest_score,
            "highest": HIGHEST,
            "megabytes": uploads.MEGABYTES,
            **named,
            **told,
        }
        return f"<span data-words='{html.escape(json.dumps(words), quote=True)}'></span>"

    def notice(self) -> str:
        """The banner: research use only, in both languages, and what kind of network this is."""
        other = next(code for code in LANGUAGES if code != self.language)
        stamps = "".join(f"<p class='bt-stamp'>{stamp}</p>" for stamp in self.stamps())
        second = f"<span lang='{other}'>{TEXTS[other]['notice']}</span>"
        return f"<p><b>{self.text['notice']}</b> {second}</p>{stamps}"

    def heading(self) -> str:
        """Title and network."""
        encoder = self.network.encoder.replace("resnet", "ResNet-")
        return f"<h1>{self.text['title']}</h1><p>{self.say('subtitle', network=encoder)}</p>"

    def status(self, messages: Sequence[str], entry: Optional[Entry], busy: bool) -> str:
        """Which image is shown, and how it goes."""
        parts = []
        if entry is not None and any(entry.size):
            height, width = entry.size
            name = html.escape(self.name(entry))
            greys = f" · {self.text[entry.greys]}" if entry.greys else ""
            size = f"{width} × {height}{greys}"
            parts.append(f"<p class='bt-file'>{name} <span>{size}</span></p>")
        kind = "bt-message bt-busy" if busy else "bt-message"
        parts += [f"<p class='{kind}'>{message}</p>" for message in messages]
        return "".join(parts)

    def alert(self, messages: Sequence[str]) -> str:
        """What went wrong."""
        return "".join(f"<p>{message}</p>" for message in messages)

    def threshold(self, value: float) -> str:
        """Name and value of the slider."""
        return f"{self.text['threshold']}: <b>{wording.score(value, self.language)}</b>"

    def hint(self) -> str:
        """What may be uploaded, and where it stays."""
        keys = ("threshold_hint", "hint", "drop", "privacy")
        return "".join(f"<p class='bt-hint-{key}'>{self.say(key)}</p>" for key in keys)

    def footer(self) -> str:
        """Where the network comes from."""
        network, text = self.network, self.text
        data = html.escape(network.data) or text["unknown"]
        return (
            f"<p>{text['model']}: {html.escape(network.run)} · {text['data']}: {data} · "
            f"{text['profile']}: {html.escape(network.profile)} · "
            f"{text['weights']}: {html.escape(network.encoder_weights)}</p>"
        )

    def empty(self) -> str:
        """What stands where an image will be."""
        return f"<p class='bt-empty'>{self.text['empty']}</p>"

    def drawing(self, entry: Entry, shown: Sequence[Finding]) -> str:
        """What lies over the image of an entry."""
        name = self.name(entry)
        if entry.found is None:
            return svg.drawing(entry.size, self.say("picture", name=name), [], [])
        label = self.say("drawing", name=name, count=len(shown))
        return svg.drawing(entry.size, label, shown, self.labels(shown))

    def labels(self, shown: Sequence[Finding]) -> List[str]:
        """Number and score of each finding."""
        return [
            f"{number} · {wording.score(finding.score, self.language)}"
            for number, finding in enumerate(shown, start=1)
        ]

    def findings(self, entry: Entry, shown: Sequence[Finding], union: int) -> str:
        """The table of findings, and what has to be said beside it.

        Args:
            entry: an image that was examined.
            shown: its findings that reach the threshold.
            union: number of pixels of all their masks together.
        """
        text = self.text
        parts = [f"<h2>{text['findings']}</h2>"]
        if shown:
            parts.append(self._table(entry, shown, union))
        else:
            parts.append(f"<p class='bt-none'>{text['none']}</p>")
        if shown and entry.pixel_area is None:
            parts.append(f"<p class='bt-note'>{text['no_spacing']}</p>")
        below = (entry.found or [])[len(shown) :]
        if below:
            best = wording.score(below[0].score, self.language)
            parts.append(
                f"<p class='bt-note'>{self.say('below', count=len(below), score=best)}</p>"
            )
        return "".join(parts)

    def measured(self, threshold: float) -> str:
        """How good the network is, as far as it was measured."""
        said = " ".join(self.measured_sentences(threshold))
        return f"<h2>{self.text['measured']}</h2><p>{said}</p>"

    def measured_sentences(self, threshold: float) -> List[str]:
        """The same as sentences, without HTML."""
        scores, text, language = self.network.measured, self.text, self.language
        if scores is None:
            return [text["measured_none"]]
        facts = {
            "threshold": wording.score(self.network.min_score, language),
            "sensitivity": wording.percent(scores.sensitivity, language),
            "false_positives": wording.number(
                wording.rounded_up(scores.false_positives), 2, language
            ),
            "dice": wording.score(scores.dice, language),
        }
        where = "measured_run_synthetic" if self.network.synthetic else "measured_run"
        said = [self.say(where, images=scores.images), self.say("measured_scores", **facts)]
        if abs(threshold - self.network.min_score) > 1e-9:
            said.append(text["measured_elsewhere"])
        return said

    def stamps(self) -> List[str]:
        """Sentences that warn of a network that is not the source's."""
        facts = {
            "steps": self.network.steps,
            "full": self.network.full_steps,
            "profile": self.network.profile,
        }
        return [self.say(key, **facts) for key in self.network.stamps]

    def name(self, entry: Entry, most: int = 1000) -> str:
        """Name of an image: its file, in at most so many letters, and, where that has several, its
        frame. Not escaped.
        """
        name = entry.name
        if len(name) > most:  # of numbered files the end says which
            name = f"{name[: most // 3]}…{name[-(most - most // 3 - 1) :]}"
        if entry.frames == 1:
            return name
        facts: Dict[str, object] = {"name": name, "frame": entry.index + 1}
        return self.text["entry_frame"].format(**facts, frames=entry.frames)

    def option(self, number: int, entry: Entry, threshold: float) -> str:
        """Line of an image in the list. Not escaped: the list takes text."""
        if entry.problem:
            state = self.text["entry_bad"]
        elif entry.found is None:
            state = self.text["entry_new"]
        else:
            count = sum(finding.score >= threshold for finding in entry.found)
            state = self.text["entry_found"].format(count=count)
        return f"{number}. {state} – {self.name(entry, LETTERS)}"

    def note(self, threshold: float) -> str:
        """One line for files that leave the page. Not escaped."""
        network = self.network
        return self.text["file_note"].format(
            notice=self.text["notice"],
            run=network.run,
            data=network.data or self.text["unknown"],
            profile=network.profile,
            threshold=wording.score(threshold, self.language),
        )

    def _table(self, entry: Entry, shown: Sequence[Finding], union: int) -> str:
        keys = ("number", "score", "pixels", "area")
        head = "".join(f"<th scope='col'>{self.text[key]}</th>" for key in keys)
        body = []
        for number, finding in enumerate(shown, start=1):
            mark = self.say("mark", number=number)
            chip = f"<i style='background:{svg.colour(number)}'></i>"
            button = (
                f"<button type='button' class='bt-pick' data-number='{number}' "
                f"aria-pressed='false' aria-label='{mark}'>{chip}{number}</button>"
            )
            score = wording.score(finding.score, self.language)
            cells = [button, score, *self._areas(entry, finding.pixels)]
            body.append(f"<tr data-number='{number}'>{_cells(cells)}</tr>")
        if len(shown) > 1:
            cells = [self.text["union"], "", *self._areas(entry, union)]
            body.append(f"<tr>{_cells(cells)}</tr>")
        caption = f"<caption>{self.text['findings']}</caption>"
        return (
            f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        )

    def _areas(self, entry: Entry, pixels: int) -> List[str]:
        if entry.pixel_area is None:
            return [wording.number(pixels, 0, self.language), "–"]
        area = wording.number(pixels * entry.pixel_area, 1, self.language)
        return [wording.number(pixels, 0, self.language), area]


def _cells(cells: Sequence[str]) -> str:
    return "".join(f"<td>{cell}</td>" for cell in cells)
