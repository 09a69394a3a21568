"""Command lines, generated from dataclasses: one for every train.py and one for every eval.py."""

from __future__ import annotations

import argparse
import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Generic, Literal, Mapping, Optional, Tuple, TypeVar

import tyro

from common.errors import InputError
from common.training import cuda

ConfigType = TypeVar("ConfigType")
# Of the settings that are numbers: all are positive, but these may be 0; those with these endings
# are at most 1.
MAY_BE_ZERO = (
    *("seed", "dropout", "rotation", "affine_rotation", "weight_decay"),
    *("momentum", "norm_momentum", "min_score"),
)
SHARES = ("fraction", "share", "crop", "dropout", "momentum", "score")
SIDES = ("input_size", "side")  # of what a network gets, in pixels
PARTS = ("validation_fraction", "test_fraction")  # of the data, the rest of which is for training


@dataclass(frozen=True)
class Training(Generic[ConfigType]):
    """Train one network, or resume it: the settings of --profile, each of which can be
    overridden.
    """

    config: tyro.conf.OmitArgPrefixes[ConfigType]
    data_root: Optional[Path] = None
    """Folder that holds the data sets; by default data/, filled by a download."""
    runs_root: Path = Path("runs")
    """Where run folders are kept."""


@dataclass(frozen=True)
class Request:
    """Regenerate tables and figures: train what is missing, resume what was cut off, evaluate,
    compare.
    """

    data_root: Optional[Path] = None
    """Folder that holds the data sets; by default data/, filled by a download."""
    seeds: Tuple[int, ...] = (0,)
    """One run per network and seed; two or more give an interval."""
    protocol: Optional[Literal["published", "corrected"]] = None
    """published: as in the paper, leaks included; corrected: without them; by default both."""
    profile: Literal["paper", "quick", "smoke"] = "paper"
    """paper: the paper's settings; quick: a CPU's share of them; smoke: seconds, for tests."""
    encoder_weights: str = "imagenet"
    """imagenet, none or an .h5 file; others for single encoders after commas, as in
    none,vgg16=FILE.
    """
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Keras precision policy."""
    runs_root: Path = Path("runs")
    """Where run folders are kept."""
    results_root: Path = Path("results")
    """Where tables and figures go; those of synthetic data go to demo/ in it."""
    cluster: Optional[str] = None
    """Have runs done by a Dask cluster: a number of workers on this machine, or tcp://host:8786 of
    a scheduler.
    """

    @property
    def protocols(self) -> Tuple[str, ...]:
        """The protocols asked for."""
        return (self.protocol,) if self.protocol else ("published", "corrected")

    def weights_for(self, encoder: str) -> str:
        """Return the encoder weights asked for: the encoder's own where given, else the general
        ones.

        Raises:
            InputError: `encoder_weights` is not of the documented form.
        """
        general, *special = self.encoder_weights.split(",")
        pairs = [part.partition("=")[::2] for part in special]
        if "=" in general or not all(name and value for name, value in pairs):
            raise InputError(
                f"encoder weights {self.encoder_weights!r}: expected imagenet, none or a file, "
                "then ENCODER=VALUE after commas"
            )
        return dict(pairs).get(encoder, general)


def parse_training(
    config_type: type, profiles: Mapping[str, ConfigType], prog: str
) -> Training[ConfigType]:
    """Parse the command line of a train.py. `--profile` chooses the defaults, so `--help` shows
    that profile's.
    """
    peek = argparse.ArgumentParser(prog=prog, add_help=False)
    peek.add_argument("--profile", choices=list(profiles), default="paper")
    default = Training(profiles[peek.parse_known_args()[0].profile])
    options = tyro.cli(
        Training[config_type], default=default, prog=prog, description=Training.__doc__
    )
    check(options.config)
    return options


def check(config: object) -> None:
    """Raise InputError, naming the option, where a number in a configuration dataclass is none that
    it can have.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        option = f"--{field.name.replace('_', '-')} {value}"
        most = 1 if field.name.endswith(SHARES) else math.inf
        positive = field.name not in MAY_BE_ZERO
        if not (math.isfinite(value) and 0 <= value <= most) or (positive and value == 0):
            bounds = ("above 0" if positive else "from 0") + (" to 1" if most == 1 else "")
            raise InputError(f"{option}: expected a number {bounds}")
        if field.name in SIDES and value % 32:
            raise InputError(
                f"{option}: expected a multiple of 32, which the network halves five times"
            )
    parts = {name: getattr(config, name) for name in PARTS if hasattr(config, name)}
    if sum(parts.values()) >= 1:
        told = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in parts.items())
        raise InputError(
            f"{told}: expected parts that leave images for training, so less than 1 together"
        )


def run_targets(targets: Mapping[str, Callable[[Request], None]], prog: str) -> None:
    """Parse the command line of an eval.py, `TARGET [options]`, and call the target."""
    described = {name: _accepting_request(function) for name, function in targets.items()}
    tyro.extras.subcommand_cli_from_dict(described, prog=prog, description=Request.__doc__)


def _accepting_request(target: Callable[[Request], None]) -> Callable[[Request], None]:
    def command(request: tyro.conf.OmitArgPrefixes[Request] = Request()) -> None:  # noqa: B008  frozen
        if (
            not request.seeds
            or min(request.seeds) < 0
            or len({*request.seeds}) < len(request.seeds)
        ):
            raise InputError(
                f"--seeds {' '.join(map(str, request.seeds))}: expected whole numbers from 0, each "
                "once"
            )
        cuda.announce()
        target(request)

    command.__doc__ = target.__doc__
    return command
