"""Each target's imaging cell beside confounds alone, and within sites."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.statistics.certainty.delong import newcombe_area_interval
from ukb_brain.statistics.draws import measured
from ukb_brain.statistics.kinds import BINARY, KINDS
from ukb_brain.statistics.limits.confounds import (
    confound_design,
    confounds_baseline,
    gain_beyond_confounds,
    stack,
)
from ukb_brain.statistics.scores.cell_scores import score_within_sites
from ukb_brain.statistics.scores.engine import headline_of
from ukb_brain.statistics.scores.target_predictions import TargetPredictions, rows_of
from ukb_brain.statistics.tested import Tested
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of
from ukb_brain.tables.thresholds import fit_cut
from ukb_brain.tables.visits import one_visit

logger = logging.getLogger(__name__)

Row = dict[str, Any]
VISIT = ["eid", "instance"]


@dataclass(frozen=True, eq=False)
class Everybody:
    """What is known of all people at their chosen imaging visit, and their predictions.

    Attributes
    ----------
    targets, confounds, participants : pandas.DataFrame
        By ``eid, instance``.
    splits : pandas.DataFrame
        ``eid, fold, part``.
    covariates : tuple of str
        Columns of ``confounds`` that are asked for beside the confounds proper.
    """

    targets: pd.DataFrame
    confounds: pd.DataFrame
    participants: pd.DataFrame
    splits: pd.DataFrame
    validation: pd.DataFrame
    covariates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        absent = [name for name in self.covariates if name not in self.confounds]
        if absent:
            words = "The table lacks the covariates %s: they are left out."
            logger.warning(words, ", ".join(absent))


def confound_table(tested: Tested, unrefined: Tested, everybody: Everybody) -> pd.DataFrame:
    """Compare each target's imaging cell with confounds alone, and score it within sites.

    Parameters
    ----------
    unrefined : Tested
        What cells predicted before the ladder, which may give a cell with images the predictions
        of the one without: no evidence that images add nothing.

    Returns
    -------
    pandas.DataFrame
        One row a target: ``target, inputs, metric, n, status`` and, each with ``_low`` and
        ``_high``, ``score`` of the cell, ``confounds`` alone, ``together``, the ``gain`` of images
        and ``within_site``. The cell is the one with all imaging and as few blocks as may be; the
        gain is over confounds and the cell of these blocks, of which images get no credit, all by
        ``unrefined`` predictions.
        Confounds are site, phase, date, sex, age and its square, head size and head motion, less
        the target itself.
    """
    rows, level = [], tested.level
    for key, table in tested.targets.items():
        row: Row = {"target": key, "inputs": "", "metric": KINDS[table.kind].headline}
        cell = table.cell(tested.grid.imaging_alone(key))
        if cell is None:
            rows.append(row | {"status": "its imaging cell has no scores"})
            continue
        y, p, fold = cell.y, cell.predicted[:, 0], cell.fold
        weights = tested.draws.weights(cell.family)
        site = rows_of(cell.visit, everybody.participants)["site"].to_numpy()
        row |= {"inputs": cell.inputs[0], "n": len(y), "status": "ok"}
        row |= measured(headline_of(table.kind, y, p, fold), weights, level)
        row |= score_within_sites(cell, site, weights, level)
        if row["metric"] == BINARY.headline:
            row |= _perfect(row, int((y > 0).sum()), len(y), level)
        try:
            beyond = _beyond(unrefined.targets[key], everybody, tested.grid)
            row |= gain_beyond_confounds(table.kind, y, beyond, weights, fold, level)
        except InputError:
            # The reason counts people, and this table may leave.
            row["status"] = "too few training or validation people, or classes, for confounds"
        rows.append(row)
    return pd.DataFrame(rows) if rows else table_of(reported.confounds)


def _perfect(row: Row, positives: int, n: int, level: float) -> Row:
    """Give areas of 1, which no draw of people varies, the bounds that class sizes allow."""
    bounds = newcombe_area_interval(1.0, positives, n - positives, level)
    perfect = [name for name in ("score", "within_site") if row[name] == 1.0]
    return {f"{n}_{e}": b for n in perfect for e, b in zip(("low", "high"), bounds, strict=True)}


def _beyond(table: TargetPredictions, everybody: Everybody, grid: Grid) -> Floats:
    """Confounds alone, with the cell's blocks, and with its images too, for its test people.

    Shape (n, 3), each fold by what it was fitted on.
    """
    whole = grid.imaging_alone(table.target)
    # Without blocks there is no such cell.
    cells = [grid.inputs((), whole.blocks).name, whole.name]
    cells = [name for name in cells if name in table.inputs]
    columns = [table.inputs.index(name) for name in cells]
    people = table.restricted(np.isfinite(table.predicted[:, columns[-1]]))
    first = one_visit(everybody.participants)[[*VISIT, "family"]]
    place, family = pd.MultiIndex.from_frame(first[VISIT]), first["family"].to_numpy(np.int64)
    visits = first[VISIT].to_numpy(np.int64)
    confounds = rows_of(visits, everybody.confounds)
    cut = fit_cut(everybody.targets, everybody.participants, everybody.splits, grid)
    held = everybody.validation[everybody.validation["target"] == table.target]
    found = np.full((len(people.y), 3), np.nan)
    for fold in table.folds:
        part = everybody.splits[everybody.splits["fold"] == fold].set_index("eid")["part"]
        train = (first["eid"].map(part) == "train").to_numpy()
        y = rows_of(visits, cut(everybody.targets, fold))[table.target].to_numpy(float)
        X, _ = confound_design(confounds, train, table.target, everybody.covariates)
        baseline = pd.Series(confounds_baseline(table.kind, y, X, train, family), place)
        mine = held[(held["fold"] == fold) & (held["inputs"] == whole.name)].set_index(VISIT)
        if len(mine) < 2 or mine["y_true"].nunique() < 2:
            raise InputError(
                f"{len(mine)} validation people cannot say how to join confounds and cell"
            )
        of_fold = held[held["fold"] == fold].pivot_table(
            index=VISIT, columns="inputs", values="y_pred"
        )
        fit = np.column_stack([baseline.loc[mine.index], of_fold.loc[mine.index, cells]])
        here = people.fold == fold
        tested = pd.MultiIndex.from_arrays(list(people.visit[here].T))
        new = np.column_stack([baseline.loc[tested], people.predicted[np.ix_(here, columns)]])
        y_fit = mine["y_true"].to_numpy(float)
        for at, last in enumerate((1, -1, None)):
            found[here, at] = stack(table.kind, y_fit, fit[:, :last], new[:, :last])
    return found
