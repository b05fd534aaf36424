"""How long kernels take: products of scans, and one inverse after the other."""

from __future__ import annotations

import math
import time

import torch

from ukb_brain.planning.case import Case
from ukb_brain.training.compositions import linear_shares
from ukb_brain.training.kernel_ridge import invert
from ukb_brain.training.learners import MODIFIERS

# People of the inverse that is timed.
MEASURED = 1_000
# Matrices of all people that a process holds at a time, about.
MATRICES = 8


def learnt(case: Case) -> int:
    """People that kernels learn from.

    Parameters
    ----------
    case : Case
        Its parts.

    Returns
    -------
    int
    """
    return case.parts.train + case.parts.validation


def gram_flops(case: Case, group: str) -> float:
    """Count the operations of a group's products of scans.

    Parameters
    ----------
    case : Case
        People, pooling.
    group : str
        Imaging group.

    Returns
    -------
    float
    """
    features = math.prod(case.shapes(case.modelling.kernels.pooling)[group])
    return 2.0 * case.parts.people * learnt(case) * features


def set_flops(case: Case, groups: tuple[str, ...], nonlinear: bool) -> float:
    """Count the operations of all targets from a set of imaging groups.

    Parameters
    ----------
    case : Case
        People, cells, penalties.
    groups : tuple of str
        The set; may be empty.
    nonlinear : bool
        Whether kernels that are not linear are tried.

    Returns
    -------
    float
        With penalties that are not widened, and people left out who differ between targets.
    """
    s, n, grid = case.modelling, float(learnt(case)), case.grid
    cells = [cell for cell in grid.cells if cell.inputs.groups == groups]
    targets = len({cell.target for cell in cells})
    # Of every part that is left out, for each target.
    left = n**3 / (3 * (s.cross_fits + 1) ** 2) + 2 * n**2
    tries = 0.0
    if groups:
        # Products with traits as they are read, and as they are told.
        modifiers = 2 * sum(modifier in grid.targets for modifier in MODIFIERS)
        compositions = len(linear_shares(groups))
        compositions += len(s.kernels.radial) + modifiers if nonlinear else 0
        # All penalties of the first, half of them of the others.
        tries = (compositions + 1) * (len(s.kernels.penalties) + 1) / 2
    # Targets share penalties.
    kept = 2 * min(targets, len(s.kernels.penalties))
    total = (tries + kept) * n**3 + tries * targets * left
    for cell in cells:
        traits = 1 + sum(2 * len(grid.targets_of(block)) for block in cell.inputs.blocks)
        choices = len(s.kernels.traits) + 2 if cell.inputs.blocks else 1
        total += (choices + 1) * (left + 2 * n**2 * traits)
        if grid.targets[cell.target].kind == "binary":
            # Two penalties, and the fit that is kept: some ten steps without each part.
            total += 3 * (s.cross_fits + 1) * 10 * 4 * n**2
    return total


def measure_inverses() -> float:
    """Time the inverse of a matrix.

    Returns
    -------
    float
        Operations a second, on the CPU.
    """
    kernel = torch.eye(MEASURED, dtype=torch.float64)
    invert(kernel, 1.0)
    started = time.perf_counter()
    invert(kernel, 1.0)
    return MEASURED**3 / (time.perf_counter() - started)
