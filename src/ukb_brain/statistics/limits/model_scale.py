"""What other sizes of model, and other strategies, would give on the same people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import bounded
from ukb_brain.statistics.limits.learning_curves import Drawn, Key, described
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

# The settings as they are, with which the others are compared.
AS_IT_IS = "as it is"


def score_model_scale(
    skills: Mapping[str, Mapping[Key, Drawn]],
    parameters: Mapping[str, float],
    compared_with: str,
    grid: Grid,
    level: float,
) -> pd.DataFrame:
    """Compare variants and strategies with the map's, draw by draw.

    Differences of shared draws are a paired bootstrap (Efron & Tibshirani 1993, chapter 8). They
    say nothing of chance in training, which another seed would show.

    Parameters
    ----------
    skills : dict of str to dict
        By variant, from `draw_skills` with one seed of the bootstrap; `AS_IT_IS` is among them.
        All variants test the same people.
    parameters : dict of str to float
        Of a variant's network; NaN where it trains none.
    compared_with : str
        Strategy of `AS_IT_IS` over which gains are counted.

    Returns
    -------
    pandas.DataFrame
        One row a target, inputs, variant and strategy. ``gain`` is the difference of skills on
        the same test people, ``gain_se`` its standard deviation over draws. That there are several
        variants is for a reader to allow for, as `ukb_brain.statistics.limits.verdicts` does.
    """
    place = {key: k for k, key in enumerate(grid.targets)}
    rows: list[dict[str, Any]] = []
    for variant, found in skills.items():
        for key, drawn in found.items():
            target, inputs, strategy, fold = key
            base = skills[AS_IT_IS].get((target, inputs, compared_with, fold))
            row = {"variant": variant} | described(key, drawn, grid, level)
            size = np.nan if strategy == "linear" else parameters[variant]
            rows.append({**row, "parameters": size, **_gain(drawn, base, level)})
    rows.sort(key=lambda row: (place[row["target"]], row["inputs"]))
    return table_of(reported.model_scale, rows)


def _gain(drawn: Drawn, base: Drawn | None, level: float) -> dict[str, float]:
    if base is None or drawn.status != "ok" or base.status != "ok":
        return {}
    differences = drawn.draws - base.draws
    gain = bounded("gain", drawn.skill - base.skill, differences, level)
    return gain | {"gain_se": float(np.nanstd(differences))}
