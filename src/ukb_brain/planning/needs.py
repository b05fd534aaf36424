"""Memory and disk of a run by its largest arrays: short formulas, nothing is run."""

import math

import numpy as np

from ukb_brain.imaging.connectivity import nodes_of
from ukb_brain.planning.case import Case
from ukb_brain.training.cells import encodings_used
from ukb_brain.training.dedicated import drawn_cells
from ukb_brain.training.inputs import subsets
from ukb_brain.training.settings import AMORTISED, DEDICATED, KERNELS, LINEAR, Dedicated, Encoders
from ukb_brain.training.vectors import BLOCK

# Matrices of pairs of people that a process holds while it fits kernels, about.
MATRICES = 8
# Bytes of a row of predictions in its file, and while all are gathered; both were measured.
FILED, GATHERED = 9.0, 165.0
HALF, SINGLE, DOUBLE = 2.0, 4.0, 8.0


def process_needs(case: Case) -> dict[str, float]:
    """Count bytes of the largest arrays of a process, by kind of work item.

    What a network itself takes (weights, what a batch saves for the way back) is not among them:
    its card tells.
    """
    s, n, pairs = case.modelling, case.parts.people, _pairs(case)
    features = max(math.prod(shape) for shape in case.shapes(s.kernels.pooling).values())
    # Two tiles of scans, or everybody's as read and less the mean.
    tiles = min(2 * SINGLE * n * features, s.kernels.memory_gb * 1e9)
    return {
        "vectors": 2 * SINGLE * min(BLOCK, n) * _made_edges(case),
        "grams": tiles + SINGLE * pairs,
        "kernels": MATRICES * DOUBLE * pairs,
        "encoders": _of_network(case, s.encoders),
        "cells": _of_cells(case),
        "dedicated": _of_network(case, s.dedicated),
    }


def _pairs(case: Case) -> float:
    learnt = case.parts.train + case.parts.validation
    return float(case.parts.people * min(learnt, case.modelling.kernels.exact_people))


def _made_edges(case: Case) -> int:
    """Count the numbers of a person's connectivity that are made of it once a fold."""
    edges, kind = case.planning.edges, case.modelling.connectivity
    there = {*case.grid.modalities} & {*case.vectors} - {*case.numbers}
    made = {"tangent": edges + nodes_of(edges), "partial": edges, "correlation": 0}
    return made[kind] if there else 0


def _of_network(case: Case, settings: Encoders | Dedicated) -> float:
    each = HALF * sum(math.prod(s) for s in case.shapes(settings.network.pooling).values())
    everybody = each * case.parts.people
    held = everybody if everybody <= settings.cache_gb * 1e9 else 0.0
    # The batch at hand, as it was read and in single precision, and the next one.
    return held + 4 * settings.loop.batch_size * each


def _of_cells(case: Case) -> float:
    """Count encodings of everybody by each network, and columns of all sets of imaging groups."""
    grid, n = case.grid, case.parts.people
    targets, traits = len(grid.targets), {d: 2 * len(grid.targets_of(d)) for d in grid.domains}
    encodings = len(subsets(tuple(grid.imaging))) * targets
    widths = {
        groups: len(encodings_used(groups)) * targets + sum(traits.values())
        for groups in {cell.inputs.groups for cell in grid.cells}
    }
    # As they are, as they are fitted, and with an intercept.
    columns = 3 * DOUBLE * sum(widths.values())
    return n * (columns + encodings * (3 * SINGLE * case.modelling.encoders.cross_fits + 16))


def store_bytes(case: Case) -> float:
    """Count bytes of everybody's preprocessed scans, not compressed."""
    shapes = case.shapes().values()
    voxel = np.dtype(case.stored).itemsize
    each = sum((voxel if len(s) == 4 else SINGLE) * math.prod(s) for s in shapes)
    return each * case.parts.people


def model_bytes(case: Case) -> float:
    """Count bytes of vectors and matrices of people, without networks and predictions."""
    matrices = SINGLE * _pairs(case) * len(case.grid.imaging)
    return case.parts.folds * (SINGLE * case.parts.people * _made_edges(case) + matrices)


def prediction_rows(case: Case, strategy: str) -> int:
    """Count rows of the table of predictions; amortised has those of linear and of kernels too."""
    s, parts, cells = case.modelling, case.parts, len(case.grid.cells)
    drawn = len(drawn_cells(case.grid, case.planning.dedicated_cells))
    count = {
        LINEAR: cells,
        KERNELS: cells,
        AMORTISED: cells * (2 + s.encoders.seeds),
        DEDICATED: drawn * s.dedicated.seeds,
    }
    return count[strategy] * (parts.validation + parts.test) * parts.folds
