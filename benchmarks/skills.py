"""Skill of cells, draw by draw, so that differences between cells and strategies have intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.kinds import KINDS, by_kind
from ukb_brain.statistics.scores.engine import headline

CONF = Path(__file__).parents[1] / "conf/base"
DRAWS, LEVEL = 1000, 0.95


def study_grid() -> Grid:
    """Read the grid of the default configuration.

    Returns
    -------
    Grid
    """
    return Grid(**yaml.safe_load((CONF / "parameters_grid.yml").read_text())["grid"])


def oracle_skill(truth: pd.DataFrame) -> pd.Series:
    """Turn what is reachable, a row a cell with its ``metric``, into skill."""
    kinds = truth["metric"].map({kind.headline: name for name, kind in KINDS.items()})
    return by_kind(kinds, lambda of: of.skill(truth["reachable"]))


def skill_draws(
    predictions: pd.DataFrame, families: pd.Series, grid: Grid, draws: int = DRAWS, seed: int = 0
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
    draws, seed : int
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        By target and inputs: column 0 is the sample's skill (R², or 2 AUC - 1), the others a
        draw's.
    """
    known = predictions.assign(family=predictions["eid"].map(families)).sort_values("eid")
    drawn = FamilyDraws(known["family"].unique(), draws, seed)
    rows, keys = [], []
    for key, people in known.groupby(["target", "inputs"], observed=True, sort=False):
        weights = drawn.weights(people["family"].to_numpy())
        weights = np.vstack([np.ones(weights.shape[1]), weights])
        y, p = people["y_true"].to_numpy(float), people["y_pred"].to_numpy(float)
        kind = grid.targets[str(key[0])].kind
        rows.append(KINDS[kind].skill(headline(kind, y, p, weights)))
        keys.append(key)
    return pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(keys, names=["target", "inputs"]))


def test_predictions(root: Path, strategy: str) -> tuple[pd.DataFrame, pd.Series]:
    """Read a run's predictions of test people, and families.

    Parameters
    ----------
    root : Path
        Data root.
    strategy : str
        Its name.

    Returns
    -------
    predictions : pandas.DataFrame
        Of test people.
    families : pandas.Series
        By eid.
    """
    filters = [("strategy", "==", strategy), ("split", "==", "test")]
    predictions = pd.read_parquet(root / "07_model_output/predictions.parquet", filters=filters)
    people = pd.read_parquet(root / "03_primary/participants.parquet").drop_duplicates("eid")
    return predictions, people.set_index("eid")["family"]
