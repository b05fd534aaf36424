"""Is everybody read alike: scores by subgroup, each against the rest."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.statistics.certainty.corrections import adjusted_by_family
from ukb_brain.statistics.draws import bounded, draws_of, estimates_of
from ukb_brain.statistics.inputs.comparisons import two_sided_p
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import Labels, Mask, headline
from ukb_brain.statistics.scores.target_predictions import rows_of
from ukb_brain.statistics.tested import Tested
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

# Codes of field 21000 begin with the digit of their group (coding 1001).
ETHNIC_GROUPS = {1: "White", 2: "Mixed", 3: "Asian", 4: "Black", 5: "Chinese", 6: "Other"}
# In years.
AGE_EDGES = (-np.inf, 55, 65, 75, np.inf)
AGE_BANDS = ["under 55", "55 to under 65", "65 to under 75", "75 and over"]
# Ways to divide people that the target itself decides.
DECIDED = {"sex": "sex", "age": "age_band"}
COLUMNS = [
    *("subgroup_of", "subgroup", "n", "status", "score", "score_low", "score_high"),
    *("difference", "difference_low", "difference_high", "p"),
]


def subgroup_table(tested: Tested, participants: pd.DataFrame, smallest: int) -> pd.DataFrame:
    """Score each target's fullest cell in subgroups of its test people.

    Parameters
    ----------
    participants : pandas.DataFrame
        ``eid, instance, sex, age, site`` and, where known, ``ethnic_background, deprivation``.
    smallest : int
        Smaller subgroups are not shown.

    Returns
    -------
    pandas.DataFrame
        ``target, inputs`` and the columns of `score_subgroups`, with ``p_adjusted`` and ``differs``
        over all rows.
    """
    tables = []
    for key, cell in tested.in_full():
        labels = label_subgroups(rows_of(cell.visit, participants))
        labels = labels.drop(columns=[DECIDED[key]] if key in DECIDED else [])
        people = (cell.y, cell.predicted[:, 0], labels, tested.draws.weights(cell.family))
        rows = score_subgroups(cell.kind, *people, cell.fold, tested.level, smallest)
        tables.append(rows.assign(target=key, inputs=cell.inputs[0]))
    if not tables:
        return table_of(reported.subgroups)
    flagged = flag_differences(pd.concat(tables, ignore_index=True))
    return table_of(reported.subgroups, flagged)


def label_subgroups(participants: pd.DataFrame) -> pd.DataFrame:
    """Name the subgroups that people belong to.

    Codings are those of UK Biobank's fields 31, 21000 and 22189; ethnic groups are the first level
    of coding 1001.

    Parameters
    ----------
    participants : pandas.DataFrame
        ``sex`` (1 is male), ``age`` (years) and ``site`` (centre; negative if not known), and if
        they are there ``ethnic_background`` (codes of field 21000) and ``deprivation`` (field
        22189, higher is more deprived).

    Returns
    -------
    pandas.DataFrame
        Text columns ``sex, age_band, site`` and where known ``ethnic_background, deprivation``,
        with the rows of participants; missing where not known. Deprivation is in thirds of the
        people given.
    """
    labels = pd.DataFrame(index=participants.index)
    labels["sex"] = participants["sex"].map({0.0: "female", 1.0: "male"})
    bands = pd.cut(participants["age"], AGE_EDGES, right=False, labels=AGE_BANDS)
    labels["age_band"] = bands.astype(object)
    site = participants["site"].where(participants["site"] >= 0)
    labels["site"] = site.map(lambda code: f"{int(code)}", na_action="ignore")
    if "ethnic_background" in participants:
        digit = participants["ethnic_background"].map(
            lambda code: int(str(int(code))[0]) if code > 0 else 0, na_action="ignore"
        )
        labels["ethnic_background"] = digit.map(ETHNIC_GROUPS)
    if "deprivation" in participants:
        cuts = participants["deprivation"].quantile([1 / 3, 2 / 3])
        third = np.searchsorted(cuts, participants["deprivation"])
        named = pd.Series(third, participants.index).map({0: "least", 1: "middle", 2: "most"})
        labels["deprivation"] = named.where(participants["deprivation"].notna())
    return labels


def score_subgroups(
    kind: str,
    y_true: Floats,
    y_pred: Floats,
    labels: pd.DataFrame,
    weights: Floats,
    fold: Labels | None = None,
    level: float = 0.95,
    smallest: int = 10,
) -> pd.DataFrame:
    """Score every subgroup of a cell's test people, and compare it with all others.

    Draws are shared, so the difference is taken draw by draw; p inverts its percentile interval. R²
    is about the subgroup's own mean, and falls wherever a subgroup varies less, such as an age band
    in anything that changes with age: a difference is a reason to look, not yet unfairness. Where
    exactly one subgroup of a column is suppressed, the total less the others gives its size away:
    publish counts by `ukb_brain.figures.suppression.suppress_counts`.
    Without a difference p was below .05 in 5.5 %
    (area) and 5.2 % (R²) of 600 trials with 100 people against 200.

    Parameters
    ----------
    y_true, y_pred : ndarray, shape (n,)
    labels : pandas.DataFrame
        A text column a way to divide these n people, such as from `label_subgroups`. Leave out
        the column that the target itself decides (the age bands of age, the sex of sex).
    weights : ndarray, shape (draws, n)
    fold : ndarray, shape (n,), optional
    smallest : int
        A subgroup with fewer people, or with fewer in a class, has neither scores nor counts, nor
        has one that leaves as few others.

    Returns
    -------
    pandas.DataFrame
        One row a subgroup: ``subgroup_of, subgroup, n`` (missing where suppressed), ``status``,
        the headline score and its ``difference`` from that of the others, with bounds, and
        ``p`` of no difference. Others are those whose label is known.
    """
    if len(labels) != len(y_true):
        raise ValueError(f"{len(labels)} labels of {len(y_true)} people")

    def score(at: Mask, w: Floats) -> Floats:
        return headline(kind, y_true[at], y_pred[at], w[:, at], None if fold is None else fold[at])

    rows: list[dict[str, Any]] = []
    for column in labels:
        known = labels[column].notna().to_numpy()
        values = labels[column].to_numpy()
        for value in sorted(set(values[known])):
            inside, outside = known & (values == value), known & (values != value)
            row: dict[str, Any] = {"subgroup_of": column, "subgroup": value}
            row["status"] = _status(kind, y_true, inside, outside, smallest)
            if row["status"] == "ok":
                row |= {"n": int(inside.sum())}
                row |= _compared(score, inside, outside, weights, level)
            rows.append(row)
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    numbers = dict.fromkeys(COLUMNS[4:], "float64")
    return table.astype({"n": "Int64"} | numbers)


def _status(kind: str, y: Floats, inside: Mask, outside: Mask, smallest: int) -> str:
    if inside.sum() < smallest:
        return f"few people: under {smallest}"
    if KINDS[kind].rarest(y[inside]) < smallest:
        return f"few people in a class: under {smallest}"
    if KINDS[kind].rarest(y[outside]) < smallest:
        return f"few others: under {smallest} people, or in a class"
    return "ok"


def _compared(
    score: Callable[[Mask, Floats], Floats],
    inside: Mask,
    outside: Mask,
    weights: Floats,
    level: float,
) -> dict[str, float]:
    def estimator(w: Floats) -> dict[str, Floats]:
        mine = score(inside, w)
        return {"score": mine, "difference": mine - score(outside, w)}

    drawn = draws_of(estimator, weights)
    row: dict[str, float] = {}
    for name, estimate in estimates_of(estimator, weights.shape[1]).items():
        row |= bounded(name, estimate, drawn[name], level)
    p = two_sided_p(row["difference"], drawn["difference"])
    return row | {"p": p if np.isfinite(row["difference_low"]) else np.nan}


def flag_differences(table: pd.DataFrame, rate: float = 0.05) -> pd.DataFrame:
    """Mark the subgroups that differ from the rest, at a false discovery rate over all rows.

    Benjamini & Hochberg, Journal of the Royal Statistical Society B 1995;57:289-300.

    Returns
    -------
    pandas.DataFrame
        With ``p_adjusted``, missing where p is, and boolean ``differs``.
    """
    adjusted = adjusted_by_family(table["p"], pd.Series("", index=table.index), "bh")
    return table.assign(p_adjusted=adjusted, differs=adjusted <= rate)
