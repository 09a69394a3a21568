"""Find lesions in images of any size: `python -m reproductions.busi_resnext_unet.predict IMAGE…
--run RUN --out DIR`.

Beside each mask (0 background, 1 benign, 2 malignant) there is a picture of the image with the
classes in colour; both are PNG, or tiled TIFF for images too large for that. For research and
teaching, not for clinical use.
"""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Tuple

import numpy as np
import tyro
from tqdm import tqdm

from common.errors import InputError, exits_cleanly
from common.imaging import limits, reading, tiling, writing
from common.imaging.listing import result_name, shown
from common.results import figures
from common.training import cuda
from reproductions.busi_resnext_unet import model
from reproductions.busi_resnext_unet.config import CLASSES, COLOURS, PATCH
from reproductions.busi_resnext_unet.train import trainer


@dataclass(frozen=True)
class Options:
    """Predict benign and malignant lesions in ultrasound images of any size."""

    images: tyro.conf.Positional[Tuple[Path, ...]]
    """Files of the formats in common/imaging/formats.py."""
    run: Path
    """Folder of a finished training, runs/busi_resnext_unet/…"""
    out: Path
    """Folder for NAME_mask and NAME_overlay; made if need be."""
    overlap: float = 0.0
    """0: patches side by side, as in the paper; else the part of a patch, up to 0.9, over which
    neighbours blend.
    """


def predict(
    path: Path, on_patches: model.PatchFunction, out: Path, overlap: float = 0.0
) -> np.ndarray:
    """Write mask and overlay of one image into `out`.

    Memory is bounded by a row of patches, not by the image: image and results lie in files, mapped.

    Args:
        path: what `common.imaging.reading.read_any` reads.
        on_patches: uint8 patches (n, 256, 256, 3) to class probabilities (n, 256, 256, 3).
        out: an existing folder.
        overlap: as in `Options`.

    Returns:
        The share of each class among the pixels, (3,).

    Raises:
        InputError: the image is not readable.
    """
    image = reading.read_any(path)
    shape = image.shape[:2]
    step = PATCH - round(overlap * PATCH)
    total = math.prod(-(-max(side - PATCH, 0) // step) + 1 for side in shape)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as scratch, tqdm(
        total=total, desc=shown(path.name), unit="patch", disable=None
    ) as progress:

        def probabilities(patches: np.ndarray) -> np.ndarray:
            progress.update(len(patches))
            return on_patches(reading.to_rgb(patches))

        def classes(patches: np.ndarray) -> np.ndarray:
            return probabilities(patches).argmax(axis=-1).astype(np.uint8)

        labels = _mapped(f"{scratch}/labels", np.uint8, shape)
        bands = [np.s_[top : top + PATCH] for top in range(0, shape[0], PATCH)]
        if overlap:
            blended = _mapped(f"{scratch}/blended", np.float32, (*shape, len(CLASSES)))
            model.overlapping(image, probabilities, overlap, blended)
            for band in bands:
                labels[band] = blended[band].argmax(axis=-1)
        else:
            model.side_by_side(image, classes, labels)

        def tiles(array: np.ndarray) -> Iterator[np.ndarray]:
            for band in bands:
                yield from tiling.split(array[band], PATCH)

        pairs = zip(tiles(image), tiles(labels))
        overlays = (
            figures.overlay(reading.to_rgb(picture), mask, COLOURS) for picture, mask in pairs
        )
        if math.prod(shape) > limits.LARGE:
            writing.write_tiff(out / f"{result_name(path)}_mask.tif", shape, tiles(labels))
            writing.write_tiff(out / f"{result_name(path)}_overlay.tif", (*shape, 3), overlays)
        else:
            writing.write_png(out / f"{result_name(path)}_mask.png", labels)
            writing.write_png(
                out / f"{result_name(path)}_overlay.png",
                tiling.merge(np.stack(list(overlays)), shape),
            )
        return (
            sum(np.bincount(labels[band].ravel(), minlength=len(CLASSES)) for band in bands)
            / labels.size
        )


def _mapped(path: str, dtype: type, shape: Tuple[int, ...]) -> np.memmap:
    """A new array in a file, whose room is taken at once: a disk that filled later would kill the
    process.
    """
    with open(path, "wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, math.prod(shape) * np.dtype(dtype).itemsize)
    return np.memmap(path, dtype, "r+", shape=shape)


@exits_cleanly
def main() -> None:
    """Predict from the command line."""
    options = tyro.cli(Options, prog=f"python -m reproductions.{trainer.paper}.predict")
    if not 0 <= options.overlap <= 0.9:
        raise InputError(
            f"--overlap {options.overlap}: expected a part of the patch from 0 to 0.9, such as 0.5"
        )
    by_name = {result_name(path): path for path in options.images}
    for path in options.images:
        other = by_name[result_name(path)]
        if other != path:
            raise InputError(
                f"{shown(path)} and {shown(other)} would have results of one name; predict them "
                "apart"
            )
        if path.resolve().parent == options.out.resolve():
            raise InputError(
                f"--out {options.out}: {shown(path)} lies there, perhaps with its true mask; take "
                "another folder"
            )
    cuda.announce()
    network, config = model.load(options.run)
    on_patches = model.on_patches(network, config)
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.images:
        shares = predict(path, on_patches, options.out, options.overlap)
        print(
            f"{shown(path)}: "
            + ", ".join(f"{name} {100 * share:.1f} %" for name, share in zip(CLASSES, shares))
        )
    print(f"written: {options.out}/*_mask and *_overlay")


if __name__ == "__main__":
    main()
