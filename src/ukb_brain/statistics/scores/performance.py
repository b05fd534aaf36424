"""The performance tables: what every cell scores on test people, with intervals."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ukb_brain.grid import Cell, Grid
from ukb_brain.metrics import RECOMMENDED
from ukb_brain.statistics.draws import FamilyDraws, bounded_columns
from ukb_brain.statistics.kinds import KINDS, LABELS
from ukb_brain.statistics.scores.folds import (
    KEYS,
    predicted_people,
    score_folds,
    status_of,
    threshold_of,
)

METRIC_COLUMNS = bounded_columns(*RECOMMENDED)
# Of single fits only what skill is made of has intervals: nobody reads others.
METRICS_OF_FITS = [
    name for name in METRIC_COLUMNS if name in RECOMMENDED or name.startswith(tuple(LABELS))
]
SPREAD_COLUMNS = [f"{metric}_seed_sd" for metric in RECOMMENDED]

Row = dict[str, Any]


def performance_columns(grid: Grid, every: bool = False) -> list[str]:
    """Columns of the performance table, in their order.

    Parameters
    ----------
    grid : Grid
        Its modalities and domains are the boolean columns.
    every : bool
        Of the table of all strategies, folds and seeds: with the column ``fold``, with intervals
        of the headline metrics only, and without the spread between seeds, which needs several.
    """
    return [
        *("target", "domain", "kind", "inputs"),
        *(*grid.modalities, *grid.domains),
        *("n_train", "n_val", "n_test", "status"),
        *(METRICS_OF_FITS if every else METRIC_COLUMNS),
        *("train_seconds", "strategy"),
        *(("fold", "seed") if every else ("seed", *SPREAD_COLUMNS)),
    ]


def score_all(
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    draws: FamilyDraws,
    level: float = 0.95,
) -> pd.DataFrame:
    """Score every fit of every strategy, fold and seed on its test people.

    Parameters
    ----------
    cell_fits : pandas.DataFrame
        A row whose status is not ``ok`` keeps its place with empty metrics.
    participants : pandas.DataFrame
        ``eid, instance, family``.

    Returns
    -------
    pandas.DataFrame
        Columns of `performance_columns`, in the order of strategy, fold, seed and grid.

    Raises
    ------
    InputError
        If predictions belong to nobody among the participants.
    """
    people = predicted_people(predictions, participants)
    rows = []
    for fit in in_grid(cell_fits, grid).to_dict("records"):
        cell = grid.cells[fit["cell"]]
        mine = people.get(tuple(fit[key] for key in KEYS))
        kind = grid.targets[cell.target].kind
        row = fit | described(cell, grid) | {"status": status_of(fit, kind, mine)}
        if row["status"] == "ok" and mine is not None:
            given = ([mine], [threshold_of(fit, kind)], draws.weights, level)
            row |= score_folds(kind, *given, bounds_of=[KINDS[kind].headline])
        rows.append(row)
    return typed(pd.DataFrame(rows), grid, every=True)


def in_grid(cell_fits: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Add each fit's place in the grid, ``cell``, and leave out what is not of the grid.

    Rows are in the order of strategy, fold, seed and grid.
    """
    place = {(cell.target, cell.inputs.name): at for at, cell in enumerate(grid.cells)}
    at = [place.get(key, -1) for key in zip(cell_fits["target"], cell_fits["inputs"], strict=True)]
    fits = cell_fits.assign(cell=at).query("cell >= 0")
    return fits.sort_values(["strategy", "fold", "seed", "cell"])


def described(cell: Cell, grid: Grid) -> Row:
    """Say what a cell is: ``target, domain, kind, inputs`` and the boolean columns."""
    target = grid.targets[cell.target]
    names = {"target": cell.target, "domain": target.domain, "kind": target.kind}
    return names | {"inputs": cell.inputs.name} | grid.flags(cell.inputs)


def typed(table: pd.DataFrame, grid: Grid, every: bool) -> pd.DataFrame:
    """Give a performance table its columns, empty where it lacks them, and their types."""
    metrics = METRICS_OF_FITS if every else [*METRIC_COLUMNS, *SPREAD_COLUMNS]
    counts = ["n_train", "n_val", "n_test", "seed", *(["fold"] if every else [])]
    types = dict.fromkeys([*metrics, "train_seconds"], "float64")
    types |= dict.fromkeys(counts, "int64")
    types |= dict.fromkeys([*grid.modalities, *grid.domains], "bool")
    table = table.reindex(columns=performance_columns(grid, every))
    return table.astype(types).reset_index(drop=True)
