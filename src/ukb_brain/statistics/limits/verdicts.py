"""One verdict a target: legible, or what stands in the way, by thresholds declared beforehand."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from ukb_brain.settings_base import Settings
from ukb_brain.statistics.draws import bounded_columns
from ukb_brain.statistics.kinds import smallest_skill
from ukb_brain.statistics.limits.findings import RESTS_ON, Findings, Interval
from ukb_brain.tables import reported
from ukb_brain.tables.reported import VERDICTS
from ukb_brain.tables.table import table_of

# `judge` says which comes before which.
LEGIBLE, BY_DATA, BY_MODEL, BY_MEASUREMENT, NOT_READ, NOT_APART, NOT_ADDED, NO_VERDICT = VERDICTS
SITE, AGE_AND_SEX = "site", "age and sex"


class VerdictRules(Settings):
    """Thresholds, in skill (R², or 2·AUC − 1), named before any result is seen.

    Attributes
    ----------
    alpha : float
        Of p values; corrected ones, where a table has them.
    power : float
        Of the test against which a ceiling is held: below what these people would show, the
        target's own measurement is the limit.
    legible : float
        A skill is good enough where its interval lies at or above this.
    gain : float
        Smallest that counts: gains of more people, of other models, beyond confounds; and skill
        within sites.
    low_ceiling : float
        A test-retest ceiling at or below this holds a target back.
    share_of_ceiling : float
        What must be reached of such a ceiling for measurement to be the limit.
    """

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    power: float = Field(default=0.8, gt=0.5, lt=1)
    legible: float = Field(default=0.25, gt=0, lt=1)
    gain: float = Field(default=0.02, gt=0, lt=1)
    low_ceiling: float = Field(default=0.5, gt=0, lt=1)
    share_of_ceiling: float = Field(default=0.5, gt=0, le=1)


@dataclass(frozen=True)
class Verdict:
    """One of `VERDICTS`, what the target is read through only, if anything, and why, in words."""

    verdict: str
    through: str
    reasons: tuple[str, ...]


def judge(found: Findings, rules: VerdictRules) -> Verdict:
    """Give a target its verdict, by the first of these that holds.

    No score: ``no verdict``. A skill above 0 that is carried by site, or by age and sex, or is
    shown neither within sites nor beyond confounds: ``not told apart from confounds``. Read, and
    the skill's interval at or above ``legible``: ``legible``. Measurement, model or data hold it
    back (in that order, model and data by the larger gain): ``limited by`` these. Read:
    ``legible``, if weakly. Beyond chance, but images were not shown to add to the blocks: ``images
    not shown to add``. Else ``not read by these models``. *Read* means that the skill's interval
    lies above 0, p is below alpha, images add to the blocks, and that it is *shown*: within sites,
    or beyond confounds, with an interval above 0 and an estimate of ``gain`` or more. What else
    was not run cannot speak against it, and is named among the reasons; where neither of those two
    was measured there is no verdict.

    Own rules, after the questions of Schulz et al. 2024 (data), Gell et al. 2024 (measurement) and
    Ruffle et al. 2024 (the study). Nothing is said of what other models, or finer images, would
    find.

    Examples
    --------
    >>> skill, within = Interval(0.41, 0.33, 0.48), Interval(0.38, 0.29, 0.45)
    >>> found = Findings("age", "continuous", "ok", 1000, skill=skill, within_site=within)
    >>> judge(found, VerdictRules()).verdict
    'legible'
    """
    skill = found.skill
    if skill is None or found.status != "ok":
        why = "its score has no interval" if found.status == "ok" else f"no score: {found.status}"
        return Verdict(NO_VERDICT, "", (why, *_untold(found)))
    reasons = [f"skill {skill} of {found.n_test} test people"]
    through = _through(found, skill, rules, reasons)
    beyond_chance = _is_beyond_chance(found, skill, rules, reasons)
    read = _is_added(found, reasons) and beyond_chance and not through
    where = _shown(found, rules, reasons) if read else []
    shown = bool(where)
    limits = _limits(found, skill, rules, reasons, shown) if not through else []
    if read and found.within_site is None and found.confounds_gain is None:
        verdict = NO_VERDICT
    elif through or shown != read:
        verdict = NOT_APART
    elif shown and skill.low >= rules.legible:
        verdict = LEGIBLE
    elif limits:
        verdict = limits[0]
    elif shown:
        verdict = LEGIBLE
        there = " and ".join(where)
        reasons.append(f"weakly: shown {there}, and what was measured found no limit")
    elif beyond_chance:
        verdict = NOT_ADDED
    else:
        verdict = NOT_READ
    return Verdict(verdict, through, (*reasons, *_untold(found)))


def _shown(found: Findings, rules: VerdictRules, reasons: list[str]) -> list[str]:
    """Tell where it is read: within sites, beyond confounds, both, or neither."""
    known = {"within sites": found.within_site, "beyond confounds": found.confounds_gain}
    shown = [
        where
        for where, one in known.items()
        if one is not None and one.low > 0 and one.estimate >= rules.gain
    ]
    if not shown:
        reasons.append(
            f"neither within sites nor beyond confounds are {rules.gain:g} or more shown"
            if any(known.values())
            else "neither scores within sites nor a gain beyond confounds could be measured"
        )
    return shown


def _is_beyond_chance(
    found: Findings, skill: Interval, rules: VerdictRules, reasons: list[str]
) -> bool:
    seen = skill.low > 0
    if not seen:
        reasons.append("its interval does not lie above 0")
    if found.p is not None:
        beyond = found.p < rules.alpha
        reasons.append(
            f"p {found.p:.3g} (adjusted) beyond strata of site, sex and age"
            + ("" if beyond else ", which could be chance")
        )
        seen = seen and beyond
    return seen


def _is_added(found: Findings, reasons: list[str]) -> bool:
    """Tell whether images add to the blocks; where there are none, all is from images."""
    gain = found.imaging_gain
    if gain is None:
        return True
    reasons.append(f"images add {gain} to the blocks")
    if gain.low <= 0:
        reasons.append("so that what is read may come from the blocks alone")
    return gain.low > 0


def _through(found: Findings, skill: Interval, rules: VerdictRules, reasons: list[str]) -> str:
    """Tell whether what is read is there through site, or through age and sex, only."""
    within, left_out, gain = found.within_site, found.left_out_sites, found.confounds_gain
    for where, interval in (("within sites", within), ("on left-out sites", left_out)):
        if interval is not None:
            reasons.append(f"skill {where} {interval}")
    if gain is not None:
        reasons.append(f"gain {gain} beyond confounds")
    whole = found.imaging_cell or skill
    if whole.low <= 0:
        return ""
    lost_elsewhere = left_out is not None and left_out.falls_below(skill.estimate)
    # A model that fails at a new site may still read people of one site: that is no loss to scans.
    if lost_elsewhere if within is None else within.falls_below(whole.estimate):
        reasons.append("read through site only")
        return SITE
    if lost_elsewhere:
        reasons.append("read within sites, and not carried over to new ones")
    if gain is not None and gain.falls_below(rules.gain):
        reasons.append("read through age, sex and other confounds only")
        return AGE_AND_SEX
    return ""


def _limits(
    found: Findings, skill: Interval, rules: VerdictRules, reasons: list[str], read: bool
) -> list[str]:
    """List what holds the target back, the strongest first; tell what was found either way."""
    limits: list[tuple[float, str]] = []
    if (ceiling := found.ceiling) is not None:
        reasons.append(f"measured twice, the target allows a skill of {ceiling}")
        people = found.n_test, found.n_positive
        smallest = smallest_skill(found.kind, *people, rules.alpha, rules.power)
        low = ceiling.estimate <= rules.low_ceiling
        reached = read and skill.estimate >= rules.share_of_ceiling * ceiling.estimate
        if (low and reached) or (not read and ceiling.high < smallest):
            limits.append((np.inf, BY_MEASUREMENT))
    if found.model_gain is not None and found.model_skill is not None:
        reasons.append(f"model {found.model} gains {found.model_gain}, p {found.model_p:.3g}")
        certain = found.model_p is not None and found.model_p < rules.alpha
        large = found.model_gain.estimate >= rules.gain
        if certain and large and found.model_skill.low > 0:
            limits.append((found.model_gain.estimate, BY_MODEL))
    if found.curve is not None:
        more = f", with ten times the people {found.at_10x}" if found.at_10x else ""
        reasons.append(f"learning curve {found.curve}{more}")
    # A rise is shown by scores; the fit's own gain is never negative and shows nothing.
    shown = found.curve == "rising" and found.at_10x is not None and found.at_10x.low > 0
    if shown and found.gain_10x is not None and found.gain_10x.estimate >= rules.gain:
        limits.append((found.gain_10x.estimate, BY_DATA))
    return [name for _, name in sorted(limits, key=lambda limit: -limit[0])]


def _untold(found: Findings) -> tuple[str, ...]:
    absent = [words for name, words in RESTS_ON.items() if getattr(found, name) is None]
    return (f"without {', '.join(absent)}",) if absent else ()


def verdict_table(findings: Iterable[Findings], rules: VerdictRules) -> pd.DataFrame:
    """Give every target its verdict; ``reasons`` are one text."""
    rows: list[dict[str, Any]] = []
    for found in findings:
        judged, skill = judge(found, rules), found.skill or Interval(np.nan, np.nan, np.nan)
        row = {"target": found.target, "verdict": judged.verdict, "through": judged.through}
        row |= dict(zip(bounded_columns("skill"), astuple(skill), strict=True))
        rows.append(row | {"reasons": "; ".join(judged.reasons)})
    return table_of(reported.verdicts, rows)
