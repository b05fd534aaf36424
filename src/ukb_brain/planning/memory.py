"""How much memory and disk the work of a case takes, counted from shapes."""

from __future__ import annotations

import math

from ukb_brain.grid import Cell, subsets
from ukb_brain.planning.case import Case, Form
from ukb_brain.planning.steps import StepRate
from ukb_brain.training.dedicated import DEDICATED
from ukb_brain.training.inputs import TRAITS
from ukb_brain.training.items import cells_by_target
from ukb_brain.training.kernels import KERNELS, LINEAR
from ukb_brain.training.target import AMORTISED, encodings_used


def width_of(case: Case, cell: Cell) -> int:
    """Count the columns of a cell's regression on encodings.

    Parameters
    ----------
    case : Case
        Numbers of targets.
    cell : Cell
        Of the grid.

    Returns
    -------
    int
    """
    grid = case.grid
    traits = sum(2 * len(grid.targets_of(block)) for block in cell.inputs.blocks)
    return traits + len(encodings_used(cell.inputs.groups)) * len(grid.targets)


def memory_of_cells(case: Case) -> float:
    """Count columns and their copies for everybody, and factors for all penalties of one cell.

    Parameters
    ----------
    case : Case
        People, penalties.

    Returns
    -------
    float
        Bytes of a process that fits all cells of a target.
    """
    s, n = case.modelling, case.parts.people
    every = {cell: width_of(case, cell) for cell in case.grid.cells}
    # Columns of all sets of imaging groups are held at a time, each as it is, as it is fitted, and
    # with an intercept.
    sets = {cell.inputs.groups for cell in case.grid.cells}
    columns = sum(max(w for cell, w in every.items() if cell.inputs.groups == g) for g in sets)
    cells = max(len(own) for own in cells_by_target(case.grid).values())
    choices = len(s.heads.images) * len(s.heads.traits)
    factors = 2 * 4.0 * (s.cross_fits + 1) * choices * (max(every.values()) + 1) ** 2
    encodings = len(subsets(tuple(case.grid.imaging))) * len(case.grid.targets) * n
    encoded = (12.0 * s.encoders.cross_fits + 16.0) * encodings
    return 8.0 * n * (3 * columns + 4 * cells + choices) + factors + encoded


def scan_bytes(form: Form) -> float:
    """Count the bytes of one person's scans in half precision, as `NetworkData` holds them.

    Parameters
    ----------
    form : Form
        Their network.

    Returns
    -------
    float
    """
    return 2.0 * sum(math.prod(s) for name, s in form.shapes.items() if name != TRAITS)


def is_kept(case: Case, form: Form) -> bool:
    """Tell whether scans stay in memory, or are read anew in each epoch.

    Parameters
    ----------
    case : Case
        People and settings.
    form : Form
        The network.

    Returns
    -------
    bool
    """
    s = case.modelling.encoders if form.joint else case.modelling.dedicated
    return case.parts.people * scan_bytes(form) <= s.cache_gb * 1e9


def memory_of_training(case: Case, form: Form, rate: StepRate) -> float:
    """Count the memory of a process that trains a network.

    Parameters
    ----------
    case : Case
        People and settings.
    form : Form
        The network.
    rate : StepRate
        Its cost; on the CPU activations are in the process too.

    Returns
    -------
    float
        Bytes.
    """
    n = case.parts.people
    # The batch at hand, as it was read and in single precision, and the next one.
    batches = 4 * form.loop.batch_size * scan_bytes(form)
    kept = n * scan_bytes(form) if is_kept(case, form) else 0.0
    outputs = 4.0 * len(subsets(tuple(case.grid.imaging))) * n * form.outputs if form.joint else 0.0
    # States to go back to, and the one that is written.
    states = 3.0 * rate.cost.state_bytes
    own = rate.device_bytes if rate.device == "cpu" else 0.0
    return batches + kept + outputs + states + own


def store_bytes(case: Case) -> float:
    """Bytes of everybody's preprocessed scans, not compressed.

    Parameters
    ----------
    case : Case
        Shapes and people.

    Returns
    -------
    float
    """
    shapes = case.shapes(1).values()
    each = sum((2.0 if len(s) == 4 else 4.0) * math.prod(s) for s in shapes)
    return each * case.parts.people


def prediction_rows(case: Case, strategy: str) -> float:
    """Rows of the table of predictions.

    Parameters
    ----------
    case : Case
        Cells, people, seeds.
    strategy : str
        Amortised has those of linear and of kernels too.

    Returns
    -------
    float
    """
    s, parts = case.modelling, case.parts
    counts = {
        LINEAR: len(case.grid.cells),
        KERNELS: len(case.grid.cells),
        AMORTISED: len(case.grid.cells) * (2 + s.encoders.seeds),
        DEDICATED: len(case.cells) * s.dedicated.seeds,
    }
    return float(counts[strategy] * (parts.validation + parts.test) * parts.folds)
