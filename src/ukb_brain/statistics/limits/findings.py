"""What verdicts rest on, gathered from the tables that are there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from ukb_brain.grid import Grid, Kind
from ukb_brain.statistics.draws import SAME, bounded_columns
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.limits.retrained import ALL_SITES, AS_IT_IS
from ukb_brain.statistics.scores.skill import fullest_cells, with_skill
from ukb_brain.statistics.tested import Tested

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Interval:
    """An estimate and its bounds, in skill."""

    estimate: float
    low: float
    high: float

    def falls_below(self, whole: float) -> bool:
        """Whether nothing is shown, and surely less than there was in all."""
        return self.low <= 0 and self.high < whole

    def __str__(self) -> str:
        return f"{self.estimate:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Findings:
    """What is known of one target; None is what was not run, or gave no number.

    Attributes
    ----------
    status : str
        Of the cell with all imaging and every block: ``ok``, or why there is no score.
    left_out_sites : Interval
        Skill on sites that were not learned from.
    """

    target: str
    kind: Kind
    status: str
    n_test: int
    n_positive: int | None = None
    skill: Interval | None = None
    p: float | None = None
    imaging_gain: Interval | None = None
    imaging_cell: Interval | None = None
    within_site: Interval | None = None
    confounds_gain: Interval | None = None
    left_out_sites: Interval | None = None
    curve: str | None = None
    at_10x: Interval | None = None
    gain_10x: Interval | None = None
    model: str | None = None
    model_gain: Interval | None = None
    model_skill: Interval | None = None
    model_p: float | None = None
    ceiling: Interval | None = None


# What a verdict rests on beside the skill itself, in words.
RESTS_ON = {
    "p": "permutation",
    "imaging_gain": "gain of images",
    "within_site": "scores within site",
    "confounds_gain": "confounds",
    "left_out_sites": "left-out sites",
    "curve": "learning curve",
    "model_gain": "model scale",
    "ceiling": "reliability",
}
NOT_RUN = pd.DataFrame()


def gather_findings(
    performance: pd.DataFrame,
    grid: Grid,
    strategy: str,
    n_positive: Mapping[str, int] | None = None,
    permutations: pd.DataFrame = NOT_RUN,
    imaging_gain: pd.DataFrame = NOT_RUN,
    confounds: pd.DataFrame = NOT_RUN,
    reliability: pd.DataFrame = NOT_RUN,
    left_out_sites: pd.DataFrame = NOT_RUN,
    learning_curve_fits: pd.DataFrame = NOT_RUN,
    model_scale: pd.DataFrame = NOT_RUN,
) -> list[Findings]:
    """Gather what is known of each target's cell with all imaging and every block.

    Parameters
    ----------
    n_positive : dict of str to int
        From `positives`.
    imaging_gain : pandas.DataFrame
        ``target`` and ``gain, gain_low, gain_high`` in skill: the cell over the one without images.
    confounds : pandas.DataFrame
        ``target`` and, as AUC or R², ``score, within_site, gain``, each with ``_low`` and
        ``_high``; of the cell with all imaging and as few blocks as there are.
    reliability : pandas.DataFrame
        ``target`` and ``ceiling, ceiling_low, ceiling_high`` as AUC or R².
    """
    cells = fullest_cells(with_skill(performance), grid)
    names = dict(zip(cells["target"], cells["inputs"], strict=True))
    sites, curves = (
        table if table.empty else table[table["strategy"] == strategy]
        for table in (left_out_sites, learning_curve_fits)
    )
    sites = sites if sites.empty else sites[sites["site"] == ALL_SITES]
    tables = {
        "p": _of_cells(permutations, names),
        "imaging": _of_cells(imaging_gain),
        "confounds": _of_cells(confounds),
        "reliability": _of_cells(reliability),
        "sites": _of_cells(sites, names),
        "curve": _of_cells(curves, names),
    }
    return [
        Findings(
            target=cell["target"],
            kind=cell["kind"],
            status=cell["status"],
            n_test=int(cell["n_test"]),
            n_positive=(n_positive or {}).get(cell["target"]),
            skill=_interval(cell, "skill"),
            **_read({name: of.get(cell["target"], {}) for name, of in tables.items()}, cell),
            **_model(model_scale, cell["target"], cell["inputs"], strategy),
        )
        for cell in cells.to_dict("records")
    ]


def positives(tested: Tested) -> dict[str, int]:
    """Count those with the trait among the test people of each binary target's fullest cell.

    A target without such a cell is absent.
    """
    binary = ((key, cell) for key, cell in tested.in_full() if cell.kind == "binary")
    return {key: int((cell.y > 0).sum()) for key, cell in binary}


def _read(rows: Mapping[str, Row], cell: Row) -> dict[str, Any]:
    confounds, curve, kind = rows["confounds"], rows["curve"], cell["kind"]
    shape = curve.get("shape")
    p = rows["p"].get("p_bh", np.nan)
    return {
        "p": None if pd.isna(p) else float(p),
        "imaging_gain": _interval(rows["imaging"], "gain"),
        "imaging_cell": _interval(confounds, "score", kind),
        "within_site": _interval(confounds, "within_site", kind),
        "confounds_gain": _interval(confounds, "gain", kind, difference=True),
        "left_out_sites": _interval(rows["sites"], "skill"),
        "curve": None if shape == "too few sizes" else shape,
        "at_10x": _interval(curve, "at_10x"),
        "gain_10x": _interval(curve, "gain_10x"),
        "ceiling": _interval(rows["reliability"], "ceiling", kind),
    }


def _model(table: pd.DataFrame, target: str, inputs: str, strategy: str) -> dict[str, Any]:
    """Find the model that gains most, with a p that allows for the number that were tried."""
    if table.empty:
        return {}
    mine = table[(table["target"] == target) & (table["inputs"] == inputs)]
    other = (mine["variant"] != AS_IT_IS) | (mine["strategy"] != strategy)
    tried = mine[other & mine["gain"].notna() & mine["gain_low"].notna()]
    if tried.empty:
        return {}
    best: Row = max(tried.to_dict("records"), key=lambda row: float(row["gain"]))
    se = float(best["gain_se"])
    once = 2 * float(norm.sf(abs(best["gain"]) / se)) if se > 0 else 1.0
    return {
        "model": f"{best['variant']} ({best['strategy']})",
        "model_gain": _interval(best, "gain"),
        "model_skill": _interval(best, "skill"),
        "model_p": min(1.0, len(tried) * once),
    }


def _of_cells(table: pd.DataFrame, names: Mapping[str, str] | None = None) -> dict[str, Row]:
    """Rows by target; of the named inputs only, where a table has several."""
    return {
        row["target"]: row
        for row in table.to_dict("records")
        if names is None or names.get(row["target"]) == row["inputs"]
    }


def _interval(
    row: Row, name: str, kind: str = "continuous", difference: bool = False
) -> Interval | None:
    """Read an estimate with bounds; scores become skill.

    Bounds that are equal come from predictions that are: they are no evidence.
    """
    values = [float(row.get(column, np.nan)) for column in bounded_columns(name)]
    if not np.isfinite(values).all() or values[2] - values[1] <= SAME:
        return None
    scale = KINDS[kind].gain if difference else KINDS[kind].skill
    return Interval(*(scale(value) for value in values))
