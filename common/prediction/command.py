"""The command line of prediction, which is the same for all papers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional, Sequence, Tuple

import tyro
from typing_extensions import Annotated

from common.errors import InputError
from common.imaging.decoding import Frame
from common.imaging.levels import GreyRange
from common.prediction.predictor import Predictor, Way

LARGEST_OVERLAP = 0.9


@dataclass(frozen=True)
class Options:
    """Predict images with a trained network."""

    inputs: tyro.conf.Positional[Tuple[Path, ...]]
    """Image files, folders of images, and lists of them (.txt, one path a line)."""
    out: Path
    """Folder of the results; made if need be."""
    run: Optional[Path] = None
    """Run folder of the network; by default the newest finished one of the best profile."""
    pattern: str = "*"
    """Names of the images that are taken from folders, such as "*.png"."""
    paper_way: bool = False
    """Predict as the paper's tables do, not by overlapping, blended tiles."""
    overlap: Optional[float] = None
    """Overlap of neighbouring tiles as a fraction of their size, 0 to 0.9."""
    threshold: Optional[float] = None
    """Probability from which a pixel, or a detection, counts; by default the paper's."""
    frame: Optional[str] = None
    """Frame or page of files that have several: a number from 1, or all."""
    grey_range: Annotated[Optional[str], tyro.conf.arg(name="range")] = None
    """Grey values that become black and white in images of more than 8 bits: 0,4095 or 1%,99%."""
    skip_existing: bool = False
    """Leave images alone whose results are there: go on after an interruption."""
    save_probabilities: bool = False
    """Write the probability of each class as well."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Device that computes."""
    runs_root: Path = Path("runs")
    """Folder of the run folders."""
    cluster: Optional[str] = None
    """Dask cluster that predicts: a number of workers on this machine, or tcp://host:8786 of a
    scheduler.
    """

    @property
    def way(self) -> Way:
        """How images are predicted."""
        return Way(self.paper_way, self.overlap, self.threshold)

    @property
    def chosen_frame(self) -> Frame:
        """The frame as a number, "all" or None."""
        return int(self.frame) if self.frame and self.frame.isdigit() else self.frame


def parse(paper: str, words: Optional[Sequence[str]] = None) -> Options:
    """Read the options from words or the command line, and check what needs no network.

    Raises:
        InputError: an option is out of its range, or the results would lie among the images.
    """
    options = tyro.cli(Options, prog=f"medseg predict {paper}", args=words)
    for name, value, highest in (
        ("overlap", options.overlap, LARGEST_OVERLAP),
        ("threshold", options.threshold, 1),
    ):
        if value is not None and not 0 <= value <= highest:
            raise InputError(f"--{name} {value}: expected a number from 0 to {highest}")
    if options.paper_way and options.overlap is not None:
        raise InputError("--overlap: the paper's way, --paper-way, has its own; leave one out")
    frame = options.chosen_frame
    if frame is not None and frame != "all" and not (isinstance(frame, int) and frame > 0):
        raise InputError(f"--frame {options.frame}: expected a number from 1, or all")
    if options.grey_range is not None:
        GreyRange.parse(options.grey_range)
    if not options.inputs:
        raise InputError(f"medseg predict {paper}: name images, folders or lists to predict")
    for path in options.inputs:
        folder = path if path.is_dir() else path.parent
        if folder.resolve() == options.out.resolve():
            raise InputError(
                f"--out {options.out}: {path} lies there, perhaps with its true mask; take another "
                "folder"
            )
    return options


def choose_device(device: str) -> None:
    """Make TensorFlow compute on the CPU where that is asked for; call it before its import."""
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def check(options: Options, predictor: Predictor) -> None:
    """Hold options against a network.

    Raises:
        InputError: it has nothing that the option could change, or there is no GPU.
    """
    import tensorflow as tf  # not at the top: the device is chosen before

    if options.device == "gpu" and not tf.config.list_physical_devices("GPU"):
        raise InputError("--device gpu: TensorFlow finds none; `make setup GPU=1` adds CUDA")
    if options.overlap is not None and not predictor.by_tiles:
        raise InputError("--overlap: this network sees an image as a whole, without tiles")
    if options.threshold is not None and not predictor.has_threshold:
        raise InputError("--threshold: this network takes the likeliest class, without a threshold")
