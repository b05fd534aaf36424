"""A cell's folds as the engine takes them: one column of a target's predictions."""

from __future__ import annotations

import numpy as np

from ukb_brain.statistics.scores.cell_scores import scored_with_percentiles
from ukb_brain.statistics.scores.target_predictions import TargetPredictions


def table_of(kind, folds, thresholds):
    visit, family, y, p = (np.concatenate(values) for values in zip(*folds, strict=True))
    labels = tuple(range(len(folds)))
    return TargetPredictions(
        target="t",
        kind=kind,
        inputs=("a",),
        visit=visit,
        family=family,
        fold=np.repeat(labels, [len(fold.y_true) for fold in folds]),
        y=y,
        predicted=p[:, None],
        threshold=np.reshape(thresholds, (-1, 1)),
        folds=labels,
    )


def score_folds(kind, folds, thresholds, draws=None, level=0.95, headline_only=False):
    """Metrics of the cell, with bounds where there are draws."""
    found = scored_with_percentiles(table_of(kind, folds, thresholds), draws, level, headline_only)
    return found.drop(columns=["target", "inputs"]).iloc[0].to_dict()
