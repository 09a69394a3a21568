"""Regenerate every table of every paper on synthetic images, in minutes, without data, network or
GPU: `make demo`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from common.cli import Request
from common.datasets import phantoms
from common.errors import exits_cleanly
from common.report import html
from common.training import cuda
from reproductions.brain_tumour_mask_rcnn import eval as brain_tumour_mask_rcnn
from reproductions.brecahad_slicing import eval as brecahad_slicing
from reproductions.busi_resnext_unet import eval as busi_resnext_unet
from reproductions.polyp_unet import eval as polyp_unet
from reproductions.tnbc_linknet import eval as tnbc_linknet

DATA = Path("results/demo/data")
WITHOUT_DATA = ("params",)  # its result is no demonstration but the real one


@exits_cleanly
def main() -> None:
    """Run the demonstration and say where its results are."""
    cuda.announce()
    shutil.rmtree(DATA.parent, ignore_errors=True)
    phantoms.nuclei(DATA / "tnbc", images_per_patient=3)
    phantoms.ultrasound(DATA / "busi", benign=10, malignant=6, normal=4)
    phantoms.histology(DATA / "brecahad")
    phantoms.packed_colonoscopy(DATA / "polypgen")
    phantoms.brain_mri(DATA / "brain_mri")
    request = Request(data_root=DATA, profile="smoke", encoder_weights="none")
    for paper in (
        tnbc_linknet,
        busi_resnext_unet,
        brecahad_slicing,
        polyp_unet,
        brain_tumour_mask_rcnn,
    ):
        for name, target in paper.TARGETS.items():
            if name not in WITHOUT_DATA:
                target(request)
    html.main(["--results", str(DATA.parent)])
    print(
        f"done: tables and figures of synthetic images are in {DATA.parent}; their numbers "
        "only show that it runs"
    )


if __name__ == "__main__":
    main()
