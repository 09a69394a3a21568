"""The part of `make bundle` that needs packages: copying the data sets and encoder weights at hand.

`requirements/bundle.sh`, which collects the packages and lists the checksums, calls
`.venv/bin/python -m tools.bundle FOLDER`. Data sets go to FOLDER/data, a data root; files of Keras'
cache to FOLDER/keras/models; other weights to FOLDER/weights.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
from pathlib import Path
from typing import List, Optional

import h5py
from tqdm import tqdm

from common.datasets.manifests import MANIFESTS, DataSet, find, load_manifest, matching, verify
from common.errors import InputError, exits_cleanly
from common.files import atomic_path, sha256

CACHE = Path.home() / ".keras/models"  # where Keras keeps what it downloads


def copy_data(data: DataSet, root: Path) -> Path:
    """Copy a data set into its folder in the data root `root`, unless the same one is there.
    Returns that folder.

    Raises:
        InputError: the copy is not the data set, because a file changed or links lead elsewhere.
    """
    manifest = load_manifest(data.name)
    target = root / manifest.folder
    with contextlib.suppress(InputError):
        if verify(manifest, target).fingerprint == data.fingerprint:
            return target
    partial = target.with_name(f".partial-{target.name}")
    shutil.rmtree(partial, ignore_errors=True)  # left behind by a run that was killed
    for path in tqdm(matching(data.folder, "**/*"), desc=f"bundle: {data.name}", disable=None):
        if path.is_file():
            copy = partial / path.relative_to(data.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    if not partial.is_dir() or verify(manifest, partial).fingerprint != data.fingerprint:
        raise InputError(
            f"{data.folder}: its copy differs, expected files that nobody changes and no links "
            "to folders"
        )
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target


def copy_weights(path: Path, folder: Path) -> Path:
    """Copy an .h5 file into `folder`, unless the same one is there. Returns the copy's path.

    Raises:
        InputError: no such file, or not a complete .h5 file.
    """
    try:
        h5py.File(path, "r").close()  # a download cut short lacks its end, and does not open
    except OSError as error:
        raise InputError(
            f"{path}: expected a complete Keras .h5 file ({' '.join(str(error).split())})"
        ) from None
    target = folder / path.name
    if not target.is_file() or sha256(target) != sha256(path):
        with atomic_path(target) as temporary:
            shutil.copyfile(path, temporary)
    return target


@exits_cleanly
def main(argv: Optional[List[str]] = None) -> None:
    """Command line: copy what is at hand into a bundle, and name what is left out and why."""
    parser = argparse.ArgumentParser(
        prog=".venv/bin/python -m tools.bundle", description=main.__doc__
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--data-root", type=Path, help="folder that holds the data sets; by default data/"
    )
    parser.add_argument(
        "--encoder-weights", default="", help="as for training; the files it names are taken along"
    )
    arguments = parser.parse_args(argv)
    for name in sorted(path.stem for path in MANIFESTS.glob("*.yaml")):
        try:
            data = find(name, arguments.data_root, download=False)
        except InputError as error:
            print(f"bundle: without {name}: {error}")
            continue
        print(f"bundle: {data.title}: {copy_data(data, arguments.folder / 'data')}")
    encoders = CACHE.glob("*no*top.h5")  # the others end in a classifier
    for path in sorted([*encoders, *CACHE.glob("mask_rcnn_coco.h5")]):
        try:
            print(f"bundle: {copy_weights(path, arguments.folder / 'keras/models')}")
        except InputError as error:
            print(f"bundle: left out {error}")
    for value in arguments.encoder_weights.split(","):
        file = value.rpartition("=")[2]
        if file not in ("", "none", "imagenet"):
            print(f"bundle: {copy_weights(Path(file), arguments.folder / 'weights')}")


if __name__ == "__main__":
    main()
