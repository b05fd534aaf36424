"""What is planned: how many people, which inputs, which networks."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import nn

from ukb_brain.grid import Cell, Grid, subsets
from ukb_brain.networks.fusion import FusedNetwork
from ukb_brain.planning.settings import Planning
from ukb_brain.tables.splits import Splitting
from ukb_brain.training.dedicated import drawn_cells
from ukb_brain.training.encode import build_encoders
from ukb_brain.training.inputs import TRAITS
from ukb_brain.training.settings import Loop, Modelling, Network

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Parts:
    """People of one fold, and the number of folds.

    Attributes
    ----------
    folds, train, validation, test : int
        Counts.
    """

    folds: int
    train: int
    validation: int
    test: int

    @property
    def people(self) -> int:
        """Everybody."""
        return self.train + self.validation + self.test


def parts_of(participants: int, splitting: Splitting, sites: int) -> Parts:
    """Count the people of a fold.

    Parameters
    ----------
    participants : int
        Everybody.
    splitting : Splitting
        Scheme and fractions.
    sites : int
        Folds of leave-one-site-out.

    Returns
    -------
    Parts
        Folds of equal size.
    """
    if splitting.scheme == "hold_out":
        train, validation = (round(participants * f) for f in splitting.fractions[:2])
        return Parts(1, train, validation, participants - train - validation)
    folds = splitting.folds if splitting.scheme == "k_fold" else sites
    test = round(participants / folds)
    train = round((participants - test) * splitting.without_test[0])
    return Parts(folds, train, participants - test - train, test)


@dataclass(frozen=True)
class Form:
    """A kind of network: its inputs and how it is trained.

    Attributes
    ----------
    network, loop : Network, Loop
        Settings.
    shapes : dict of str to tuple of int
        Of one person's inputs, pooled; volumes first.
    outputs : int
        Targets.
    joint : bool
        Whether it is that of shared encoders, and not of a cell.
    """

    network: Network
    loop: Loop
    shapes: Mapping[str, Shape]
    outputs: int
    joint: bool

    def build(self, shrunk: int = 1) -> nn.Module:
        """Build it.

        Parameters
        ----------
        shrunk : int
            Edges of volumes are divided by so much.

        Returns
        -------
        Module
            With random weights.
        """
        s = self.network
        encoders = build_encoders(s, self.smaller(shrunk))
        head = "light" if self.joint else s.head
        return FusedNetwork(encoders, self.outputs, head, s.embedding, s.dropout)

    def smaller(self, shrunk: int) -> dict[str, Shape]:
        """Shapes of inputs whose volumes have shorter edges.

        Parameters
        ----------
        shrunk : int
            Edges are divided by so much.

        Returns
        -------
        dict of str to tuple of int
        """
        return {
            name: (shape[0], *(math.ceil(n / shrunk) for n in shape[1:]))
            if len(shape) == 4
            else shape
            for name, shape in self.shapes.items()
        }

    @property
    def edge(self) -> int:
        """Shortest edge of its volumes; 0 without any."""
        return min((n for s in self.shapes.values() if len(s) == 4 for n in s[1:]), default=0)


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

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Cells of the dedicated strategy."""
        return drawn_cells(self.grid, self.planning.dedicated_cells)

    @property
    def poolings(self) -> set[int]:
        """Ways of pooling in which scans are read."""
        s = self.modelling
        networks = (s.encoders.network, s.dedicated.network)
        return {each.pooling for each in (s.kernels, *networks)}

    def shapes(self, pooling: int) -> dict[str, Shape]:
        """Shapes of one person's scans.

        Parameters
        ----------
        pooling : int
            Edges are divided by so much and rounded up.

        Returns
        -------
        dict of str to tuple of int
            By imaging group.
        """
        voxels = tuple(math.ceil(n / pooling) for n in self.voxels)
        return {
            group: (self.planning.edges,)
            if set(modalities) <= set(self.vectors)
            else (len(modalities), *voxels)
            for group, modalities in self.grid.imaging.items()
        }

    @property
    def encoders(self) -> Form:
        """The network of shared encoders."""
        s = self.modelling.encoders
        return Form(s.network, s.loop, self.shapes(s.network.pooling), len(self.grid.targets), True)

    def dedicated(self, groups: tuple[str, ...]) -> Form:
        """Give the network of a cell.

        Parameters
        ----------
        groups : tuple of str
            Imaging groups of the cell. Whatever its blocks, it gets the traits of all but the
            smallest domain: they cost next to nothing.

        Returns
        -------
        Form
        """
        s = self.modelling.dedicated
        shapes = {g: v for g, v in self.shapes(s.network.pooling).items() if g in groups}
        sizes = [len(self.grid.targets_of(domain)) for domain in self.grid.domains]
        if len(sizes) > 1:
            # Each trait has a mask beside it.
            shapes |= {TRAITS: (2 * (sum(sizes) - min(sizes)),)}
        return Form(s.network, s.loop, shapes, 1, False)

    @property
    def group_sets(self) -> tuple[tuple[str, ...], ...]:
        """Sets of imaging groups that dedicated cells have."""
        used = {cell.inputs.groups for cell in self.cells}
        return tuple(groups for groups in subsets(tuple(self.grid.imaging)) if groups in used)
