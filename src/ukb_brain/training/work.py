"""What all models of a run are made from, which every step of modelling hands on whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ukb_brain.cluster import Compute
from ukb_brain.grid import Grid
from ukb_brain.training.people import People
from ukb_brain.training.scans import Scans
from ukb_brain.training.settings import Modelling

# Kinds of models that are made where networks are trained.
ON_DEVICE = ("grams", "kernels", "encoders", "dedicated")


@dataclass(frozen=True)
class Work:
    """People by fold, their scans, how models are made of them, and the folder of all models."""

    folder: Path
    people: dict[int, People]
    scans: Scans
    grid: Grid
    modelling: Modelling
    compute: Compute
    seed: int
