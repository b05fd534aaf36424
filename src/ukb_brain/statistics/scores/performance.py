"""The performance tables: what every fit scores on test people, and the legibility map."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.metrics import RECOMMENDED
from ukb_brain.statistics.draws import FamilyDraws, bounded_columns
from ukb_brain.statistics.kinds import LABELS
from ukb_brain.statistics.scores.cell_scores import scored_with_percentiles
from ukb_brain.statistics.scores.target_predictions import (
    CELL,
    cells_of,
    in_grid,
    of_strategy,
    people_in_test,
    side_by_side,
)

logger = logging.getLogger(__name__)

METRIC_COLUMNS = bounded_columns(*RECOMMENDED)
# Of single fits only what skill is made of has intervals: nobody reads others.
METRICS_OF_FITS = [
    name for name in METRIC_COLUMNS if name in (*RECOMMENDED, *bounded_columns(*LABELS))
]
SPREAD_COLUMNS = [f"{metric}_seed_sd" for metric in RECOMMENDED]
GROUP = ["strategy", "fold", "seed"]


def performance_columns(grid: Grid, every: bool = False) -> dict[str, str]:
    """Columns of the performance table, in their order, with their types.

    That of ``every`` strategy, fold and seed has the column ``fold``, intervals of the headline
    metrics only, and not the spread between seeds, which needs several.
    """
    metrics = METRICS_OF_FITS if every else METRIC_COLUMNS
    return (
        dict.fromkeys(["target", "domain", "kind", "inputs"], "str")
        | dict.fromkeys([*grid.modalities, *grid.domains], "bool")
        | {"n_train": "int64", "n_val": "int64", "n_test": "int64", "status": "str"}
        | dict.fromkeys([*metrics, "train_seconds"], "float64")
        | ({"strategy": "str", "fold": "int64"} if every else {"strategy": "str"})
        | {"seed": "int64"}
        | dict.fromkeys([] if every else SPREAD_COLUMNS, "float64")
    )


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


def score_map(
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    strategy: str,
    draws: FamilyDraws | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Score the strategy that parameters name, one row a cell; it is never chosen by test score.

    Seeds are an ensemble: their predictions are averaged within a fold, and the standard
    deviation of their own scores stands beside each metric of the ensemble. Folds are combined
    by the rule of `ukb_brain.statistics.scores.engine.score_draws`.

    Everybody is scored or nobody: only seeds that were scored in every fold count, and a cell
    without any such seed is empty, with a status that says how many folds have no score and why.
    What its other folds scored is in `score_all`. A cell without any fit has the status
    ``not fitted``.

    Parameters
    ----------
    draws : FamilyDraws, optional
        As for `score_all`: with one fold and seed the scores are the same. Without draws there are
        no bounds; see `with_intervals`.

    Returns
    -------
    pandas.DataFrame
        Columns of `performance_columns`, one row a cell, in the order of the grid. ``n_train``
        and ``n_val`` are means over folds, ``n_test`` and ``train_seconds`` totals; ``seed`` is
        the smallest.

    Raises
    ------
    InputError
        If no fit is of that strategy, predictions belong to nobody among the participants, or
        are of different runs.
    """
    fits, tested = of_strategy(predictions, cell_fits, participants, grid, strategy)
    scored = score_fits(fits, tested, grid, draws, level)
    if len(fits["seed"].unique()) > 1:
        scored = scored.merge(_spread(fits, tested, grid), on=CELL, how="left")
    table = cells_of(grid)[CELL].merge(scored, on=CELL, how="left")
    table = table.merge(_counts(fits), on=CELL, how="left")
    blank = {"n_train": 0, "n_val": 0, "n_test": 0, "seed": fits["seed"].min()}
    table = table.fillna(blank | {"status": "not fitted"})
    return typed(table.assign(strategy=strategy), grid, every=False)


def _counts(fits: pd.DataFrame) -> pd.DataFrame:
    by_cell = fits.groupby(CELL, observed=True)
    # Seeds test the same people, folds different ones.
    of_fold = fits.drop_duplicates([*CELL, "fold"], keep="last").groupby(CELL, observed=True)
    seconds, seed = by_cell["train_seconds"].sum(min_count=1), by_cell["seed"].min()
    means = by_cell[["n_train", "n_val"]].mean().round()
    return means.assign(n_test=of_fold["n_test"].sum(), train_seconds=seconds, seed=seed)


def _spread(fits: pd.DataFrame, tested: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """SD between the scores of a cell's seeds, as far as these have scores in every fold."""
    folds = sorted(fits["fold"].unique().tolist())
    seeds = [score_fits(mine, tested, grid, folds=folds) for _, mine in fits.groupby("seed")]
    alone = pd.concat(seeds)
    scored = alone["status"] == "ok"
    share = scored.groupby([alone["target"], alone["inputs"]]).mean()
    if lost := int(((share > 0) & (share < 1)).sum()):
        logger.warning("%s cells average fewer seeds than were fitted: some have no scores.", lost)
    spread = alone[scored].drop(columns="status").groupby(CELL).std(skipna=False)
    return spread.add_suffix("_seed_sd")


def with_intervals(performance: pd.DataFrame, intervals: pd.DataFrame) -> pd.DataFrame:
    """Give every metric of the map its recommended interval; bounds are NaN where it has none.

    Parameters
    ----------
    intervals : pandas.DataFrame
        From `ukb_brain.statistics.certainty.cell_intervals.interval_table`, of the same people.

    Raises
    ------
    InputError
        If an estimate differs: the tables are of different runs.
    """
    keys = pd.MultiIndex.from_frame(performance[CELL])
    filled = performance.copy()
    for metric, rows in intervals.groupby("metric"):
        theirs = rows.set_index(CELL).reindex(keys)
        estimates = performance[metric].to_numpy(float), theirs["estimate"].to_numpy(float)
        if not np.allclose(*estimates, rtol=1e-6, atol=1e-9, equal_nan=True):
            raise InputError(
                f"The map's {metric} is not that of the table of intervals: they are of different "
                "runs. Run `kedro run --pipelines reporting`."
            )
        for end in ("low", "high"):
            filled[f"{metric}_{end}"] = theirs[end].to_numpy(float)
    return filled


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
    types, cells = performance_columns(grid, every), cells_of(grid)
    table = table.merge(cells, on=CELL, how="left", validate="many_to_one")
    return table.reindex(columns=list(types)).astype(types)
