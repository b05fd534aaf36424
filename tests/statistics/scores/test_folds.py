import numpy as np
import pytest
import sklearn.metrics as sk
from plain_scores import Predicted
from score_cases import score_folds

from ukb_brain.statistics.draws import FamilyDraws, bounded_columns
from ukb_brain.statistics.kinds import KINDS

SIZES, THRESHOLDS = (25, 40, 60), (0.35, 0.5, 0.6)


def folds_of(kind, rng):
    """Three folds of unequal size on scales of their own; families straddle them."""
    folds, start = [], 0
    for at, n in enumerate(SIZES):
        y = np.r_[0.0, 1.0, rng.integers(0, 2, n - 2)] if kind == "binary" else rng.normal(at, 1, n)
        p = 0.3 * y + 0.1 * at + 0.2 * rng.normal(size=n)
        visit = np.column_stack([start + np.arange(n), np.full(n, 2)])
        folds.append(Predicted(visit, rng.integers(0, 30, n), y, np.round(p, 2)))
        start += n
    return folds


def references(kind, folds):
    """The same scores by scikit-learn; ``folds`` are pairs of truth and prediction."""
    y, p = (np.concatenate(values) for values in zip(*folds, strict=True))
    size = np.array([len(truth) for truth, _ in folds])

    def mean(score):
        values = np.array([score(*fold, t) for fold, t in zip(folds, THRESHOLDS, strict=True)])
        known = np.isfinite(values)
        return np.average(values[known], weights=size[known]) if known.any() else np.nan

    def of_two(score):
        return mean(lambda y, p, t: score(y, p, t) if len(np.unique(y)) == 2 else np.nan)

    if kind == "binary":
        return {
            "balanced_accuracy": of_two(lambda y, p, t: sk.balanced_accuracy_score(y, p > t)),
            "roc_auc": of_two(lambda y, p, t: sk.roc_auc_score(y, p)),
            "average_precision": mean(
                lambda y, p, t: sk.average_precision_score(y, p) if y.any() else np.nan
            ),
            "brier": sk.mean_squared_error(y, p),
        }

    def split(y, p, t):
        above = y > t
        one_side = above.all() or not above.any()
        return np.nan if one_side else sk.balanced_accuracy_score(above, p > t)

    return {
        "r2": sk.r2_score(y, p),
        "pearson_r": np.corrcoef(y, p)[0, 1],
        "mae": sk.mean_absolute_error(y, p),
        "median_split_accuracy": mean(split),
    }


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_scores_and_intervals_are_those_of_written_out_resamples(kind):
    folds = folds_of(kind, np.random.default_rng(0))
    draws = FamilyDraws(range(30), 200, seed=3)
    found = score_folds(kind, folds, THRESHOLDS, draws, level=0.9)
    sample = [(fold.y_true, fold.y_pred) for fold in folds]
    resampled = []
    for draw in range(200):
        times = [draws.weights(fold.family)[draw].astype(int) for fold in folds]
        resampled.append(
            references(
                kind,
                [tuple(np.repeat(v, n) for v in one) for one, n in zip(sample, times, strict=True)],
            )
        )
    for metric, expected in references(kind, sample).items():
        low, high = np.nanquantile([one[metric] for one in resampled], [0.05, 0.95])
        row = [found[metric + end] for end in ("", "_low", "_high")]
        np.testing.assert_allclose(row, [expected, low, high], rtol=1e-9, err_msg=metric)
    assert list(found) == bounded_columns(*KINDS[kind].metrics)


def test_without_draws_there_are_the_same_scores_and_no_intervals():
    folds = folds_of("continuous", np.random.default_rng(1))
    draws = FamilyDraws(range(30), 100, seed=3)
    bare = score_folds("continuous", folds, THRESHOLDS)
    full = score_folds("continuous", folds, THRESHOLDS, draws)
    assert bare == {
        metric: full[metric] for metric in ("r2", "pearson_r", "mae", "median_split_accuracy")
    }


def test_a_shift_between_folds_costs_r2_but_no_area():
    rng = np.random.default_rng(2)
    y = np.tile([0.0, 1.0], 30)
    p = y + rng.normal(size=60)
    visit = np.column_stack([np.arange(60), np.full(60, 2)])
    level = [Predicted(visit, visit[:, 0], y, p), Predicted(visit + 60, visit[:, 0], y, p)]
    shifted = [level[0], Predicted(visit + 60, visit[:, 0], y, p + 5)]
    marks = (0.5, 0.5)
    areas = [score_folds("binary", folds, marks)["roc_auc"] for folds in (level, shifted)]
    assert areas[0] == areas[1]
    explained = [score_folds("continuous", folds, marks)["r2"] for folds in (level, shifted)]
    assert explained[1] < explained[0] - 1
