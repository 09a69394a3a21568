"""Regenerate every table of every paper on synthetic images, in minutes, without data, network or
GPU: `make demo`. Interrupted, it goes on where it was; finished, it keeps its networks.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import reproductions
from common import files
from common.cli import Request
from common.datasets import manifests
from common.errors import InputError, exits_cleanly
from common.report import html
from common.training import cuda

FOLDER = Path("results/demo")


def write_phantoms(data_root: Path) -> None:
    """Write the synthetic data of every paper, in the layout of a data root; leave those that an
    earlier call has written.
    """
    for name in reproductions.names():
        config = importlib.import_module(f"reproductions.{name}.config")
        phantom = importlib.import_module(f"reproductions.{name}.phantom")
        data_set = config.DATA_SETS[0]
        try:
            manifests.find(data_set, data_root, download=False)
        except InputError:
            phantom.write(data_root / data_set)


@exits_cleanly
def main() -> None:
    """Run the demonstration, or go on with it, and say where its results are."""
    cuda.announce()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with files.locked(FOLDER / ".lock", wait=False):
        data = FOLDER / "data"
        write_phantoms(data)
        request = Request(data_root=data, profile="smoke", encoder_weights="none")
        for name in reproductions.names():
            paper = importlib.import_module(f"reproductions.{name}.eval").paper
            for target in paper.targets.values():
                if target.needs_data:  # without data, a result is no demonstration but the real one
                    target.run(request)
        html.main(["--results", str(FOLDER)])
    print(
        f"done: tables and figures of synthetic images are in {FOLDER}; their numbers only show "
        "that it runs"
    )


if __name__ == "__main__":
    main()
