"""What a paper's trained network offers to prediction: its classes, and a prediction of any image.

`reproductions/<paper>/predictor.py` fills this in with the code that the paper's tables use.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import pandas

Tick = Callable[..., object]  # called for every tile that is done, or with a number of them


class TargetClass(NamedTuple):
    """A class that is segmented.

    Attributes:
        value: in masks, from 1.
        name: such as "nucleus".
        colour: red, green and blue, 0 to 255, in masks and overlays.
        code: SNOMED CT code and its meaning, for DICOM.
        is_anatomy: whether that is a structure of the healthy body.
    """

    value: int
    name: str
    colour: Tuple[int, int, int]
    code: Tuple[str, str]
    is_anatomy: bool = False


@dataclass(frozen=True)
class Way:
    """How an image is predicted.

    Attributes:
        as_paper: as the paper's tables do; else by overlapping, blended tiles, where that differs.
        overlap: of neighbouring tiles as a fraction of their size; None for the network's own.
        threshold: of the probability; None for the paper's.
    """

    as_paper: bool = False
    overlap: Optional[float] = None
    threshold: Optional[float] = None


class Band(NamedTuple):
    """Complete rows of a prediction.

    Attributes:
        top: first row.
        labels: uint8 (rows, W), 0 for background, else the value of a class.
        probabilities: float32 (rows, W, K) of the K classes, in their order, without background.
    """

    top: int
    labels: np.ndarray
    probabilities: np.ndarray


class Found(NamedTuple):
    """An object that a network finds by itself.

    Attributes:
        value: of its class.
        probability: of the network, 0 to 1.
        top, left: of the crop that `mask` is.
        mask: bool (h, w).
    """

    value: int
    probability: float
    top: int
    left: int
    mask: np.ndarray


class Prediction(NamedTuple):
    """A prediction of one image: its rows from top to bottom and, of a network that finds objects,
    these; else objects are the connected components of the rows.
    """

    bands: Iterator[Band]
    found: Optional[List[Found]] = None


class Member(NamedTuple):
    """A trained network: its run folder, its Config and itself, ready to be called."""

    folder: Path
    config: Any
    network: Any


class Predictor(abc.ABC):
    """A finished run, or several that vote, as a function of images.

    Attributes:
        paper: name of the paper's folder.
        title: of the network, such as "LinkNet, ResNeXt50".
        classes: what it segments, by value from 1.
        connectivity: of the pixels of an object, 4 or 8.
        overlap: of neighbouring tiles where none is asked for, as a fraction of their size.
        by_tiles: whether large images are predicted by tiles; else as a whole, shrunk.
        has_threshold: whether a pixel's class is decided by a threshold of its probability.
        members: the runs.
        headline: names of the scores that are shown first.
    """

    paper: str
    title: str
    classes: Tuple[TargetClass, ...]
    connectivity: int = 8
    overlap: float = 0.25
    by_tiles: bool = True
    has_threshold: bool = True
    members: Sequence[Member]
    headline: Tuple[str, ...] = ()

    @abc.abstractmethod
    def predict(self, image: np.ndarray, way: Way, tick: Tick) -> Prediction:
        """Predict an image, uint8 (H, W, 1, 3 or 4), which may be a memory map.

        Raises:
            InputError: the image is too large for the way that is asked for.
        """

    @abc.abstractmethod
    def steps(self, shape: Tuple[int, int], way: Way) -> int:
        """How many tiles `predict` does for an image of this height and width."""

    @abc.abstractmethod
    def aggregate(self, table: pandas.DataFrame) -> Dict[str, float]:
        """Summarise the scores per image of this network's own test images, as its table does."""

    def overlap_of(self, way: Way) -> float:
        """The overlap of neighbouring tiles: the one asked for, or the network's own."""
        return self.overlap if way.overlap is None else way.overlap

    def preprocessing(self, member: Member) -> Optional[List[Dict[str, Any]]]:
        """The steps from RGB, uint8, to what the network gets, for programs that run its ONNX form;
        None where it has none.
        """
        return None
