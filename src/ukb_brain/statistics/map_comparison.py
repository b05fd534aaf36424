"""Two runs' legibility maps, cell by cell."""

import numpy as np
import pandas as pd
from scipy import stats

from ukb_brain.errors import InputError
from ukb_brain.statistics.certainty.corrections import adjusted_by_family
from ukb_brain.statistics.draws import bounded_columns
from ukb_brain.statistics.kinds import LABELS
from ukb_brain.statistics.scores.skill import with_skill
from ukb_brain.statistics.settings import DEFAULT, Reporting

KEYS = ["target", "inputs"]
COLUMNS = [
    *(*KEYS, "domain", "metric", "score", "other_score"),
    *("difference", "low", "high", "p", "p_adjusted", "verdict"),
]


def compare_maps(
    performance: pd.DataFrame, other: pd.DataFrame, reporting: Reporting = DEFAULT
) -> pd.DataFrame:
    """Compare the headline score of every cell of two runs.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`, one row a cell of either run: the other's score less this one's, in AUC or R²,
        and a verdict: ``higher``, ``lower``, ``not told apart``, or which run lacks the cell.

    Raises
    ------
    InputError
        If the other table lacks columns, or has a cell twice.
    """
    needed = [*KEYS, "domain", "kind", *bounded_columns(*LABELS)]
    absent = [name for name in needed if name not in other]
    if absent:
        raise InputError(
            f"The other run's map lacks the columns {absent[:5]}: give its performance.parquet."
        )
    if other.duplicated(KEYS).any():
        raise InputError(
            f"The other run's map has {int(other.duplicated(KEYS).sum())} cells twice: give its "
            "performance.parquet, not the table of all strategies."
        )
    both = _scored(performance).merge(
        _scored(other), on=KEYS, how="outer", suffixes=("", "_there"), indicator=True
    )
    for name in ("domain", "metric"):
        both[name] = both[name].fillna(both[f"{name}_there"])
    difference = both["score_there"] - both["score"]
    level = reporting.level
    wide = stats.norm.ppf((1 + level) / 2)
    error = pd.Series(np.hypot(_half(both, ""), _half(both, "_there")) / wide, index=both.index)
    z = (difference / error.where(error > 0)).to_numpy(float)
    p = pd.Series(2 * stats.norm.sf(np.abs(z)), index=both.index)
    p = p.mask((error == 0) & (difference == 0), 1.0)
    adjusted = adjusted_by_family(p, both["domain"], "bh")
    verdict = np.select(
        [
            both["score"].isna() & both["score_there"].isna(),
            both["score_there"].isna(),
            both["score"].isna(),
            (adjusted < 1 - level) & (difference > 0),
            (adjusted < 1 - level) & (difference < 0),
        ],
        ["in neither", "not in the other", "not in this one", "higher", "lower"],
        "not told apart",
    )
    half = error * wide
    return both.assign(
        other_score=both["score_there"],
        difference=difference,
        low=difference - half,
        high=difference + half,
        p=p,
        p_adjusted=adjusted,
        verdict=verdict,
    )[COLUMNS]


def _scored(performance: pd.DataFrame) -> pd.DataFrame:
    names = [*KEYS, "domain", "metric", *bounded_columns("score")]
    return with_skill(performance)[names].astype(dict.fromkeys(KEYS, object))


def _half(both: pd.DataFrame, which: str) -> pd.Series:
    return (both[f"score_high{which}"] - both[f"score_low{which}"]) / 2
