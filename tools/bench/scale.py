"""How much work the cases do: all of it, two minutes of it, or just enough to see them run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple


@dataclass(frozen=True)
class Scale:
    """Sizes of all cases. Images are square, their sides in pixels; nuclei are (count, side of the
    map).
    """

    name: str
    rounds: int  # of a comparison, at most
    seconds: float  # after which a comparison begins no further round
    nuclei: Tuple[Tuple[int, int], ...]
    most_nuclei: Tuple[int, int]
    dense_nuclei: Tuple[int, int]  # where AJI+ is held against AJI
    ids: int  # side of the map in which every pixel is an instance
    growth: Tuple[int, ...]
    image: int  # cut side by side
    blended: int  # cut with overlap
    pipeline: Tuple[int, int]  # images and their side
    slices: int  # images that are cut into 225 tiles each
    steps: int  # of training on real and on synthetic input
    linknet: int
    unet: int
    encoders: Tuple[
        str, ...
    ]  # the first is built and stepped as LinkNet and U-Net, the others as LinkNet
    table: Tuple[int, int, int]  # images, their side, epochs
    matrices: int  # whose product and copy give a GPU's rates


FULL = Scale(
    name="full",
    rounds=9,
    seconds=20,
    nuclei=((80, 512), (1200, 2048)),
    most_nuclei=(5000, 4096),
    dense_nuclei=(80_000, 8192),
    ids=512,
    growth=(512, 1024, 2048, 4096, 8192),
    image=8192,
    blended=4096,
    pipeline=(10, 512),
    slices=8,
    steps=4,
    linknet=512,
    unet=256,
    encoders=("resnext50", "vgg19"),
    table=(5, 512, 1),
    matrices=8192,
)
QUICK = Scale(
    name="quick",
    rounds=3,
    seconds=2,
    nuclei=((80, 512), (300, 1024)),
    most_nuclei=(1250, 2048),
    dense_nuclei=(20_000, 4096),
    ids=512,
    growth=(512, 1024, 2048),
    image=2048,
    blended=1024,
    pipeline=(3, 256),
    slices=2,
    steps=3,
    linknet=128,
    unet=64,
    encoders=("resnext50",),
    table=(5, 64, 1),
    matrices=2048,
)
SMOKE = Scale(
    name="smoke",
    rounds=1,
    seconds=0,
    nuclei=((20, 256),),
    most_nuclei=(20, 256),
    dense_nuclei=(300, 512),
    ids=64,
    growth=(64, 128),
    image=512,
    blended=512,
    pipeline=(2, 64),
    slices=1,
    steps=2,
    linknet=32,
    unet=32,
    encoders=("vgg16",),
    table=(5, 64, 1),
    matrices=256,
)
