"""The legibility map: one strategy's cells, with seeds averaged and folds combined."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    """A cell's fits of one strategy, and its seeds that have scores in every fold.

    Attributes
    ----------
    kind : str
        ``binary`` or ``continuous``.
    fits : list of dict
        Rows of the cell fits.
    status : str
        ``ok``, or in how many folds no seed has scores, and why.
    folds : list of int
        All of the strategy.
    members : list of list of Predicted
        By such seed, and fold.
    thresholds : list of list of float
        Likewise.
    """

    kind: str
    fits: list[Fit]
    status: str
    folds: list[int]
    members: list[list[Predicted]] = field(default_factory=list)
    thresholds: list[list[float]] = field(default_factory=list)

    @property
    def averaged(self) -> list[Predicted]:
        """The ensemble's test people, by fold."""
        return [ensemble(of_fold) for of_fold in zip(*self.members, strict=True)]

    @property
    def threshold(self) -> list[float]:
        """The ensemble's thresholds, by fold; they differ between seeds only where chosen so."""
        return list(np.median(self.thresholds, axis=0))


def combine_cells(
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame | None,
    grid: Grid,
    strategy: str,
) -> dict[tuple[str, str], Combined]:
    """Combine the seeds and folds of a strategy's cells.

    Returns
    -------
    dict of (str, str) to Combined
        By target and inputs; in the order of the grid, without cells that have no fit.

    Raises
    ------
    InputError
        If no fit is of that strategy, or predictions belong to nobody among the participants.
    """
    fits = in_grid(cell_fits.loc[cell_fits["strategy"] == strategy], grid)
    if fits.empty:
        raise InputError(
            f"There are no fits of strategy {strategy!r}, only of "
            f"{sorted(cell_fits['strategy'].unique())}: name one of these in reporting.strategy, "
            "or add it to the strategies of the modelling pipeline and run that again."
        )
    people = predicted_people(predictions.loc[predictions["strategy"] == strategy], participants)
    folds = sorted(fits["fold"].unique().tolist())
    found = {}
    for (_, target, inputs), rows in fits.groupby(["cell", "target", "inputs"], observed=True):
        kind = grid.targets[target].kind
        found[target, inputs] = _combined(kind, rows.to_dict("records"), folds, people)
    return found


def _combined(
    kind: str, fits: list[Fit], folds: list[int], people: Mapping[tuple, Predicted]
) -> Combined:
    found = {(fit["seed"], fit["fold"]): fit for fit in fits}
    tested = {at: people.get(tuple(fit[key] for key in KEYS)) for at, fit in found.items()}
    status = {at: status_of(fit, kind, tested[at]) for at, fit in found.items()}
    reasons = {
        seed: [why for f in folds if (why := status.get((seed, f), "not fitted")) != "ok"]
        for seed in sorted({seed for seed, _ in found})
    }
    complete = [seed for seed, why in reasons.items() if not why]
    if not complete:
        fewest = min(reasons.values(), key=len)
        where = f"{len(fewest)} of {len(folds)} folds: " if len(folds) > 1 else ""
        return Combined(kind, fits, where + fewest[0], folds)
    members = [[one for f in folds if (one := tested[seed, f]) is not None] for seed in complete]
    thresholds = [[threshold_of(found[seed, f], kind) for f in folds] for seed in complete]
    return Combined(kind, fits, "ok", folds, members, thresholds)


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
    by `ukb_brain.statistics.scores.folds.score_folds`.

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
        As of `combine_cells`, or if seeds have different test people.
    """
    cells = combine_cells(predictions, cell_fits, participants, grid, strategy)
    seed = min(fit["seed"] for combined in cells.values() for fit in combined.fits)
    blank: Row = {"strategy": strategy, "seed": seed, "status": "not fitted"}
    blank |= {"n_train": 0, "n_val": 0, "n_test": 0}
    weights, rows, lost = draws.weights if draws else None, [], 0
    for cell in grid.cells:
        row = blank | described(cell, grid)
        combined = cells.get((cell.target, cell.inputs.name))
        if combined:
            row |= _counts(combined.fits) | _scores(combined, weights, level)
            lost += 0 < len(combined.members) < len({fit["seed"] for fit in combined.fits})
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


def _scores(combined: Combined, weights: Weights | None, level: float) -> Row:
    """Scores of a cell's ensemble over its folds, and their spread between seeds."""
    if combined.status != "ok":
        return {"status": combined.status}
    kind = combined.kind
    row = score_folds(kind, combined.averaged, combined.threshold, weights, level)
    spread: Row = {}
    if len(combined.members) > 1:
        pairs = zip(combined.members, combined.thresholds, strict=True)
        alone = pd.DataFrame([score_folds(kind, member, cuts) for member, cuts in pairs])
        spread = {f"{metric}_seed_sd": sd for metric, sd in alone.std(skipna=False).items()}
    return row | spread | {"status": "ok"}
