"""What the page says about its network: where it comes from, and what it was measured to find.

The server reads it from the run folder once; the tabs get it as JSON in their environment. So a
tab opens even when the folder has vanished since, and loads nothing heavy.
"""

from __future__ import annotations

import json
from typing import List, NamedTuple, Optional

# The environment variables by which a tab gets the facts, and the path of the broker's socket.
VARIABLE, SOCKET = "BRAIN_TUMOUR_PAGE", "BRAIN_TUMOUR_SOCKET"


class Measured(NamedTuple):
    """Scores of a network on test images, at one confidence.

    Attributes:
        sensitivity: fraction of the outlined tumours that were found.
        false_positives: false positives per image.
        dice: mean Dice of the images, tumours of one image taken together.
        images: number of test images.
    """

    sensitivity: float
    false_positives: float
    dice: float
    images: int


class Network(NamedTuple):
    """A network as its run folder describes it.

    Attributes:
        run: name of the run folder.
        data: title of the training data; "" where the folder does not say.
        profile: paper, quick or smoke.
        encoder: its backbone.
        encoder_weights: what the backbone started from.
        min_score: confidence from which the network is meant to report.
        lowest_score: confidence below which nothing is kept.
        steps: of its training.
        full_steps: of a training as the source describes it.
        measured: its scores; None where they are not known.
    """

    run: str
    data: str
    profile: str
    encoder: str
    encoder_weights: str
    min_score: float
    lowest_score: float
    steps: int
    full_steps: int
    measured: Optional[Measured] = None

    @property
    def synthetic(self) -> bool:
        """Whether it was trained on phantoms."""
        return self.data.endswith("(synthetic)")

    @property
    def stamps(self) -> List[str]:
        """Warnings that the page shows about this network, as keys of its texts."""
        stamps = []
        if self.synthetic:
            stamps.append("stamp_synthetic")
        elif not self.data:
            stamps.append("stamp_unknown_data")
        if self.profile == "smoke":
            stamps.append("stamp_smoke")
        elif self.steps < self.full_steps:
            stamps.append("stamp_short")
        elif self.profile != "paper":
            stamps.append("stamp_quick")
        return stamps


def to_json(network: Network) -> str:
    """Write the facts for a tab."""
    measured = network.measured and network.measured._asdict()
    return json.dumps({**network._asdict(), "measured": measured})


def from_json(text: str) -> Network:
    """Read what `to_json` wrote."""
    facts = json.loads(text)
    measured = facts.pop("measured")
    return Network(**facts, measured=Measured(**measured) if measured else None)
