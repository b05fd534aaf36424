"""Test people of each fit, ensembles over seeds, and scores over folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.errors import InputError
from ukb_brain.statistics.draws import bounded
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import score_draws
from ukb_brain.statistics.sums import Floats

KEYS = ["target", "inputs", "strategy", "fold", "seed"]

# From families, shape (n,), to bootstrap weights, shape (draws, n).
Weights = Callable[[NDArray[np.int64]], Floats]


class Predicted(NamedTuple):
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
    """Collect the test people of each fit, by target, inputs, strategy, fold and seed.

    Parameters
    ----------
    participants : pandas.DataFrame, optional
        ``eid, instance, family``. Without it everybody is a family.

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
    """Say of a row of the cell fits ``ok``, or why it has no scores on its test people."""
    if fit["status"] != "ok":
        return str(fit["status"])
    if people is None:
        return "no test predictions"
    if len(people.y_true) < 2:
        return "fewer than two people in test"
    if KINDS[kind].rarest(people.y_true) < 1:
        return f"{KINDS[kind].constant} in test"
    if not np.isfinite(people.y_pred).all():
        return "predictions are not finite"
    return "ok"


def threshold_of(fit: Mapping[Any, Any], kind: str) -> float:
    """Look up where a fit's predictions are split: decision threshold, or training median."""
    return float(fit[KINDS[kind].cut])


def ensemble(members: Sequence[Predicted]) -> Predicted:
    """Average the predictions of fits of one cell and fold that differ in the seed.

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
    return first._replace(y_pred=np.mean([member.y_pred for member in members], axis=0))


def joined(folds: Sequence[Predicted]) -> tuple[NDArray[np.int64], Predicted]:
    """Put the people of all folds together, and say in which each is: 0, 1, ..."""
    place = np.repeat(np.arange(len(folds)), [len(fold.y_true) for fold in folds])
    return place, Predicted(*map(np.concatenate, zip(*folds, strict=True)))


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
    folds : sequence of Predicted
        Nobody is in two.
    thresholds : sequence of float
        Each fold's decision threshold, or training median of a continuous target.
    weights : callable, optional
        Without it there are no intervals.
    bounds_of : sequence of str, optional
        Metrics that have intervals; all where it is not given.

    Returns
    -------
    dict of str to float
        Metrics of the kind, each with ``_low`` and ``_high`` where it has an interval. There is
        no score if a fold has none.
    """
    place, people = joined(folds)
    given = (kind, people.y_true, people.y_pred)
    cut = np.reshape(thresholds, (-1, 1))
    sample = score_draws(*given, np.ones((1, len(place))), place, cut, every_fold=True)
    drawn = score_draws(*given, weights(people.family), place, cut, bounds_of) if weights else {}
    row: dict[str, float] = {}
    for name, (estimate,) in sample.items():
        row[name] = float(estimate)
        if name in drawn:
            row |= bounded(name, row[name], drawn[name], level)
    return row
