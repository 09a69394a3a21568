"""Predicting many images: what goes wrong with one of them is told, and the others go on."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from tqdm import tqdm

from common.errors import InputError
from common.imaging.levels import GreyRange
from common.imaging.listing import shown
from common.imaging.reading import LoadedImage, format_of
from common.prediction import (
    command,
    dicom_seg,
    finished_runs,
    label_maps,
    masks,
    one_image,
    record,
    source,
    worth,
)
from common.prediction.command import Options
from common.prediction.journal import Journal
from common.prediction.one_image import Writing
from common.prediction.predictor import Predictor
from common.prediction.source import Item

MANY_TILES = 8  # from which an image has a bar of its own
Load = Callable[[Sequence[Path]], Predictor]


def run(paper: str, options: Options, load: Load, partners: finished_runs.Partners) -> None:
    """Predict all images, write the tables, and end with exit code 1 if an image failed.

    Args:
        paper: name of the paper's folder.
        options: of the command line.
        load: rebuilds the network of run folders.
        partners: gives the run folders that vote with one.

    Raises:
        InputError: there is no such network, the folder of results belongs to something else, or
            nothing is there to predict.
    """
    folders = finished_runs.choose(paper, options.run, options.runs_root, partners)
    named = ", ".join(shown(folder) for folder in folders)
    print(
        f"network: {named}" + ("" if options.run else " (the newest finished; --run names another)")
    )
    predictor = load(folders)
    command.check(options, predictor)
    value = worth.of(folders, paper, predictor.aggregate)
    for line in value.lines(predictor.headline):
        print(line)
    about = record.describe(predictor, value, _way(options))
    record.check_folder(options.out, about)
    items = list(source.find(options.inputs, options.pattern, options.out))
    options.out.mkdir(parents=True, exist_ok=True)
    journal = Journal(options.out, predictor.classes)
    caption = f"{predictor.title}, protocol {value.protocol}, profile {value.profile}. {worth.USE}"
    writing = Writing(options.out, caption, value.warning, journal, options.save_probabilities)
    batch = _Batch(predictor, options, writing)
    about["left"] = len(items)
    record.write(options.out, about, batch.counts, [])
    try:
        batch.predict(items)
    except KeyboardInterrupt:
        print("what is done is kept: add --skip-existing to go on from here", file=sys.stderr)
        raise
    finally:
        journal.write_tables(f"{predictor.title}; {value.warning or worth.USE}")
        about["left"] = len(items) - batch.done
        record.write(options.out, about, batch.counts, batch.failures)
    batch.summarise()


class _Batch:
    """The images of one command, and what became of them."""

    def __init__(self, predictor: Predictor, options: Options, writing: Writing):
        self.predictor, self.options, self.writing = predictor, options, writing
        self.grey_range = GreyRange.parse(options.grey_range) if options.grey_range else None
        self.counts = {"predicted": 0, "skipped": 0, "failed": 0}
        self.failures: List[str] = []
        self.taken: Dict[str, Item] = {}
        self.done = 0
        lines = writing.journal.lines()
        self.earlier = {line["name"]: (line["file"], line.get("sha256", "")) for line in lines}

    def predict(self, items: Sequence[Item]) -> None:
        with tqdm(items, unit="image", disable=None, dynamic_ncols=True) as bar:
            for item in bar:
                try:
                    self._file(item)
                except InputError as error:
                    self._fail(str(error))
                self.done += 1

    def summarise(self) -> None:
        """Say what was done; end with exit code 1 if an image failed."""
        out = shown(self.options.out)
        told = ", ".join(f"{count} {what}" for what, count in self.counts.items() if count)
        print(f"{told or 'nothing to do'}; results: {out}")
        if self.failures:  # each has been told when it came
            sys.exit(1)

    def _file(self, item: Item) -> None:
        """Predict the frames of a file that are asked for, or the only one."""
        frames = source.frames(item, self.options.chosen_frame)
        failed = self.counts["failed"]
        wanted = [frame for frame in frames if self._is_wanted(frame)]
        for frame, image in zip(wanted, source.load(wanted, self.grey_range)):
            if isinstance(image, InputError):
                self._fail(str(image))
            else:
                self._frame(frame, image)
        if self.counts["failed"] == failed and format_of(item.path) == "DICOM":
            name = item.name if self.options.frame == "all" else frames[0].name
            self._write_segmentation(name, frames)

    def _is_wanted(self, item: Item) -> bool:
        earlier = self.taken.setdefault(item.name, item)
        if earlier is not item:
            self._fail(
                f"{item.shown}: its results would have the name of {earlier.shown}'s; predict it "
                "into another folder"
            )
            return False
        file, digest = self.earlier.get(item.name, ("", ""))
        if digest and file != item.shown and digest != source.digest(item.path):
            self._fail(
                f"{item.shown}: its results would have the name of {file}'s, which are there; "
                "predict it into another folder"
            )
            return False
        if self.options.skip_existing and masks.existing(self.options.out, item.name):
            self.counts["skipped"] += 1
            return False
        return True

    def _frame(self, item: Item, image: LoadedImage) -> None:
        try:
            line = self._predict(item, image)
        except InputError as error:
            self._fail(f"{item.shown}: {error}")
        except MemoryError:
            self._fail(f"{item.shown}: not enough memory for it")
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            self._fail(f"{item.shown}: the names of its results would be too long; rename it")
        else:
            self.counts["predicted"] += 1
            _tell(item, line)

    def _write_segmentation(self, name: str, frames: Sequence[Item]) -> None:
        """Write the masks of a DICOM file, which are there, as DICOM SEG."""
        out, classes = self.options.out, self.predictor.classes
        path = out / f"{name}_seg.dcm"
        if self.options.skip_existing and path.exists():
            return
        paths = [(frame.frame or 1, masks.existing(out, frame.name)) for frame in frames]
        labels = {number: label_maps.read(path, len(classes)) for number, path in paths if path}
        note = (self.writing.warning or "research only").capitalize()
        title = self.predictor.title
        try:
            dicom_seg.write(path, frames[0].path, labels, classes, title, note)
        except InputError as error:  # the other results are none the worse
            tqdm.write(f"  no DICOM SEG of it: {error}")

    def _predict(self, item: Item, image: LoadedImage) -> Dict[str, Any]:
        height, width = image.pixels.shape[:2]
        steps = self.predictor.steps((height, width), self.options.way)
        with tqdm(
            total=steps, desc=item.name, unit="tile", leave=False, disable=_quiet(steps)
        ) as bar:
            return one_image.predict(
                item, image, self.predictor, self.options.way, self.writing, bar.update
            )

    def _fail(self, line: str) -> None:
        self.counts["failed"] += 1
        self.failures.append(line)
        tqdm.write(f"error: {line}", file=sys.stderr)


def _quiet(steps: int) -> Any:
    """Whether an image has no bar: few tiles, or (None) no terminal."""
    return True if steps < MANY_TILES else None


def _tell(item: Item, line: Dict[str, Any]) -> None:
    found = [f"{name} {100 * part:.1f} %" for name, part in line["fractions"].items()]
    if not line["left_out"]:
        count = len(line["objects"])
        found.append(f"{count} object{'s' * (count != 1)}")
    tqdm.write(f"{item.shown}: {', '.join(found)}")
    for note in line["notes"]:
        tqdm.write(f"  {note}")


def _way(options: Options) -> Dict[str, Any]:
    return {
        "paper_way": options.paper_way,
        "overlap": options.overlap,
        "threshold": options.threshold,
        "range": options.grey_range,
    }
