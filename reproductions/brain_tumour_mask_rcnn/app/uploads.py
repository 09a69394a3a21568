"""The list of images in a tab: every file that was chosen, and every frame of it, gets an entry,
those that cannot be read too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional, Tuple

import numpy as np

from common.errors import InputError
from common.imaging import formats
from common.imaging.decoding import AS_STORED
from reproductions.brain_tumour_mask_rcnn.app.findings import Finding

MEGABYTES = 16  # the most that a file may have
SIDE = 2048  # an image may have SIDE² pixels; MR slices have up to 1024²
NARROWEST = 100  # ratio of the sides, beyond which the network would see nothing of the image
ENTRIES = 200  # in the list
TOGETHER = 96  # megabytes of all files in the list


@dataclass
class Entry:
    """One image of the list.

    Attributes:
        name: of the file.
        content: the file's bytes; b"" where it was refused.
        index: of the frame in the file, from 0.
        frames: number of frames in the file.
        problem: why it cannot be examined, a key of the page's texts; "" where it can.
        size: height and width; 0 and 0 until it was read.
        spacing: of rows and of columns in mm, where the file tells.
        greys: how values of more than 8 bits became bytes, a key of the page's texts; "" where
            they are shown as stored.
        found: what the network found; None before it was examined.
    """

    name: str
    content: bytes
    index: int = 0
    frames: int = 1
    problem: str = ""
    size: Tuple[int, int] = (0, 0)
    spacing: Optional[Tuple[float, float]] = None
    greys: str = ""
    found: Optional[List[Finding]] = None

    @property
    def is_dicom(self) -> bool:
        """Whether the file is a DICOM file."""
        return formats.recognise(self.content[: formats.START]) == "DICOM"

    @property
    def pixel_area(self) -> Optional[float]:
        """Area of a pixel in mm², where the file tells."""
        return self.spacing[0] * self.spacing[1] if self.spacing else None


@dataclass
class Uploads:
    """The list, and which of its entries is shown."""

    entries: List[Entry] = field(default_factory=list)

    @property
    def megabytes(self) -> float:
        """Size of all files together; a file with several frames counts once."""
        files = {id(entry.content): len(entry.content) for entry in self.entries}
        return sum(files.values()) / (1 << 20)

    def add(self, name: str, content: bytes, size: int) -> Optional[int]:
        """Append a file.

        Args:
            name: of the file.
            content: its bytes; b"" where the browser has kept them back, as the file is too large.
            size: number of its bytes, as the browser says.

        Returns:
            The place of its first image, or None where the list has no room for it.
        """
        place = len(self.entries)
        if max(size, len(content)) > MEGABYTES << 20:
            new = [Entry(name, b"", problem="too_many_bytes")]
        else:
            number = count(content)
            new = [Entry(name, content, index, number) for index in range(number)]
        full = place + len(new) > ENTRIES
        if full or self.megabytes + len(new[0].content) / (1 << 20) > TOGETHER:
            return None
        self.entries += new
        return place


def count(content: bytes) -> int:
    """Number of images in a file, at most one more than the list takes; 1 where it is damaged,
    which reading it tells.
    """
    from common.imaging import reading  # see `pixels`

    try:
        return min(reading.count_frames(content), ENTRIES + 1)
    except InputError:
        return 1


def pixels(entry: Entry) -> Optional[np.ndarray]:
    """Read the image of an entry, uint8 (H, W, 3), and note its size; None, and the problem noted,
    where it cannot be read.
    """
    # Not at the top: a tab that waits for its first image needs less memory without it.
    from common.imaging import levels, reading

    if entry.problem:
        return None
    # A DICOM file says itself what is black and white. Of 16 bits in others an MR image often uses
    # so few that it would be black.
    wanted = None if entry.is_dicom else levels.GreyRange(0, 100, percentiles=True)
    try:
        image = reading.read(
            entry.content, entry.index + 1, wanted, name=entry.name, most_pixels=SIDE * SIDE
        )
    except reading.TooManyPixels:
        entry.problem = "too_many_pixels"
    except (InputError, MemoryError):
        entry.problem = "unreadable"
    else:
        height, width = image.pixels.shape[:2]
        if max(height, width) <= NARROWEST * min(height, width):
            entry.size, entry.spacing = (height, width), image.spacing
            if image.levels != AS_STORED:
                windowed = image.levels.startswith(("window", "VOI"))
                entry.greys = "greys_of_window" if windowed else "greys_of_image"
            return reading.to_rgb(image.pixels)
        entry.problem = "too_narrow"
    entry.content = b""
    return None
