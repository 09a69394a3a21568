"""One training, start to end: data, run folder, lock, seeds, network, predictions.

A paper's train.py writes the function that is its own and hands it to `Trainer`, which does what
every paper needs around it.
"""

from __future__ import annotations

import inspect
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from common import cli
from common.datasets import manifests
from common.datasets.manifests import DataSet
from common.errors import exits_cleanly
from common.training import cuda, settings, weights_files
from common.training.runs import Run

Split = Dict[str, List[str]]


def test_images(split: Split) -> List[str]:
    """The ids whose predictions are kept, unless a paper says otherwise: those of the test part."""
    return split["test"]


@dataclass(frozen=True)
class Trainer:
    """What a paper trains, and on what.

    Attributes:
        train: called with a locked run folder, the Config and the data set. It saves the split,
            builds and fits the network, and saves a prediction of every image of `predicted`.
        profiles: Configs by the name of their profile: paper, quick and smoke.
        data_sets: names of manifests; the first that is there is used. Where there are several,
            the name of the one used begins the name of the run folder.
        predicted: gives, of a split, the ids that have a prediction.
        deterministic_on_gpu: False where a gradient has no deterministic kernel on a GPU.
        checks: called with a Config; raises InputError for settings that do not fit together.
    """

    train: Callable[[Run, Any, DataSet], None]
    profiles: Mapping[str, Any]
    data_sets: Tuple[str, ...]
    predicted: Callable[[Split], Sequence[str]] = test_images
    deterministic_on_gpu: bool = True
    checks: Callable[[Any], None] = settings.check

    @property
    def folder(self) -> Path:
        """The paper's folder in reproductions/."""
        return Path(inspect.getfile(self.train)).resolve().parent

    @property
    def paper(self) -> str:
        """The name of that folder, which is the paper's name everywhere."""
        return self.folder.name

    @property
    def module(self) -> str:
        """The module to run as a command, after `.venv/bin/python -m`."""
        return f"reproductions.{self.paper}.train"

    def find_data(self, data_root: Optional[Path]) -> DataSet:
        """Find or download the data set; say which one it is where several would do."""
        data_set = manifests.find_first(self.data_sets, data_root)
        if len(self.data_sets) > 1:
            print(f"data: {data_set.title}")
        return data_set

    def run_id(self, config: Any, data_set: DataSet) -> str:
        """Name the run folder of a Config."""
        name = config.run_id
        return f"{data_set.name}-{name}" if len(self.data_sets) > 1 else name

    def open(self, config: Any, data_set: DataSet, runs_root: Path) -> Run:
        """Give the run folder of a Config, complete or not.

        Raises:
            InputError: the settings do not fit together, the encoder weights are not there, or the
                folder belongs to something else.
        """
        self.checks(config)
        weights = weights_files.describe(getattr(config, "encoder_weights", "none"))
        recorded = {**asdict(config), "encoder_weights": weights, "data": data_set.fingerprint}
        folder = Path(runs_root) / self.paper / self.run_id(config, data_set)
        defaults = {one.name: getattr(type(config)(), one.name) for one in fields(config)}
        return Run(folder, recorded, defaults)

    def complete(self, config: Any, data_set: DataSet, runs_root: Path) -> Run:
        """Bring one run to completion: train or resume, then predict. A complete run stays as is.

        Raises:
            InputError: as `open`, and where the data are not usable.
        """
        run = self.open(config, data_set, runs_root)
        if run.complete:
            return run
        from common.training import fit  # not at the top: it imports TensorFlow

        cuda.announce()
        cuda.check_precision(getattr(config, "precision", "float32"))
        with run.locked():
            run.log_session(
                data=data_set.title,
                fingerprint=data_set.fingerprint,
                device=cuda.device_name(),
            )
            fit.start(config.seed, config.precision, self.deterministic_on_gpu)
            # What an interrupted process, or an earlier version, has predicted so far.
            shutil.rmtree(run.predictions, ignore_errors=True)
            self.train(run, config, data_set)
            run.finish(self.predicted(run.split))
        return run

    def command_line(self) -> None:
        """Train one network from the command line."""
        _command(self)


@exits_cleanly
def _command(trainer: Trainer) -> None:
    options = cli.parse_training(trainer.profiles, f".venv/bin/python -m {trainer.module}")
    trainer.checks(options.config)  # before a download
    run = trainer.complete(options.config, trainer.find_data(options.data_root), options.runs_root)
    print(f"{run.folder}: complete")
