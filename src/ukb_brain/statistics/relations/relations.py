"""How targets relate: pairs of targets, each with an interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from ukb_brain.statistics.certainty.corrections import adjusted_by_family
from ukb_brain.statistics.draws import percentile_interval
from ukb_brain.statistics.weighted_sums import ROUNDING, Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

# A correlation over fewer cells says nothing.
FEWEST_INPUTS = 4


@dataclass(frozen=True, eq=False)
class Related:
    """One measure of relation between all pairs of targets, as it is and by draw.

    Attributes
    ----------
    estimate : ndarray, shape (targets, targets)
        Symmetric, NaN where there is none and on the diagonal.
    drawn : ndarray, shape (draws, targets, targets)
        The same in each bootstrap draw of families.
    p : ndarray, shape (targets, targets)
        Of no relation; NaN where it is not tested.
    n : ndarray of float, shape (targets, targets)
        What a pair is measured on: people known in both, or cells of inputs common to both.
    """

    measure: str
    targets: tuple[str, ...]
    estimate: Floats
    drawn: Floats
    p: Floats
    n: Floats


def blank_relation(measure: str, targets: Sequence[str], draws: int) -> Related:
    """Make room for a measure of all pairs.

    Returns
    -------
    Related
        Nothing measured yet: NaN, on 0 people.
    """
    k = len(targets)
    empty = np.full((k, k), np.nan)
    return Related(
        measure, tuple(targets), empty, np.full((draws, k, k), np.nan), empty.copy(), 0 * np.eye(k)
    )


def relation_table(related: Related, level: float = 0.95) -> pd.DataFrame:
    """List pairs of targets with their relation and its interval.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`, one row a pair, each pair once. ``p_adjusted`` bounds the false discovery
        rate among all pairs. A pair without an estimate keeps its row, and ``note`` says why.
    """
    rows = []
    for one, two in combinations(range(len(related.targets)), 2):
        estimate = related.estimate[one, two]
        known = np.isfinite(estimate)
        drawn = related.drawn[:, one, two] if known else np.full(1, np.nan)
        row = {"measure": related.measure, "n": related.n[one, two], "p": related.p[one, two]}
        row |= {"target": related.targets[one], "other": related.targets[two]}
        row |= {"note": "" if known else "too few in common, or they do not vary"}
        low, high = percentile_interval(drawn, level)
        rows.append(row | {"estimate": estimate, "low": low, "high": high})
    table = table_of(reported.relations, rows)
    return table.assign(p_adjusted=adjusted_by_family(table["p"], table["measure"], "bh"))


def profile_similarity(skill: pd.DataFrame, drawn: Floats) -> Related:
    """Correlate what two targets gain from the same inputs, corrected for noise in skill.

    Test people cause noise in skill, common to cells and targets as far as these share people. Its
    covariance over inputs is that of the draws about their mean; it is taken off the covariance of
    the profiles, and twice off that of drawn profiles, which have it twice. It is not tested, since
    cells of a target are not independent. Tied to numpy's ``cov`` in
    ``test_profiles_agree_with_covariances_by_numpy``; coverage is measured in
    ``test_intervals_of_similar_profiles_cover``.

    Fuller WA (1987). Measurement error models. Wiley, section 1.2.

    Parameters
    ----------
    skill : pandas.DataFrame
        One row an inputs' name, one column a target: R², or 2·AUC − 1; NaN where a target has no
        such cell.
    drawn : ndarray, shape (draws, inputs, targets)
        The same in each bootstrap draw of families; draws without a score are left out.

    Returns
    -------
    Related
        ``profile_similarity``: correlation of the skill that all possible test people would give,
        over the inputs common to both targets, at least `FEWEST_INPUTS`, which ``n`` counts.
        There is none where a profile varies no more than its noise, nor between targets of the
        base domain and others, which are never read from the same inputs.
    """
    values = skill.to_numpy(float)
    if drawn.shape[1:] != values.shape:
        raise ValueError(f"skill {values.shape}, drawn {drawn.shape}")
    found = blank_relation("profile_similarity", list(skill.columns), len(drawn))
    for one, two in combinations(range(values.shape[1]), 2):
        places = ([one, two], [two, one])
        both = np.isfinite(values[:, [one, two]]).all(axis=1)
        found.n[places] = both.sum()
        scored = np.isfinite(drawn[:, both][:, :, [one, two]]).all(axis=(1, 2))
        if both.sum() < FEWEST_INPUTS or scored.sum() < 2:
            continue
        profiles, by_draw = values[both][:, [one, two]], drawn[scored][:, both][:, :, [one, two]]
        noise = _sums(by_draw - by_draw.mean(axis=0)).mean(axis=0)
        estimate = _corrected(_sums(profiles[None]) - noise)[0]
        found.estimate[places] = estimate
        if np.isfinite(estimate):
            corrected = _corrected(_sums(by_draw) - 2 * noise)
            found.drawn[scored, one, two] = found.drawn[scored, two, one] = corrected
    return found


def _sums(profiles: Floats) -> Floats:
    """Add up squares and products about the mean over inputs, from (draws, inputs, 2)."""
    one, two = np.moveaxis(profiles - profiles.mean(axis=1, keepdims=True), 2, 0)
    return np.stack([(one**2).sum(axis=1), (two**2).sum(axis=1), (one * two).sum(axis=1)], axis=1)


def _corrected(sums: Floats) -> Floats:
    """Correlations from sums (draws, 3); NaN where a profile varies no more than noise."""
    varies = (sums[:, :2] > ROUNDING).all(axis=1)
    spread = np.sqrt(np.where(varies, sums[:, 0] * sums[:, 1], 1.0))
    return np.asarray(np.where(varies, np.clip(sums[:, 2] / spread, -1, 1), np.nan))
