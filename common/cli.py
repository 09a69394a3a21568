"""Command lines generated from a paper's configuration dataclass."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Mapping, Optional, TypeVar

import tyro

ConfigType = TypeVar("ConfigType")


@dataclass
class Training(Generic[ConfigType]):
    """Train one network, or resume it: the settings of --profile, each of which can be overridden."""

    config: tyro.conf.OmitArgPrefixes[ConfigType]
    data_root: Optional[Path] = None
    """Folder that holds the data sets; by default data/, filled by a download."""
    runs_root: Path = Path("runs")
    """Where run folders are kept."""


def parse_training(config_type: type, profiles: Mapping[str, ConfigType], prog: str) -> Training[ConfigType]:
    """Parse the command line of a train.py. `--profile` chooses the defaults, so `--help` shows that profile's."""
    peek = argparse.ArgumentParser(prog=prog, add_help=False)
    peek.add_argument("--profile", choices=list(profiles), default="paper")
    default = Training(profiles[peek.parse_known_args()[0].profile])
    return tyro.cli(Training[config_type], default=default, prog=prog, description=Training.__doc__)
