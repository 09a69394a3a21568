"""A small project for the tests of the report: two invented papers, one with results and one
without.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common import files
from common.published import schema
from common.results import tables

TABLE = """\
id: {id}
title: Results of {id}
paper: An invented paper
where: section 4
data: 20 images
metrics:
  dice: {{label: Dice, kind: dice, unit: fraction, aggregation: mean over images}}
  iou: {{label: IoU, kind: iou, unit: fraction, aggregation: mean over images}}
  images: {{label: images, kind: size, unit: images, aggregation: count}}
rows:
  unet: {{label: U-Net, source: this paper, values: {{dice: "0.80", iou: "0.7", images: "20"}}}}
  big: {{label: Big <U-Net>, source: this paper, values: {{dice: "0.9001", iou: "0.5"}}}}
  other: {{label: Others, source: quoted, citation: "A. Nother, 2020", values: {{dice: "0.71"}}}}
open: [the seed]
"""
MAKEFILE = """\
alpha-one: setup ## the first table
\t$(RUN) reproductions.alpha.eval table1 $(OPTIONS)

alpha-figure2: setup ## pictures of everything
\t$(RUN) reproductions.alpha.eval figure2 $(OPTIONS)

beta-one: setup ## not run yet
\t$(RUN) reproductions.beta.eval table1 $(OPTIONS)
"""
README = """\
# Alpha nets

Paper: A. Lpha, *Nets*, 2020, `code`
and <b>more</b>.

## Next
"""


def conditions(protocol, seed_weights="none", **others):
    made = tables.Conditions(
        protocol, "quick", seed_weights, "mixed_bfloat16", "20 images", "f" * 16, ()
    )
    return replace(
        made, differences=("split by patient",) if protocol == "corrected" else (), **others
    )


@pytest.fixture
def project(tmp_path) -> Path:
    """Paper alpha: table1 under two protocols, an own row, an ablation, two runs, two figures.
    Paper beta: nothing.
    """
    for paper in ("alpha", "beta"):
        files.write_text(
            tmp_path / f"reproductions/{paper}/published/table1.yaml", TABLE.format(id="table1")
        )
    files.write_text(tmp_path / "reproductions/alpha/README.md", README)
    files.write_text(tmp_path / "Makefile", MAKEFILE)
    results = tmp_path / "results/alpha"
    reference = schema.load(tmp_path / "reproductions/alpha/published/table1.yaml")
    values = {
        ("published", "unet"): {"dice": 0.8, "iou": 0.6, "images": 20, "pq": 0.5},
        ("corrected", "unet"): {"dice": 0.7, "iou": 0.55, "images": 20, "pq": 0.4},
        ("published", "big"): {"dice": 0.85},
        ("published", "own"): {"dice": 0.4},
    }
    scores = [
        # Seeds 0.01 apart: a half-width of 0.0635, by Student's t for two seeds.
        (
            tables.Score(
                row, metric, value + (0.01 * (seed - 0.5) if metric != "images" else 0), seed
            ),
            conditions(protocol),
        )
        for (protocol, row), metrics in values.items()
        for metric, value in metrics.items()
        for seed in (0, 1)
    ]
    table = tables.build(reference, scores)
    tables.write(table, results / "table1.csv")
    tables.write(tables.compare(reference, table), results / "table1_vs_published.csv")
    ablation = [
        (tables.Score("unet_bigger", metric, 1 / 3, 0), conditions("corrected"))
        for metric in ("dice", "pq")
    ]
    tables.write(
        tables.build(replace(reference, id="ablation"), ablation), results / "ablation.csv"
    )
    files.write_text(
        results / "odd.csv", "image,other\n" + "".join(f"a{n},007\n" for n in range(60))
    )
    environment = {
        "commit": "c0ffee",
        "python": "3.8",
        "platform": "Linux",
        "started": "2026-01-02T03:04:05+00:00",
    }
    files.write_json(
        results / "provenance/table1.json", {**environment, "libraries": {"numpy": "1"}}
    )
    for protocol, losses in (("corrected", "1.2,1.5\n0.6,\n"), ("published", "1.0,1.4\n0.5,0.9\n")):
        run = results / f"provenance/net-none-{protocol}-seed0"
        config = {"encoder": "net", "protocol": protocol, "seed": 0, "encoder_weights": "none"}
        files.write_json(run / "config.json", config)
        files.write_json(run / "split.json", {"train": ["a", "b"], "test": ["c"]})
        files.write_json(
            run / "environment.json",
            {"sessions": [{**environment, "device": "CPU", "data": "20 images"}]},
        )
        lines = "".join(f"{epoch},1e-4,{line}\n" for epoch, line in enumerate(losses.split(), 1))
        files.write_text(run / "history.csv", f"epoch,learning_rate,loss,val_loss\n{lines}")
    files.write_json(
        results / "provenance/ensemble-seed0/provenance.json", {"members": ["one", "two"]}
    )
    for protocol in ("corrected", "published"):
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(
            results / f"figure2-{protocol}-quick-seed0.png"
        )
    return tmp_path
