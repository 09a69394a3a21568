"""How good the page's network is, as `make brain-table` measures it.

`.venv/bin/python -m reproductions.brain_tumour_mask_rcnn.app.scores RUN_FOLDER DATA_ROOT …` prints
the scores as JSON, or why there are none. It is a process of its own, since scoring loads
TensorFlow, which the page's server does without.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Optional, Sequence, Tuple

from common import files
from common.errors import InputError, on_one_line
from common.files import PROJECT
from reproductions.brain_tumour_mask_rcnn.app.facts import Measured

if TYPE_CHECKING:
    import pandas

    from common.datasets.manifests import DataSet


def begin(run_folder: Path, data_root: Optional[Path]) -> subprocess.Popen:
    """Start to score a network; without a data root its data are looked for where `make data` and
    `make demo` put them.
    """
    run_folder = run_folder.resolve()
    beside_runs = [above / "data" for above in [*run_folder.parents][2:3]]
    roots = [data_root] if data_root else [*beside_runs, PROJECT / "data"]
    command = [sys.executable, "-m", __name__, str(run_folder), *map(str, roots)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def result(scoring: subprocess.Popen) -> Tuple[Optional[Measured], str]:
    """Wait for what `begin` has started; give the scores, or None and why there are none."""
    written, _ = scoring.communicate()
    try:
        answer = json.loads(written)
    except ValueError:
        return None, f"their computation has failed (exit code {scoring.returncode})"
    if "reason" in answer:
        return None, answer["reason"]
    return Measured(**answer), ""


def measure(run_folder: Path, data_roots: Sequence[Path]) -> Measured:
    """Score a network on its test images, at the confidence from which it reports.

    Its saved detections are scored where its data are here. Where they are not, the scores are
    those that the paper's table has kept of it.

    Raises:
        InputError: there are neither, or no test image has a tumour.
    """
    from common.prediction import worth
    from reproductions.brain_tumour_mask_rcnn.eval import paper

    try:
        values = _summary(_scored(run_folder, data_roots))
    except InputError as error:
        values = worth.of((run_folder,), paper.name, _summary).scores
        if not values:
            raise error from None
    if "sensitivity" not in values:
        raise InputError(f"{run_folder}: none of its test images has a tumour")
    return Measured(
        values["sensitivity"],
        values["false_positives_per_image"],
        values["dice"],
        int(values["images"]),
    )


def _scored(run_folder: Path, data_roots: Sequence[Path]) -> pandas.DataFrame:
    """One line of scores per test image."""
    import pandas

    from common.results.experiment import Row, Trained
    from common.training import runs
    from reproductions.brain_tumour_mask_rcnn.config import Config
    from reproductions.brain_tumour_mask_rcnn.eval import ROW, paper

    config = runs.load_config(run_folder, Config)
    run = runs.Run(run_folder, runs.read_json(run_folder / "config.json"))
    if run.of_earlier_version:  # which has scored by itself
        return pandas.read_csv(files.buffered(run_folder / "metrics.csv"), dtype={"id": str})
    data_set = _data_set(str(run.config.get("data")), data_roots)
    return paper.score(Trained(Row(ROW), config, config, config, (run,)), data_set)


def _data_set(fingerprint: str, data_roots: Sequence[Path]) -> DataSet:
    """Find the data that a network was trained on."""
    from common.datasets import manifests
    from reproductions.brain_tumour_mask_rcnn.config import DATA_SETS

    reason = ""
    for root in data_roots:
        try:
            data_set = manifests.find(DATA_SETS[0], root)
        except InputError as error:
            reason = reason or str(error)
            continue
        if data_set.fingerprint == fingerprint:
            return data_set
        reason = f"{data_set.folder}: not the data that this network was trained on"
    raise InputError(reason)


def _summary(lines: pandas.DataFrame) -> Dict[str, float]:
    """Scores of all test images, and their number, from a line for each of them."""
    from reproductions.brain_tumour_mask_rcnn import mask_scoring, metrics

    given = [name for name in lines if not name.endswith(metrics.CHOSEN)]
    return {**mask_scoring.aggregate(lines[given]), "images": len(lines)}


def main() -> None:
    """Answer `begin`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    run_folder, *roots = map(Path, sys.argv[1:])
    try:
        answer = measure(run_folder, roots)._asdict()
    except InputError as error:
        answer = {"reason": on_one_line(str(error))}
    except (OSError, KeyError, ValueError, TypeError) as error:  # of a damaged file
        answer = {"reason": on_one_line(f"{run_folder}: {type(error).__name__}: {error}")}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
