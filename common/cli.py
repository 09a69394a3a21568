"""Command lines, generated from dataclasses: one for every train.py and one for every eval.py."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Generic, Literal, Mapping, Optional, Tuple, TypeVar

import tyro

from common import gpu
from common.errors import InputError

ConfigType = TypeVar("ConfigType")


@dataclass(frozen=True)
class Training(Generic[ConfigType]):
    """Train one network, or resume it: the settings of --profile, each of which can be overridden."""

    config: tyro.conf.OmitArgPrefixes[ConfigType]
    data_root: Optional[Path] = None
    """Folder that holds the data sets; by default data/, filled by a download."""
    runs_root: Path = Path("runs")
    """Where run folders are kept."""


@dataclass(frozen=True)
class Request:
    """Regenerate tables and figures: train what is missing, resume what was cut off, evaluate, compare."""

    data_root: Optional[Path] = None
    """Folder that holds the data sets; by default data/, filled by a download."""
    seeds: Tuple[int, ...] = (0,)
    """One run per network and seed; two or more give an interval."""
    protocol: Optional[Literal["published", "corrected"]] = None
    """published: as in the paper, leaks included; corrected: without them; by default both."""
    profile: Literal["paper", "quick", "smoke"] = "paper"
    """paper: the paper's settings; quick: a CPU's share of them; smoke: seconds, for tests."""
    encoder_weights: str = "imagenet"
    """imagenet, none or an .h5 file; others for single encoders after commas, as in none,vgg16=FILE."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Keras precision policy."""
    runs_root: Path = Path("runs")
    """Where run folders are kept."""
    results_root: Path = Path("results")
    """Where tables and figures go; those of synthetic data go to demo/ in it."""

    @property
    def protocols(self) -> Tuple[str, ...]:
        """The protocols asked for."""
        return (self.protocol,) if self.protocol else ("published", "corrected")

    def weights_for(self, encoder: str) -> str:
        """Return the encoder weights asked for: the encoder's own where given, else the general ones.

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


def parse_training(config_type: type, profiles: Mapping[str, ConfigType], prog: str) -> Training[ConfigType]:
    """Parse the command line of a train.py. `--profile` chooses the defaults, so `--help` shows that profile's."""
    peek = argparse.ArgumentParser(prog=prog, add_help=False)
    peek.add_argument("--profile", choices=list(profiles), default="paper")
    default = Training(profiles[peek.parse_known_args()[0].profile])
    return tyro.cli(Training[config_type], default=default, prog=prog, description=Training.__doc__)


def run_targets(targets: Mapping[str, Callable[[Request], None]], prog: str) -> None:
    """Parse the command line of an eval.py, `TARGET [options]`, and call the target."""
    described = {name: _accepting_request(function) for name, function in targets.items()}
    tyro.extras.subcommand_cli_from_dict(described, prog=prog, description=Request.__doc__)


def _accepting_request(target: Callable[[Request], None]) -> Callable[[Request], None]:
    def command(request: tyro.conf.OmitArgPrefixes[Request] = Request()) -> None:  # noqa: B008  frozen
        gpu.announce()
        target(request)

    command.__doc__ = target.__doc__
    return command
