"""Do scores hold beyond those who take part: participation weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import measured
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import Labels, headline
from ukb_brain.statistics.scores.target_predictions import rows_of
from ukb_brain.statistics.tested import Tested
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

WEIGHT = "participation_weight"


def match_participation(eid: Sequence[int] | NDArray[np.int64], table: pd.DataFrame) -> Floats:
    """Look up people's participation weights.

    Weights such as those of Schoeler et al. and van Alten et al., see `score_weighted`.

    Parameters
    ----------
    table : pandas.DataFrame
        ``eid, weight``, one row a person: how many people of the population one participant
        stands for, up to a factor.

    Returns
    -------
    ndarray, shape (n,)
        NaN where the table lacks the person.

    Raises
    ------
    InputError
        If a column is not there, a person has two rows, a weight is not a positive number, or
        nobody has one.
    """
    absent = sorted({"eid", "weight"} - set(table.columns))
    if absent:
        raise InputError(
            f"The table of participation weights has no column {', '.join(absent)}; it needs eid "
            "and weight. Rename its columns."
        )
    twice = int(table["eid"].duplicated().sum())
    if twice:
        raise InputError(
            f"The table of participation weights has {twice} rows of people that it holds "
            "already; one row a person was expected. Remove the duplicates."
        )
    weight = pd.to_numeric(table["weight"], errors="coerce").astype(float)
    wrong = int((~np.isfinite(weight) | (weight <= 0)).sum())
    if wrong:
        raise InputError(
            f"The table of participation weights has {wrong} weights that are not positive "
            "numbers. Remove these rows; who has no weight is left out of this analysis."
        )
    by_eid = pd.Series(weight.to_numpy(), index=table["eid"].to_numpy())
    found: Floats = np.asarray(by_eid.reindex(np.asarray(eid)), dtype=np.float64)
    if np.isnan(found).all():
        raise InputError(
            f"None of {len(found)} imaging visits is of a person in the table of participation "
            f"weights ({len(table)} rows): its eids are of another application. Use a table of "
            "yours, or remove it."
        )
    return found


def score_weighted(
    kind: str,
    y_true: Floats,
    y_pred: Floats,
    participation: Floats,
    weights: Floats,
    fold: Labels | None = None,
    level: float = 0.95,
) -> dict[str, float]:
    """Score a cell as it would be if people took part alike, beside the plain score.

    Inverse-probability weights of UK Biobank: Schoeler et al., Nature Human Behaviour
    2023;7:1216-1227; van Alten et al., International Journal of Epidemiology 2024;53:dyae054. They
    repair selection on what they were made from, at entry to the cohort; who came to the scan is a
    further selection. Weights are taken as known: intervals do not hold the uncertainty of their
    own estimation. The effective number is Kish's (Survey Sampling, 1965).

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (n,)
    participation : ndarray, shape (n,)
        From `match_participation`; people without a weight (NaN) are left out of both scores.
    weights : ndarray, shape (draws, n)
    fold : ndarray, shape (n,), optional

    Returns
    -------
    dict of str to float
        ``plain, weighted`` and their ``difference``, each with ``_low`` and ``_high``; ``n``
        people with a weight, and ``n_effective``, how many equally weighted people would say as
        much.
    """
    known = np.isfinite(participation)
    y, p, share = y_true[known], y_pred[known], participation[known]
    of = None if fold is None else fold[known]

    def estimates(w: Floats) -> dict[str, Floats]:
        plain, weighted = headline(kind, y, p, w, of), headline(kind, y, p, w * share, of)
        return {"plain": plain, "weighted": weighted, "difference": weighted - plain}

    counts = {"n": float(known.sum()), "n_effective": float(share.sum() ** 2 / (share @ share))}
    return counts | measured(estimates, weights[:, known], level)


def participation_table(tested: Tested, participants: pd.DataFrame) -> pd.DataFrame:
    """Score each target's fullest cell as if people took part alike.

    Parameters
    ----------
    participants : pandas.DataFrame
        ``eid, instance`` and, where weights were given, ``participation_weight``.

    Returns
    -------
    pandas.DataFrame
        One row a target: ``target, inputs, metric`` and what `score_weighted` says; no rows without
        weights.
    """
    rows: list[dict[str, Any]] = []
    for key, cell in tested.in_full() if WEIGHT in participants else ():
        share = rows_of(cell.visit, participants)[WEIGHT].to_numpy(float)
        row: dict[str, Any] = {"target": key, "inputs": cell.inputs[0]}
        row["metric"] = KINDS[cell.kind].headline
        if np.isfinite(share).any():
            people = (cell.y, cell.predicted[:, 0], share, tested.draws.weights(cell.family))
            row |= score_weighted(cell.kind, *people, cell.fold, tested.level)
        rows.append(row)
    return table_of(reported.participation, rows)
