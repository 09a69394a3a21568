"""Regenerate every table of every paper on synthetic images, in minutes, without data, network or
GPU: `make demo`.
"""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import reproductions
from common.cli import Request
from common.errors import exits_cleanly
from common.report import html
from common.training import cuda

DATA = Path("results/demo/data")


def write_phantoms(data_root: Path) -> None:
    """Write the synthetic data of every paper, in the layout of a data root."""
    for name in reproductions.names():
        config = importlib.import_module(f"reproductions.{name}.config")
        phantom = importlib.import_module(f"reproductions.{name}.phantom")
        phantom.write(data_root / config.DATA_SETS[0])


@exits_cleanly
def main() -> None:
    """Run the demonstration and say where its results are."""
    cuda.announce()
    shutil.rmtree(DATA.parent, ignore_errors=True)
    write_phantoms(DATA)
    request = Request(data_root=DATA, profile="smoke", encoder_weights="none")
    for name in reproductions.names():
        paper = importlib.import_module(f"reproductions.{name}.eval").paper
        for target in paper.targets.values():
            if target.needs_data:  # without data, a result is no demonstration but the real one
                target.run(request)
    html.main(["--results", str(DATA.parent)])
    print(
        f"done: tables and figures of synthetic images are in {DATA.parent}; their numbers only "
        "show that it runs"
    )


if __name__ == "__main__":
    main()
