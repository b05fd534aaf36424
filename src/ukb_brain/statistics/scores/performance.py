"""The performance tables: what every cell scores on test people, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.metrics import RECOMMENDED
from ukb_brain.statistics.draws import FamilyDraws, bounded_columns
from ukb_brain.statistics.kinds import LABELS
from ukb_brain.statistics.scores.cell_scores import scored_with_percentiles
from ukb_brain.statistics.scores.target_predictions import (
    CELL,
    in_grid,
    people_in_test,
    side_by_side,
)

METRIC_COLUMNS = bounded_columns(*RECOMMENDED)
# Of single fits only what skill is made of has intervals: nobody reads others.
METRICS_OF_FITS = [
    name for name in METRIC_COLUMNS if name in (*RECOMMENDED, *bounded_columns(*LABELS))
]
SPREAD_COLUMNS = [f"{metric}_seed_sd" for metric in RECOMMENDED]
GROUP = ["strategy", "fold", "seed"]


def performance_columns(grid: Grid, every: bool = False) -> list[str]:
    """Columns of the performance table, in their order.

    That of ``every`` strategy, fold and seed has the column ``fold``, intervals of the headline
    metrics only, and not the spread between seeds, which needs several.
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

    Returns
    -------
    pandas.DataFrame
        Columns of `performance_columns`, in the order of strategy, fold, seed and grid. A fit whose
        status is not ``ok`` keeps its place with empty metrics.

    Raises
    ------
    InputError
        If predictions belong to nobody among the participants, or are of different runs.
    """
    tested = people_in_test(predictions, participants)
    rows, tables = tested.groupby(GROUP, observed=True).indices, []
    for key, fits in in_grid(cell_fits, grid).groupby(GROUP, observed=True):
        mine = tested.iloc[rows.get(key, [])]
        scored = score_fits(fits, mine, grid, draws, level, headline_only=True)
        tables.append(fits.drop(columns="status").merge(scored, on=CELL, how="left"))
    return typed(pd.concat(tables), grid, every=True)


def score_fits(
    fits: pd.DataFrame,
    tested: pd.DataFrame,
    grid: Grid,
    draws: FamilyDraws | None = None,
    level: float = 0.95,
    headline_only: bool = False,
    folds: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Score the cells of one strategy over its folds, which `side_by_side` puts together.

    Returns
    -------
    pandas.DataFrame
        ``target, inputs, status`` and metrics; one row a cell that has fits, in the order of the
        grid.
    """
    targets, status = side_by_side(fits, tested, grid, folds)
    scored = [
        scored_with_percentiles(table, draws, level, headline_only) for table in targets.values()
    ]
    return status.merge(pd.concat(scored), on=CELL, how="left") if scored else status


def typed(table: pd.DataFrame, grid: Grid, every: bool) -> pd.DataFrame:
    """Give a table with ``target, inputs`` all columns of performance, and their types."""
    cells = pd.DataFrame(
        {
            "target": cell.target,
            "inputs": cell.inputs.name,
            "domain": grid.targets[cell.target].domain,
            "kind": grid.targets[cell.target].kind,
        }
        | grid.flags(cell.inputs)
        for cell in grid.cells
    )
    metrics = METRICS_OF_FITS if every else [*METRIC_COLUMNS, *SPREAD_COLUMNS]
    counts = ["n_train", "n_val", "n_test", "seed", *(["fold"] if every else [])]
    types = dict.fromkeys([*metrics, "train_seconds"], "float64")
    types |= dict.fromkeys(counts, "int64")
    types |= dict.fromkeys([*grid.modalities, *grid.domains], "bool")
    table = table.merge(cells, on=CELL, how="left", validate="many_to_one")
    return table.reindex(columns=performance_columns(grid, every)).astype(types)
