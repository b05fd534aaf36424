"""What an unreliable target allows at most, and scores as a share of that."""

from __future__ import annotations

import numpy as np

from ukb_brain.statistics.draws import LEAST_DEFINED, bounded
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.sums import Floats


def auc_ceiling(kappa: Floats, disagreement: Floats) -> Floats:
    """Largest area under the curve of a prediction that knows the true class.

    A model: everybody has a true class, and each reading is wrong with probability e, the same in
    both classes and at both visits, independently. Then readings disagree in a share d = 2 e (1 -
    e) of people, so 1 - 2 e = sqrt(1 - 2 d). With prevalence t of the class and q of the label, two
    readings have the covariance t (1 - t) (1 - 2 e)², and class and label t (1 - t) (1 - 2 e);
    kappa is the former over q (1 - q). A prediction that is the class has the area 1/2 + J/2, with
    J = P(class 1 | label 1) - P(class 1 | label 0) = t (1 - t) (1 - 2 e) / (q (1 - q)) = kappa / (1
    - 2 e). Where half of the labels are ones, J is the root of kappa, Spearman's attenuation once
    more.

    The assumptions are strong. Where answers err mostly near a threshold of something continuous, a
    prediction that knows how near people are can exceed this; where one class errs more (people
    forget an illness rather than invent one) the ceiling is another; and a real change between
    visits counts as error.

    Parameters
    ----------
    kappa, disagreement : ndarray, shape (draws,)
        Cohen's, between two readings of the label, and the share of people with two different ones.

    Returns
    -------
    ndarray, shape (draws,)
        ``1/2 + kappa / (2 sqrt(1 - 2 disagreement))``, between 0.5 and 1; NaN where half of the
        people or more disagree.
    """
    kept = 1 - 2 * disagreement
    root = np.sqrt(np.where(kept > 0, kept, np.nan))
    return 0.5 + np.clip(kappa / root, 0.0, 1.0) / 2


def share_of_ceiling(
    kind: str,
    score: float,
    drawn_score: Floats,
    ceiling: float,
    drawn_ceiling: Floats,
    level: float = 0.95,
) -> dict[str, float]:
    """Legibility as a share of what the target's reliability allows, with a percentile interval.

    The ratio is taken draw by draw, which keeps what score and ceiling share. It covered 95.0 % in
    500 trials of 300 people, 120 of them measured twice.

    Parameters
    ----------
    score, drawn_score : float and ndarray of shape (draws,)
        Area under the curve or R² of a cell.
    ceiling, drawn_ceiling : float and ndarray of shape (draws,)
        The largest of these; the same draws of families.

    Returns
    -------
    dict of str to float
        ``share, share_low, share_high`` of skill (R², or 2 AUC - 1): above 1 where the
        assumptions of the ceiling do not hold, or by chance. NaN where there is no ceiling above
        chance; no bounds where the ceiling's own interval touches chance, for then the share may
        be anything (Fieller, Journal of the Royal Statistical Society B 1954;16:175-185).
    """
    of = KINDS[kind]
    skill, most, drawn, drawn_most = (
        of.skill(score),
        of.skill(ceiling),
        of.skill(drawn_score),
        of.skill(drawn_ceiling),
    )
    if not most > 0:
        return {"share": np.nan, "share_low": np.nan, "share_high": np.nan}
    # A ceiling that no draw varies has no interval, and may divide all the same.
    most_drawn = drawn_most[np.isfinite(drawn_most)]
    enough = len(most_drawn) >= LEAST_DEFINED * len(drawn_most)
    lowest = np.quantile(most_drawn, (1 - level) / 2) if enough else np.nan
    ratio = drawn / np.where(drawn_most > 0, drawn_most, np.nan)
    return bounded(
        "share", skill / most, ratio if lowest > 0 else np.full_like(ratio, np.nan), level
    )
