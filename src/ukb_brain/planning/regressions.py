"""How long the regressions of cells on encodings take here."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ukb_brain.grid import Cell
from ukb_brain.ledger.artifact import Model, write_model
from ukb_brain.planning.case import Case, Parts
from ukb_brain.planning.invented import random_people
from ukb_brain.training.inputs import subsets
from ukb_brain.training.items import cells_by_target
from ukb_brain.training.target import (
    AMORTISED,
    HEADS,
    CellsJob,
    encodings_used,
    fit_cells_of_target,
)

FEWER, MORE = 500, 2_000


@dataclass(frozen=True)
class CellsRate:
    """What all cells of a target cost.

    Attributes
    ----------
    fixed, person : float
        Seconds whatever the cohort, and more for each training person.
    flops : float
        Operations of the asked size.
    """

    fixed: float
    person: float
    flops: float

    def seconds(self, train: int) -> float:
        """Seconds of a target.

        Parameters
        ----------
        train : int
            Training people.

        Returns
        -------
        float
        """
        return self.fixed + self.person * train


def measure_cells(case: Case, target: str) -> CellsRate:
    """Time a target's cells on random encodings, at two numbers of people.

    Parameters
    ----------
    case : Case
        Grid, penalties.
    target : str
        Whose cells.

    Returns
    -------
    CellsRate
    """
    train, cells = case.parts.train, cells_by_target(case.grid)[target]
    # Both sides of the asked size where that is small, so that little is extrapolated.
    fewer, more = (FEWER, MORE) if train >= MORE else (max(20, train // 2), max(40, train))
    took = [_cells(case, target, cells, n) for n in (fewer, more)]
    person = max(0.0, (took[1] - took[0]) / (more - fewer))
    fixed = max(0.0, took[1] - person * more)
    return CellsRate(fixed, person, regression_flops(case, cells, train))


def _cells(case: Case, target: str, cells: tuple[Cell, ...], train: int) -> float:
    held = max(10, round(train * case.parts.validation / case.parts.train))
    tested = max(10, round(train * case.parts.test / case.parts.train))
    people = random_people(Parts(1, train, held, tested), case.grid)
    rng, groups, n = np.random.default_rng(1), tuple(case.grid.imaging), len(people.eid)
    settings = case.modelling.model_copy(update={"strategies": (AMORTISED,), "average": (HEADS,)})
    with tempfile.TemporaryDirectory() as folder:
        networks = {}
        for part in range(settings.encoders.cross_fits):
            size = (len(subsets(groups)), n, len(case.grid.targets))
            networks[part] = Path(folder, str(part))
            outputs = rng.normal(size=size).astype(np.float32)
            write_model(networks[part], Model({"outputs": outputs}))
        kind = case.grid.targets[target].kind
        job = CellsJob(target, kind, cells, groups, people, [networks], {}, settings)
        started = time.perf_counter()
        fit_cells_of_target(job, Path(folder))
        return time.perf_counter() - started


def regression_flops(case: Case, cells: tuple[Cell, ...], train: int) -> float:
    """Count the operations of all regressions of a target, as its cells' cards do.

    Parameters
    ----------
    case : Case
        Numbers of targets, penalties.
    cells : tuple of Cell
        Of the target.
    train : int
        Training people.

    Returns
    -------
    float
    """
    s, grid = case.modelling, case.grid
    traits = {d: 2 * len(grid.targets_of(d)) for d in grid.domains}
    total = 0.0
    for groups in {cell.inputs.groups for cell in cells}:
        mine = [cell for cell in cells if cell.inputs.groups == groups]
        images = len(grid.targets) * len(encodings_used(groups))
        blocks = {block for cell in mine for block in cell.inputs.blocks}
        total += 2.0 * train * (images + sum(traits[block] for block in blocks)) ** 2
        for cell in mine:
            own = images + sum(traits[block] for block in cell.inputs.blocks)
            sets = (len(s.heads.images) if groups else 1) * (
                len(s.heads.traits) if cell.inputs.blocks else 1
            )
            # One fit without each part, and one of everybody.
            total += (s.cross_fits + 1) * (sets + 1) * (own + 1) ** 3 / 3
    return total
