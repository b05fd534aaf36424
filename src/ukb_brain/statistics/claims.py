"""Claims as tests: contrasts of skill between cells, each with a bound to lie above or below."""

from collections.abc import Mapping
from typing import Any, Self, cast

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator
from scipy import stats

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.settings_base import Settings
from ukb_brain.statistics.draws import percentile_interval
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

Row = dict[str, Any]
BY_PEOPLE = "test people"
BY_TARGETS = "targets"
BY_TEST_SIZE = "number of test people"
BY_CELLS = "cells"
BY_STUDY = "the study's mixed model"
CONTRADICTED, NOT_IN_GRID, NOT_TESTED, UNDECIDED, SUPPORTED = reported.CLAIM_VERDICTS


class Term(Settings):
    """One cell of a contrast; its skill is multiplied by ``weight``."""

    weight: float
    groups: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()


class Bounded(Settings):
    """What a claim says lies above, or below, a bound: one of both.

    Bounds are skills for a `Contrast`, balanced accuracies for an `Effect`.
    """

    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _has_one_bound(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError(f"{cast(Any, self).name!r} takes one of `above` and `below`")
        return self

    @property
    def bound(self) -> float:
        """What it is compared with."""
        return next(bound for bound in (self.above, self.below) if bound is not None)

    @property
    def sign(self) -> int:
        """1 where the claim is that it lies above, -1 where below."""
        return 1 if self.above is not None else -1

    def decided(self, low: float, high: float) -> Row:
        """Say on which side of the bound an interval lies."""
        if not (low > self.bound or high < self.bound):
            return {"verdict": UNDECIDED, "reason": f"the interval holds {self.bound:g}"}
        where, sign = ("above", 1) if low > self.bound else ("below", -1)
        verdict = SUPPORTED if sign == self.sign else CONTRADICTED
        return {"verdict": verdict, "reason": f"the interval lies {where} {self.bound:g}"}


class Contrast(Bounded):
    """A weighted sum of skills, averaged over targets."""

    name: str
    terms: tuple[Term, ...] = Field(min_length=1)

    def cells(self, target: str, grid: Grid) -> list[tuple[str, str]]:
        """Name the target's cells that it weighs, in the order of its terms."""
        return [(target, grid.inputs(t.groups, t.blocks).name) for t in self.terms]


class Effect(Bounded):
    """A fixed effect of the study's mixed model of a claim's domain."""

    term: str

    @property
    def name(self) -> str:
        """What it is, in words."""
        return f"{BY_STUDY}: {self.term}"


class Claim(Settings):
    """A sentence, and the contrasts that must all hold if it is true.

    Attributes
    ----------
    targets, domain : tuple of str, str
        Keys of targets, or a domain, for all of its.
    study : tuple of Effect
        How the study itself tests it, told beside ours.
    """

    text: str
    targets: tuple[str, ...] = ()
    domain: str | None = None
    contrasts: tuple[Contrast, ...] = Field(min_length=1)
    study: tuple[Effect, ...] = ()

    @model_validator(mode="after")
    def _names_targets_once(self) -> Self:
        if bool(self.targets) == (self.domain is not None):
            raise ValueError(f"claim {self.text!r} takes one of `targets` and `domain`")
        if self.study and self.domain is None:
            raise ValueError(f"claim {self.text!r}: the study's models are of a `domain`")
        return self


def claims_of(text: Mapping[str, Any]) -> dict[str, Claim]:
    """Read claims.

    Raises
    ------
    InputError
        If a claim is not as it should be, with its name.
    """
    claims = {}
    for name, given in text.items():
        if given is None:  # an environment takes a claim out so
            continue
        try:
            claims[name] = Claim.model_validate(given)
        except ValidationError as error:
            why = " ".join(str(error).split())
            raise InputError(f"Claim {name!r} in the file of claims: {why}") from None
    return claims


def evaluate_claims(
    claims: Mapping[str, Any],
    skill: pd.DataFrame,
    grid: Grid,
    level: float = 0.95,
    errors: pd.Series | None = None,
    mixed_models: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Test claims on the skill of a map's cells.

    With bootstrap draws of test people, intervals and p values are over people: percentile
    intervals, and the share of draws on the wrong side of the bound, one-sided, with one added
    to both counts. With the sample's skill alone, as from a published table, they are over
    targets, by Student's t. One target has none of these; its interval is normal, by the standard
    errors of its cells, whose people are taken for different ones, which makes it too wide rather
    than too narrow. All parts of a claim must hold, so its p is the largest of theirs (an
    intersection-union test, Berger 1982), and nothing is corrected for. The study's own test, by
    its mixed models, stands beside them and decides nothing here.

    Parameters
    ----------
    skill : pandas.DataFrame
        Index ``target, inputs``; column 0 is the sample's skill (R², or 2 AUC - 1), the others are
        those of bootstrap draws, the same in all cells.
    errors : pandas.Series, optional
        Standard errors of skill by ``target, inputs``, for one target without draws that vary.

    Returns
    -------
    pandas.DataFrame
        A row for each contrast, for each effect of the study's models and, under part ``all``, for
        each claim. A verdict is
        ``supported`` where the interval lies on the claim's side of the bound, ``contradicted``
        where it lies wholly on the other, ``undecided`` otherwise, ``cannot be tested`` where
        cells have no score, and ``not in this grid`` where the grid was left without a target,
        domain or imaging group that the claim names; of several targets those that are there
        are taken.

    Raises
    ------
    InputError
        If a claim names what is no name of the grid, nor of what was taken out of it.
    """
    rows: list[Row] = []
    for name, claim in claims_of(claims).items():
        odd = names_unknown(claim, grid)
        if odd:
            raise InputError(f"Claim {name!r} names {', '.join(odd)}, which no grid here has.")
        targets = claim.targets or grid.targets_of(str(claim.domain)) or (str(claim.domain),)
        parts = [_tested(one, targets, skill, grid, level, errors) for one in claim.contrasts]
        studied = []
        if mixed_models is not None:
            of_domain = mixed_models[mixed_models["domain"] == claim.domain]
            studied = [_of_study(one, of_domain, len(targets)) for one in claim.study]
        about = {"claim": name, "text": claim.text}
        rows += [about | row for row in (*parts, *studied, _joined(parts))]
    return table_of(reported.claims, rows)


def names_unknown(claim: Claim, grid: Grid) -> list[str]:
    """List, each once, what a claim names that is neither in the grid nor was taken out of it."""
    odd = [target for target in claim.targets if target not in grid.targets]
    odd += [d for d in [claim.domain] if d is not None and d not in grid.domains]
    odd += [part for contrast in claim.contrasts for part in _lacking(contrast, grid)]
    return [name for name in dict.fromkeys(odd) if name not in grid.left_out]


def _lacking(contrast: Contrast, grid: Grid) -> list[str]:
    """List the imaging groups and blocks of a contrast that the grid has not."""
    groups = [group for term in contrast.terms for group in term.groups]
    blocks = [block for term in contrast.terms for block in term.blocks]
    absent = [group for group in groups if group not in grid.imaging]
    return [*absent, *(block for block in blocks if block not in grid.domains)]


def _values(
    contrast: Contrast, targets: tuple[str, ...], skill: pd.DataFrame, grid: Grid
) -> Floats:
    """Give the contrast of each target that has all its cells, shape (targets, 1 + draws)."""
    weights = np.array([t.weight for t in contrast.terms])
    cells = [contrast.cells(target, grid) for target in targets]
    there = [mine for mine in cells if all(cell in skill.index for cell in mine)]
    values = np.array([weights @ skill.loc[mine].to_numpy(float) for mine in there])
    values = values.reshape(len(there), skill.shape[1])
    return values[np.isfinite(values[:, 0])]


def _tested(
    contrast: Contrast,
    targets: tuple[str, ...],
    skill: pd.DataFrame,
    grid: Grid,
    level: float,
    errors: pd.Series | None,
) -> Row:
    row: Row = {"part": contrast.name, "bound": contrast.bound}
    row |= {"n_targets": 0, "n_missing": len(targets)}
    there = any(target in grid.targets for target in targets)
    absent = dict.fromkeys([*_lacking(contrast, grid), *(() if there else targets)])
    if absent:
        reason = f"{NOT_IN_GRID}: {', '.join(absent)}"
        return row | {"verdict": NOT_IN_GRID, "reason": reason}
    values = _values(contrast, targets, skill, grid)
    if not len(values):
        reason = "no target has all the cells that it needs"
        return row | {"verdict": NOT_TESTED, "reason": reason}
    row |= {"n_targets": len(values), "n_missing": len(targets) - len(values)}
    row |= {"statistic": float(values[:, 0].mean()), "basis": BY_TARGETS}
    if values.shape[1] > 1:
        row |= {"basis": BY_PEOPLE} | _over_people(values[:, 1:].mean(axis=0), contrast, level)
    elif np.ptp(values) > 0:
        row |= _over_targets(values[:, 0], contrast, level)
    if "low" not in row and errors is not None and len(targets) == 1:
        each = errors.reindex(pd.MultiIndex.from_tuples(contrast.cells(targets[0], grid)))
        row |= {"basis": BY_TEST_SIZE}
        row |= _over_test_size(row["statistic"], contrast, each.to_numpy(float), level)
    if "low" not in row:
        reason = "it has no interval: one target alone, of a score without a standard error"
        return row | {"verdict": UNDECIDED, "reason": reason}
    return row | contrast.decided(row["low"], row["high"])


def _of_study(effect: Effect, mixed_models: pd.DataFrame, n_targets: int) -> Row:
    """Read the verdict of the study's own model of a domain off an effect's interval."""
    row: Row = {"part": effect.name, "basis": BY_CELLS, "bound": effect.bound}
    row |= {"n_targets": n_targets, "n_missing": 0}
    known = mixed_models[mixed_models["term"] == effect.term]
    known = known.dropna(subset=["estimate", "low", "high"])
    if known.empty:
        reason = "the model has no such term here, or could not be fitted"
        return row | {"verdict": NOT_TESTED, "reason": reason}
    found = known.iloc[0]
    row |= {"statistic": found["estimate"]} | {end: found[end] for end in ("low", "high", "p")}
    return row | effect.decided(row["low"], row["high"])


def _over_test_size(sample: float, contrast: Contrast, errors: Floats, level: float) -> Row:
    """Give a normal interval by the standard errors of a target's cells, and a one-sided p."""
    error = float(np.hypot.reduce([t.weight for t in contrast.terms] * errors))
    if not error > 0:
        return {"p": np.nan}
    reach = stats.norm.ppf((1 + level) / 2) * error
    p = float(stats.norm.sf(contrast.sign * (sample - contrast.bound) / error))
    high = min(sample + reach, 1.0) if len(errors) == 1 else sample + reach
    return {"low": sample - reach, "high": high, "p": p}


def _over_people(drawn: Floats, contrast: Contrast, level: float) -> Row:
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return {}
    wrong = np.count_nonzero(contrast.sign * (known - contrast.bound) <= 0)
    low, high = percentile_interval(known, level)
    bounds = {} if np.isnan(low) else {"low": low, "high": high}
    return bounds | {"p": (1 + wrong) / (1 + len(known))}


def _over_targets(values: Floats, contrast: Contrast, level: float) -> Row:
    found = stats.ttest_1samp(values, contrast.bound)
    low, high = found.confidence_interval(level)
    p = stats.t.sf(contrast.sign * found.statistic, found.df)
    return {"low": float(low), "high": float(high), "p": float(p)}


def _joined(parts: list[Row]) -> Row:
    """Give the verdict of a claim whose parts must all hold."""
    verdicts = [part["verdict"] for part in parts]
    ps = [part.get("p", np.nan) for part in parts]
    only = parts[0] if len(parts) == 1 else {}
    return {
        "part": "all",
        **{name: only.get(name, np.nan) for name in ("statistic", "low", "high", "bound")},
        **{name: min(part[name] for part in parts) for name in ("n_targets", "n_missing")},
        "basis": parts[0].get("basis", ""),
        "p": max(ps) if np.isfinite(ps).all() else np.nan,
        "verdict": next(v for v in reported.CLAIM_VERDICTS if v in verdicts),
        "reason": "; ".join(f"{part['part']}: {part['verdict']}" for part in parts),
    }
