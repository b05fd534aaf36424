"""What is planned: how many people, which inputs, which settings, and the typed parameters."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ukb_brain.grid import Grid
from ukb_brain.settings_base import Settings
from ukb_brain.tables.splits import Splitting
from ukb_brain.training.settings import Modelling

Shape = tuple[int, ...]


def _listed(value: Any) -> Any:
    # `--params` cannot give a list, so one name or number may stand for a list of one.
    return (value,) if isinstance(value, str | int) else value


class Planning(Settings):
    """What the planner is asked.

    Attributes
    ----------
    participants : int
        People with all scans, of all parts of the split.
    sites : int
        Folds of leave-one-site-out, which a plan cannot read off a table.
    edges : int
        Length of a connectivity vector.
    presets : tuple of str
        Sizes to plan for. The run's own preset is planned with whatever else was overridden.
    devices : tuple of int
        Numbers of GPUs, or of processes where there is no GPU.
    dedicated_cells : int
        Networks of the dedicated strategy, drawn as there; 0 is one for each cell of the grid.
    seconds : float
        About how long work items that are alike may be tried. What takes longer is tried with fewer
        people.
    card_tflops : float, optional
        Operations (10¹²) that a card which is not here sustains each second: hours of networks are
        then their operations over these.
    """

    participants: int = Field(default=23_810, ge=50)
    sites: int = Field(default=4, ge=2)
    edges: int = Field(default=64_620, ge=1)
    presets: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
    devices: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_listed), Field(min_length=1)
    ] = (1, 2, 4, 8, 16, 32, 64)
    dedicated_cells: int = Field(default=0, ge=0)
    seconds: float = Field(default=6.0, gt=0)
    card_tflops: float | None = Field(default=None, gt=0)


@dataclass(frozen=True)
class Parts:
    """Numbers of people of one fold, and of folds."""

    folds: int
    train: int
    validation: int
    test: int

    @property
    def people(self) -> int:
        """Everybody."""
        return self.train + self.validation + self.test


def parts_of(participants: int, splitting: Splitting, sites: int) -> Parts:
    """Count the people of a fold; folds of ``leave_one_site_out`` are sites, of equal size."""
    if splitting.scheme == "hold_out":
        train, validation = (round(participants * f) for f in splitting.fractions[:2])
        return Parts(1, train, validation, participants - train - validation)
    folds = splitting.folds if splitting.scheme == "k_fold" else sites
    test = round(participants / folds)
    train = round((participants - test) * splitting.without_test[0])
    return Parts(folds, train, participants - test - train, test)


@dataclass(frozen=True)
class Case:
    """One size that is planned, named as its preset.

    ``voxels`` are of volumes, kept as ``stored`` says; ``vectors`` are modalities that are none,
    and ``numbers`` says how many numbers of the main table those have that are such.
    """

    name: str
    modelling: Modelling
    grid: Grid
    voxels: tuple[int, int, int]
    parts: Parts
    planning: Planning
    vectors: Collection[str]
    stored: str = "uint8"
    numbers: Mapping[str, int] = field(default_factory=dict)

    def shapes(self, pooling: int = 1) -> dict[str, Shape]:
        """Shapes of one person's scans by imaging group; edges of volumes are rounded up."""
        return {
            group: (self._length(*modalities),)
            if set(modalities) <= set(self.vectors)
            else (len(modalities), *self.pooled(pooling))
            for group, modalities in self.grid.imaging.items()
        }

    def _length(self, modality: str) -> int:
        return self.numbers.get(modality, self.planning.edges)

    def pooled(self, pooling: int) -> tuple[int, int, int]:
        """Edges of pooled volumes, rounded up."""
        x, y, z = (math.ceil(n / pooling) for n in self.voxels)
        return x, y, z
