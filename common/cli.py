"""Command lines: `medseg`, and those of every train.py and eval.py, generated from dataclasses."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Generic,
    List,
    Literal,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

import tyro
from typing_extensions import Annotated

from common.errors import InputError

ConfigType = TypeVar("ConfigType")
PAPER_SEEDS = (0, 1, 2, 3, 4)  # three leave an interval of five standard deviations


def _shown(value: str, default: str) -> Any:
    """Show in --help what an option takes and, in words, what it is by default."""
    return tyro.conf.arg(metavar=value, help_behavior_hint=f"(default: {default})")


@dataclass(frozen=True)
class Training(Generic[ConfigType]):
    """Train one network, or resume it: the settings of --profile, each of which can be
    overridden.
    """

    config: tyro.conf.OmitArgPrefixes[ConfigType]
    data_root: Annotated[Optional[Path], _shown("PATH", "data/, filled by a download")] = None
    """Folder that holds the data sets."""
    runs_root: Path = Path("runs")
    """Folder of the run folders."""


@dataclass(frozen=True)
class Request:
    """Regenerate tables and figures: train what is missing, resume what was cut off, evaluate,
    compare.
    """

    data_root: Annotated[Optional[Path], _shown("PATH", "data/, filled by a download")] = None
    """Folder that holds the data sets."""
    seeds: Annotated[Tuple[int, ...], _shown("INT [INT …]", "0 1 2 3 4; in other profiles 0")] = ()
    """One run per network and seed."""
    protocol: Annotated[
        Optional[Literal["published", "corrected"]], _shown("{published,corrected}", "both")
    ] = None
    """published: as in the paper, leaks included; corrected: without them."""
    profile: Literal["paper", "quick", "smoke"] = "paper"
    """paper: the paper's settings; quick: an evening on a CPU; smoke: seconds, for tests."""
    reading: Annotated[str, _shown("NAME=VALUE[,…]", "none")] = ""
    """Settings that the paper leaves open, off their default."""
    encoder_weights: Annotated[Optional[str], _shown("WEIGHTS", "the paper's")] = None
    """imagenet, none or an .h5 file; others for single encoders after commas, as in
    none,vgg16=FILE.
    """
    precision: Annotated[
        Optional[Literal["float32", "mixed_bfloat16", "mixed_float16"]],
        _shown("{float32,mixed_bfloat16,mixed_float16}", "float32"),
    ] = None
    """Keras precision policy."""
    runs_root: Path = Path("runs")
    """Folder of the run folders."""
    results_root: Path = Path("results")
    """Folder of tables and figures; those of synthetic data and smoke runs go to demo/ in it."""
    train_readings: bool = False
    """Train the training readings that are missing (readings only)."""
    cluster: Annotated[Optional[str], _shown("CLUSTER", "none, this process trains")] = None
    """Dask cluster that trains: a number of workers on this machine, or tcp://host:8786 of a
    scheduler.
    """

    plan: bool = False
    """Say what would be trained, how long it takes and what disk it needs, and stop."""

    @property
    def protocols(self) -> Tuple[str, ...]:
        """The protocols asked for."""
        return (self.protocol,) if self.protocol else ("published", "corrected")

    @property
    def all_seeds(self) -> Tuple[int, ...]:
        """The seeds asked for."""
        if self.seeds:
            return self.seeds
        return PAPER_SEEDS if self.profile == "paper" else (0,)

    def weights_for(self, encoder: str) -> Optional[str]:
        """Return the encoder weights asked for: the encoder's own where given, else the general
        ones; None where nothing was asked for.

        Raises:
            InputError: `encoder_weights` is not of the documented form.
        """
        if self.encoder_weights is None:
            return None
        general, *special = self.encoder_weights.split(",")
        pairs = [part.partition("=")[::2] for part in special]
        if "=" in general or not all(name and value for name, value in pairs):
            raise InputError(
                f"encoder weights {self.encoder_weights!r}: expected imagenet, none or a file, "
                "then ENCODER=VALUE after commas"
            )
        return dict(pairs).get(encoder, general)

    def shorthands(self, config: Any) -> Dict[str, str]:
        """Give what `encoder_weights` and `precision` set in a Config."""
        values = {}
        if hasattr(config, "encoder_weights"):
            weights = self.weights_for(config.encoder)
            if weights is not None:
                values["encoder_weights"] = weights
        if self.precision is not None:
            values["precision"] = self.precision
        return values


DEFAULT_REQUEST = Request()


def parse_training(
    profiles: Mapping[str, ConfigType], prog: str, words: Optional[Sequence[str]] = None
) -> Training[ConfigType]:
    """Parse the command line of a train.py, or `words`. `--profile` chooses the defaults, so
    `--help` shows that profile's.
    """
    config_type = type(profiles["paper"])
    peek = argparse.ArgumentParser(prog=prog, add_help=False)
    peek.add_argument("--profile", choices=list(profiles), default="paper")
    default = Training(profiles[peek.parse_known_args(words)[0].profile])
    return tyro.cli(
        Training[config_type],  # type: ignore[valid-type]
        args=words,
        default=default,
        prog=prog,
        description=Training.__doc__,
    )


def training_words(config: Any, defaults: Any) -> List[str]:
    """Write a Config as options of a train.py; `defaults` is its profile's.

    Example:
        >>> from reproductions.tnbc_linknet.config import PROFILES
        >>> config = dataclasses.replace(PROFILES["smoke"], seed=3)
        >>> training_words(config, PROFILES["smoke"])
        ['--profile', 'smoke', '--seed', '3']
    """
    words = ["--profile", config.profile]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "profile" or value == getattr(defaults, field.name):
            continue
        option = field.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, (tuple, list)):
            words += [f"--{option}", *map(str, value)]
        else:
            words += [f"--{option}", str(value)]
    return words


def check_request(request: Request) -> None:
    """Raise InputError where the seeds are no whole numbers from 0, each once."""
    seeds = request.seeds
    if seeds and (min(seeds) < 0 or len(set(seeds)) < len(seeds)):
        raise InputError(
            f"--seeds {' '.join(map(str, seeds))}: expected whole numbers from 0, each once"
        )


def run_targets(targets: Mapping[str, Callable[[Request], None]], prog: str) -> None:
    """Parse the command line of an eval.py, `TARGET [options]`, and call the target."""
    described = {name: _accepting_request(function) for name, function in targets.items()}
    tyro.extras.subcommand_cli_from_dict(described, prog=prog, description=Request.__doc__)


def _accepting_request(target: Callable[[Request], None]) -> Callable[[Request], None]:
    def command(request: tyro.conf.OmitArgPrefixes[Request] = DEFAULT_REQUEST) -> None:
        check_request(request)
        target(request)

    command.__doc__ = target.__doc__
    return command
