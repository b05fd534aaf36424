"""Skill of cells, draw by draw, so that differences between cells and strategies have intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import FamilyDraws, percentile_interval
from ukb_brain.statistics.kinds import KINDS, by_kind
from ukb_brain.statistics.scores.engine import headline
from ukb_brain.statistics.weighted_sums import Floats

CONF = Path(__file__).parents[1] / "conf/base"
DRAWS, LEVEL = 1000, 0.95


def parameters(name: str) -> dict:
    """Read a file of the default configuration."""
    return yaml.safe_load((CONF / f"parameters_{name}.yml").read_text(encoding="utf-8"))


def study_grid() -> Grid:
    """Read the grid of the default configuration."""
    return Grid(**parameters("grid")["grid"])


def skill(kind: str, y_true: Floats, y_pred: Floats, weights: Floats) -> Floats:
    """Skill of a cell (R², or 2 AUC - 1) under each weighting of people."""
    return KINDS[kind].skill(headline(kind, y_true, y_pred, weights))


def skill_draws(
    predictions: pd.DataFrame, families: pd.Series, grid: Grid, draws: int = DRAWS
) -> pd.DataFrame:
    """Score cells under the same bootstrap draws of test families.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Of test people of one strategy and fold: ``eid, target, inputs, y_true, y_pred``.
    families : pandas.Series
        Family by eid.
    grid : Grid
        Kinds of targets.
    draws : int
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        By target and inputs: column 0 is the sample's skill, the others a draw's.
    """
    known = predictions.assign(family=predictions["eid"].map(families)).sort_values("eid")
    drawn = FamilyDraws(known["family"].unique(), draws, 0)
    rows, keys = [], []
    for key, people in known.groupby(["target", "inputs"], observed=True, sort=False):
        weights = drawn.weights(people["family"].to_numpy())
        weights = np.vstack([np.ones(weights.shape[1]), weights])
        y, p = people["y_true"].to_numpy(float), people["y_pred"].to_numpy(float)
        rows.append(skill(grid.targets[str(key[0])].kind, y, p, weights))
        keys.append(key)
    return pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(keys, names=["target", "inputs"]))


def with_interval(values: pd.Series | Floats) -> tuple[float, dict[str, float]]:
    """Give the sample's value, which is the first, and the interval that the draws give."""
    drawn = np.asarray(values, dtype=float)
    low, high = percentile_interval(drawn[1:], LEVEL)
    return float(drawn[0]), {"low": low, "high": high}


def test_predictions(root: Path, strategy: str) -> tuple[pd.DataFrame, pd.Series]:
    """Read a run's predictions of test people by one strategy, and their families by eid."""
    filters = [("strategy", "==", strategy), ("split", "==", "test")]
    predictions = pd.read_parquet(root / "07_model_output/predictions.parquet", filters=filters)
    people = pd.read_parquet(root / "03_primary/participants.parquet").drop_duplicates("eid")
    return predictions, people.set_index("eid")["family"]


def reachable(truth: pd.DataFrame, column: str = "reachable") -> pd.Series:
    """Skill of the oracle, by target and inputs, or of another column of the truth."""
    kinds = truth["metric"].map({kind.headline: name for name, kind in KINDS.items()})
    found = by_kind(kinds, lambda of: of.skill(truth[column]))
    return found.set_axis(pd.MultiIndex.from_frame(truth[["target", "inputs"]]))


def true_gains(table: pd.DataFrame, skill: pd.Series) -> Floats:
    """Give what the oracle gains by each row's ``inputs`` over those ``without`` one of them."""
    larger, smaller = (
        skill.loc[list(zip(table["target"], table[name], strict=True))].to_numpy()
        for name in ("inputs", "without")
    )
    return larger - smaller
