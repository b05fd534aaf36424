"""The legibility map: one strategy's cells, with seeds averaged and folds combined."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.scores.folds import (
    KEYS,
    Predicted,
    Weights,
    ensemble,
    predicted_people,
    score_folds,
    status_of,
    threshold_of,
)
from ukb_brain.statistics.scores.performance import Row, described, in_grid, typed

logger = logging.getLogger(__name__)

Fit = dict[Any, Any]


@dataclass(frozen=True, eq=False)
class Combined:
    """A cell's fits of one strategy.

    Attributes
    ----------
    status : str
        ``ok``, or in how many folds no seed has scores, and why.
    members : list of list of Predicted
        By seed that has scores in every fold, and fold.
    thresholds : list of list of float
        Likewise.
    lost : int
        Number of further seeds.
    """

    status: str
    members: list[list[Predicted]]
    thresholds: list[list[float]]
    lost: int = 0

    @property
    def averaged(self) -> list[Predicted]:
        """The ensemble's test people, by fold."""
        return [ensemble(of_fold) for of_fold in zip(*self.members, strict=True)]

    @property
    def threshold(self) -> list[float]:
        """The ensemble's thresholds, by fold; they differ between seeds only where chosen so."""
        return list(np.median(self.thresholds, axis=0))


def fits_by_cell(cell_fits: pd.DataFrame) -> dict[tuple[str, str], list[Fit]]:
    """Group the fits of one strategy.

    Parameters
    ----------
    cell_fits : pandas.DataFrame
        One row a target, inputs, fold and seed.

    Returns
    -------
    dict of (str, str) to list of dict
        Rows by target and inputs.
    """
    grouped: dict[tuple[str, str], list[Fit]] = {}
    for fit in cell_fits.to_dict("records"):
        grouped.setdefault((fit["target"], fit["inputs"]), []).append(fit)
    return grouped


def combine(
    fits: Sequence[Fit], folds: Sequence[int], kind: str, people: Mapping[tuple, Predicted]
) -> Combined:
    """Collect a cell's seeds that have scores in every fold.

    Parameters
    ----------
    fits : sequence of dict
        The cell's rows of the fits of one strategy; see `fits_by_cell`.
    folds : sequence of int
        All folds of that strategy.
    kind : str
        ``binary`` or ``continuous``.
    people : dict of tuple to Predicted
        From `ukb_brain.statistics.scores.folds.predicted_people`.

    Returns
    -------
    Combined
    """
    found = {(fit["seed"], fit["fold"]): fit for fit in fits}
    tested = {at: people.get(tuple(fit[key] for key in KEYS)) for at, fit in found.items()}
    status = {at: status_of(fit, kind, tested[at]) for at, fit in found.items()}
    seeds = sorted({seed for seed, _ in found})
    reasons = {
        seed: [why for f in folds if (why := status.get((seed, f), "not fitted")) != "ok"]
        for seed in seeds
    }
    complete = [seed for seed in seeds if not reasons[seed]]
    if not complete:
        fewest = min(reasons.values(), key=len)
        where = f"{len(fewest)} of {len(folds)} folds: " if len(folds) > 1 else ""
        return Combined(where + fewest[0], [], [])
    members = [[one for f in folds if (one := tested[seed, f]) is not None] for seed in complete]
    thresholds = [[threshold_of(found[seed, f], kind) for f in folds] for seed in complete]
    return Combined("ok", members, thresholds, len(seeds) - len(complete))


def score_map(
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    strategy: str,
    draws: int = 0,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Score the strategy that parameters name, one row a cell; it is never chosen by test score.

    Seeds are an ensemble: their predictions are averaged within a fold, and the standard
    deviation of their own scores stands beside each metric of the ensemble. Folds are combined
    by `ukb_brain.statistics.scores.folds.score_folds`.

    Everybody is scored or nobody: only seeds that were scored in every fold count, and a cell
    without any such seed is empty, with a status that says how many folds have no score and why.
    What its other folds scored is in `score_all`. A cell without any fit has the status
    ``not fitted``.

    Parameters
    ----------
    predictions, cell_fits, participants : pandas.DataFrame
        As for `score_all`.
    grid : Grid
        Its cells are the rows.
    strategy : str
        Name of a strategy among the fits.
    draws, level, seed : int, float, int
        Of the bootstrap, as for `score_all`: with one fold and seed the scores are the same.
        Without draws there are no bounds; see `with_intervals`.

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
        seeds have different test people.
    """
    fits = in_grid(cell_fits.loc[cell_fits["strategy"] == strategy], grid)
    if fits.empty:
        raise InputError(
            f"Parameter reporting.strategy is {strategy!r}, but the fits are of "
            f"{sorted(cell_fits['strategy'].unique())}: name one of these, or add it to the "
            "strategies of the modelling pipeline and run that again."
        )
    people = predicted_people(predictions.loc[predictions["strategy"] == strategy], participants)
    weights = FamilyDraws(participants["family"], draws, seed).weights if draws else None
    folds = sorted(fits["fold"].unique().tolist())
    of_cell = fits_by_cell(fits)
    blank: Row = {"strategy": strategy, "seed": fits["seed"].min(), "status": "not fitted"}
    blank |= {"n_train": 0, "n_val": 0, "n_test": 0}
    rows, lost = [], 0
    for cell in grid.cells:
        row = blank | described(cell, grid)
        mine = of_cell.get((cell.target, cell.inputs.name))
        if mine:
            kind = grid.targets[cell.target].kind
            combined = combine(mine, folds, kind, people)
            row |= _counts(mine) | _scores(combined, kind, weights, level)
            lost += combined.lost > 0
        rows.append(row)
    if lost:
        logger.warning("%s cells average fewer seeds than were fitted: some have no scores.", lost)
    return typed(pd.DataFrame(rows), grid, every=False)


def with_intervals(performance: pd.DataFrame, intervals: pd.DataFrame) -> pd.DataFrame:
    """Give every metric of the map its recommended interval.

    Parameters
    ----------
    performance : pandas.DataFrame
        From `score_map`.
    intervals : pandas.DataFrame
        From `ukb_brain.statistics.certainty.cell_tables.interval_table`, of the same people.

    Returns
    -------
    pandas.DataFrame
        With these bounds; missing where a metric has none.

    Raises
    ------
    InputError
        If an estimate differs: the tables are of different runs.
    """
    keys = pd.MultiIndex.from_frame(performance[["target", "inputs"]])
    filled = performance.copy()
    for metric, rows in intervals.groupby("metric"):
        theirs = rows.set_index(["target", "inputs"]).reindex(keys)
        estimates = performance[metric].to_numpy(float), theirs["estimate"].to_numpy(float)
        if not np.allclose(*estimates, rtol=1e-6, atol=1e-9, equal_nan=True):
            raise InputError(
                f"The map's {metric} is not that of the table of intervals: they are of different "
                "runs. Run `kedro run --pipelines reporting`."
            )
        for end in ("low", "high"):
            filled[f"{metric}_{end}"] = theirs[end].to_numpy(float)
    return filled


def _counts(fits: Sequence[Fit]) -> Row:
    seconds = [fit["train_seconds"] for fit in fits if not np.isnan(fit["train_seconds"])]
    return {
        "n_train": round(np.mean([fit["n_train"] for fit in fits])),
        "n_val": round(np.mean([fit["n_val"] for fit in fits])),
        # Seeds test the same people, folds different ones.
        "n_test": sum({fit["fold"]: fit["n_test"] for fit in fits}.values()),
        "train_seconds": sum(seconds) if seconds else np.nan,
        "seed": min(fit["seed"] for fit in fits),
    }


def _scores(combined: Combined, kind: str, weights: Weights | None, level: float) -> Row:
    """Scores of a cell's ensemble over its folds, and their spread between seeds."""
    if combined.status != "ok":
        return {"status": combined.status}
    row = score_folds(kind, combined.averaged, combined.threshold, weights, level)
    spread: Row = {}
    if len(combined.members) > 1:
        pairs = zip(combined.members, combined.thresholds, strict=True)
        alone = [score_folds(kind, member, thresholds) for member, thresholds in pairs]
        spread = {f"{m}_seed_sd": np.std([one[m] for one in alone], ddof=1) for m in alone[0]}
    return row | spread | {"status": "ok"}
