"""Test people of each fit, ensembles over seeds, and scores over folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import bounded
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import score_draws
from ukb_brain.statistics.sums import Floats

KEYS = ["target", "inputs", "strategy", "fold", "seed"]

Weights = Callable[[NDArray[np.int64]], Floats]


@dataclass(frozen=True, eq=False)
class Predicted:
    """Test people of a fit whose target is known, in the order of eid and instance.

    Attributes
    ----------
    visit : ndarray of int, shape (n, 2)
        eid and instance.
    family : ndarray of int, shape (n,)
        Relatives have the same.
    y_true, y_pred : ndarray, shape (n,)
        In the target's own units, or as probabilities.
    """

    visit: NDArray[np.int64]
    family: NDArray[np.int64]
    y_true: Floats
    y_pred: Floats


def predicted_people(
    predictions: pd.DataFrame, participants: pd.DataFrame | None = None
) -> dict[tuple, Predicted]:
    """Collect the test people of each fit.

    Parameters
    ----------
    predictions : pandas.DataFrame
        ``eid, instance, target, inputs, strategy, fold, seed, split, y_true, y_pred``.
    participants : pandas.DataFrame, optional
        ``eid, instance, family``. Without it everybody is a family.

    Returns
    -------
    dict of tuple to Predicted
        By target, inputs, strategy, fold and seed.

    Raises
    ------
    InputError
        If predictions belong to nobody among the participants.
    """
    test = predictions.loc[(predictions["split"] == "test") & predictions["y_true"].notna()]
    if participants is None:
        test = test.assign(family=test["eid"])
    else:
        families = participants[["eid", "instance", "family"]]
        test = test.merge(families, on=["eid", "instance"], how="left", validate="many_to_one")
    if test["family"].isna().any():
        raise InputError(
            f"{int(test['family'].isna().sum())} test predictions belong to nobody among the "
            "participants: the tables are of different runs. Run data_engineering and modelling "
            "again on one data root."
        )
    # The order of people decides in which order sums are added: fix it.
    test = test.sort_values(["eid", "instance"], kind="stable")
    visit, family = test[["eid", "instance"]].to_numpy(np.int64), test["family"].to_numpy(np.int64)
    y_true, y_pred = test["y_true"].to_numpy(float), test["y_pred"].to_numpy(float)
    rows = test.groupby(KEYS, sort=False, observed=True).indices
    return {
        cast("tuple", key): Predicted(visit[at], family[at], y_true[at], y_pred[at])
        for key, at in rows.items()
    }


def status_of(fit: Mapping[Any, Any], kind: str, people: Predicted | None) -> str:
    """Say whether a fit can be scored.

    Parameters
    ----------
    fit : mapping
        Row of the cell fits.
    kind : str
        ``binary`` or ``continuous``.
    people : Predicted, optional
        Its test people.

    Returns
    -------
    str
        ``ok``, or why there are no scores.
    """
    if fit["status"] != "ok":
        return str(fit["status"])
    if people is None:
        return "no test predictions"
    if len(people.y_true) < 2:
        return "fewer than two people in test"
    if KINDS[kind].rarest(people.y_true) < 1:
        return "one class in test"
    if not np.isfinite(people.y_pred).all():
        return "predictions are not finite"
    return "ok"


def threshold_of(fit: Mapping[Any, Any], kind: str) -> float:
    """Look up where a fit's predictions are split in two.

    Parameters
    ----------
    fit : mapping
        Row of the cell fits.
    kind : str
        ``binary`` or ``continuous``.

    Returns
    -------
    float
        The decision threshold, or the training median of a continuous target.
    """
    return float(fit[KINDS[kind].cut])


def ensemble(members: Sequence[Predicted]) -> Predicted:
    """Average the predictions of several seeds.

    Parameters
    ----------
    members : sequence of Predicted
        Fits of one cell and fold that differ in the seed.

    Returns
    -------
    Predicted
        The same people with mean predictions.

    Raises
    ------
    InputError
        If the members have different test people.
    """
    first = members[0]
    if not all(np.array_equal(member.visit, first.visit) for member in members):
        raise InputError(
            "The seeds of a cell have different test people, so their predictions cannot be "
            "averaged: they are of different runs. Delete the folders 06_models and "
            "07_model_output, and run `kedro run --pipelines modelling`."
        )
    mean = np.mean([member.y_pred for member in members], axis=0)
    return Predicted(first.visit, first.family, first.y_true, mean)


def score_folds(
    kind: str,
    folds: Sequence[Predicted],
    thresholds: Sequence[float],
    weights: Weights | None = None,
    level: float = 0.95,
    bounds_of: Sequence[str] | None = None,
) -> dict[str, float]:
    """Score a cell over its folds, by the rule of `ukb_brain.statistics.scores.engine.score_draws`.

    Parameters
    ----------
    kind : str
        ``binary`` or ``continuous``.
    folds : sequence of Predicted
        One a fold; nobody is in two.
    thresholds : sequence of float
        Each fold's decision threshold, or training median of a continuous target.
    weights : callable, optional
        From families, shape (n,), to bootstrap weights, shape (draws, n). Without it there are no
        intervals.
    level : float
        Coverage of the intervals.
    bounds_of : sequence of str, optional
        Metrics that have intervals; all where it is not given.

    Returns
    -------
    dict of str to float
        Metrics of the kind, each with ``_low`` and ``_high`` where it has an interval. There is
        no score if a fold has none.
    """
    of_fold = np.repeat(np.arange(len(folds)), [len(fold.y_true) for fold in folds])
    y, p, family = (
        np.concatenate([getattr(fold, name) for fold in folds])
        for name in ("y_true", "y_pred", "family")
    )
    cell = (of_fold, np.reshape(thresholds, (-1, 1)))
    sample = score_draws(kind, y, p, np.ones((1, len(y))), *cell, every_fold=True)
    drawn = score_draws(kind, y, p, weights(family), *cell, bounds_of) if weights else {}
    row: dict[str, float] = {}
    for name, (estimate,) in sample.items():
        found = bounded(name, float(estimate), drawn[name], level) if name in drawn else {}
        row |= found or {name: float(estimate)}
    return row
