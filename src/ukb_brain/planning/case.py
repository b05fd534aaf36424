"""What is planned: how many people, which inputs, which settings."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from ukb_brain.grid import Grid
from ukb_brain.planning.settings import Planning
from ukb_brain.tables.splits import Splitting
from ukb_brain.training.settings import Modelling

Shape = tuple[int, ...]


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
    """One size that is planned.

    Attributes
    ----------
    name : str
        Of the preset.
    modelling : Modelling
        Its settings.
    grid : Grid
        Targets, cells, imaging groups.
    voxels : tuple of int
        Of stored volumes.
    splitting : Splitting
        Scheme.
    planning : Planning
        What is asked.
    vectors : collection of str
        Modalities that are no volumes.
    """

    name: str
    modelling: Modelling
    grid: Grid
    voxels: tuple[int, int, int]
    splitting: Splitting
    planning: Planning
    vectors: Collection[str]

    @property
    def parts(self) -> Parts:
        """People of a fold."""
        return parts_of(self.planning.participants, self.splitting, self.planning.sites)

    def shapes(self, pooling: int = 1) -> dict[str, Shape]:
        """Shapes of one person's scans by imaging group; edges of volumes are rounded up."""
        voxels = tuple(math.ceil(n / pooling) for n in self.voxels)
        return {
            group: (self.planning.edges,)
            if set(modalities) <= set(self.vectors)
            else (len(modalities), *voxels)
            for group, modalities in self.grid.imaging.items()
        }

    def shrunk(self, by: int) -> Case:
        """Divide edges of volumes."""
        x, y, z = (math.ceil(n / by) for n in self.voxels)
        return replace(self, voxels=(x, y, z))
