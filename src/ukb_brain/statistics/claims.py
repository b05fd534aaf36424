"""Claims as tests: contrasts of skill between cells, each with a bound to lie above or below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from scipy import stats

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.settings_base import Settings
from ukb_brain.statistics.draws import percentile_interval
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

BY_PEOPLE = "test people"
BY_TARGETS = "targets"
BY_TEST_SIZE = "number of test people"
BY_CELLS = "cells"
BY_STUDY = "the study's mixed model"
NOT_IN_GRID = "not in this grid"
# Of several parts, which must all hold, the first of these that any has is the claim's.
VERDICTS = ("contradicted", NOT_IN_GRID, "cannot be tested", "undecided", "supported")


class Term(Settings):
    """One cell of a contrast; its skill is multiplied by ``weight``."""

    weight: float
    groups: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()


def _one_bound(given: Any) -> Any:
    if (given.above is None) == (given.below is None):
        raise ValueError(f"{given.name!r} takes one of `above` and `below`")
    return given


class Contrast(Settings):
    """A weighted sum of skills, averaged over targets.

    Attributes
    ----------
    above, below : float, optional
        The claim is that the contrast lies above, or below, this skill; one of both.
    """

    name: str
    terms: tuple[Term, ...] = Field(min_length=1)
    above: float | None = None
    below: float | None = None

    _has_one_bound = model_validator(mode="after")(_one_bound)

    @property
    def bound(self) -> float:
        """What the contrast is compared with."""
        return next(bound for bound in (self.above, self.below) if bound is not None)

    @property
    def sign(self) -> int:
        """1 where the claim is that the contrast lies above, -1 where below."""
        return 1 if self.above is not None else -1


class Effect(Settings):
    """A fixed effect of the study's mixed model of a claim's domain, and where it should lie.

    Attributes
    ----------
    above, below : float, optional
        The claim is that it lies above, or below, this balanced accuracy; one of both.
    """

    term: str
    above: float | None = None
    below: float | None = None

    _has_one_bound = model_validator(mode="after")(_one_bound)

    @property
    def name(self) -> str:
        """What it is, in words."""
        return f"{BY_STUDY}: {self.term}"


class Claim(Settings):
    """A sentence, and the contrasts that must all hold if it is true.

    Attributes
    ----------
    contrasts : tuple of Contrast
        All of them must hold.
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
        each claim: `COLUMNS`. A verdict is
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
    rows: list[dict[str, Any]] = []
    for name, claim in claims_of(claims).items():
        odd = names_unknown(claim, grid)
        if odd:
            raise InputError(f"Claim {name!r} names {', '.join(odd)}, which no grid here has.")
        targets = claim.targets or grid.targets_of(str(claim.domain)) or (str(claim.domain),)
        parts = [
            {"claim": name, "text": claim.text, "part": contrast.name}
            | _tested(contrast, targets, skill, grid, level, errors)
            for contrast in claim.contrasts
        ]
        studied = [
            {"claim": name, "text": claim.text, "part": effect.name}
            | _of_study(effect, mixed_models, str(claim.domain), len(targets))
            for effect in (claim.study if mixed_models is not None else ())
        ]
        rows += [
            *parts,
            *studied,
            {"claim": name, "text": claim.text, "part": "all"} | _joined(parts),
        ]
    return table_of(reported.claims, rows)


def names_unknown(claim: Claim, grid: Grid) -> list[str]:
    """List what a claim names that is neither in the grid nor was taken out of it.

    Returns
    -------
    list of str
        Each once; empty where the claim is sound.
    """
    terms = [term for contrast in claim.contrasts for term in contrast.terms]
    odd = [
        *(target for target in claim.targets if target not in grid.targets),
        *(d for d in [claim.domain] if d is not None and d not in grid.domains),
        *(group for term in terms for group in term.groups if group not in grid.imaging),
        *(block for term in terms for block in term.blocks if block not in grid.domains),
    ]
    return [name for name in dict.fromkeys(odd) if name not in grid.left_out]


def _not_in_grid(contrast: Contrast, targets: tuple[str, ...], grid: Grid) -> list[str]:
    """List what a contrast cannot do without and the grid has not."""
    parts = [part for term in contrast.terms for part in (*term.groups, *term.blocks)]
    absent = [part for part in parts if part not in (*grid.imaging, *grid.domains)]
    there = any(target in grid.targets for target in targets)
    return list(dict.fromkeys([*absent, *(() if there else targets)]))


def _values(
    contrast: Contrast, targets: tuple[str, ...], skill: pd.DataFrame, grid: Grid
) -> NDArray[np.float64]:
    """Give the contrast of each target that has all its cells, shape (targets, 1 + draws)."""
    found = []
    for target in targets:
        cells = [(target, grid.inputs(t.groups, t.blocks).name) for t in contrast.terms]
        if all(cell in skill.index for cell in cells):
            weights = np.array([t.weight for t in contrast.terms])
            found.append(weights @ skill.loc[cells].to_numpy(float))
    values = np.array(found).reshape(len(found), skill.shape[1])
    return values[np.isfinite(values[:, 0])]


def _tested(
    contrast: Contrast,
    targets: tuple[str, ...],
    skill: pd.DataFrame,
    grid: Grid,
    level: float,
    errors: pd.Series | None,
) -> dict[str, Any]:
    absent = _not_in_grid(contrast, targets, grid)
    if absent:
        reason = f"not in this grid: {', '.join(absent)}"
        counts = {"bound": contrast.bound, "n_targets": 0, "n_missing": len(targets)}
        return counts | {"verdict": NOT_IN_GRID, "reason": reason}
    values = _values(contrast, targets, skill, grid)
    row: dict[str, Any] = {"bound": contrast.bound, "n_targets": len(values)}
    row["n_missing"] = len(targets) - len(values)
    if not len(values):
        reason = "no target has all the cells that it needs"
        return row | {"verdict": "cannot be tested", "reason": reason}
    sample = float(values[:, 0].mean())
    low, high, p, basis = (
        _over_people(values[:, 1:].mean(axis=0), contrast, level)
        if values.shape[1] > 1
        else _over_targets(values[:, 0], contrast, level)
    )
    row |= {"basis": basis, "statistic": sample, "low": low, "high": high, "p": p}
    if np.isnan(low) and errors is not None and len(targets) == 1:
        low, high, p = _over_test_size(sample, contrast, targets[0], grid, level, errors)
        row |= {"basis": BY_TEST_SIZE, "low": low, "high": high, "p": p}
    if np.isnan(low):
        reason = "it has no interval: one target alone, of a score without a standard error"
        return row | {"verdict": "undecided", "reason": reason}
    return row | _decided(low, high, contrast.sign, contrast.bound)


def _decided(low: float, high: float, sign: int, bound: float) -> dict[str, str]:
    """Say on which side of the bound an interval lies."""
    near, far = (low, high) if sign > 0 else (-high, -low)
    verdict = "contradicted" if far < sign * bound else "undecided"
    verdict = "supported" if near > sign * bound else verdict
    above = (verdict == "supported") == (sign > 0)
    where = "holds" if verdict == "undecided" else "lies above" if above else "lies below"
    return {"verdict": verdict, "reason": f"the interval {where} {bound:g}"}


def _of_study(
    effect: Effect, mixed_models: pd.DataFrame | None, domain: str, n_targets: int
) -> dict[str, Any]:
    """Read the verdict of the study's own model off an effect's interval."""
    row: dict[str, Any] = {"basis": BY_CELLS, "n_targets": n_targets, "n_missing": 0}
    table = pd.DataFrame() if mixed_models is None else mixed_models
    sign, bound = (1, effect.above) if effect.above is not None else (-1, effect.below)
    row |= {"bound": bound}
    mine = table[(table["domain"] == domain) & (table["term"] == effect.term)]
    known = mine.dropna(subset=["estimate", "low", "high"])
    if known.empty or bound is None:
        reason = "the model has no such term here, or could not be fitted"
        return row | {"verdict": "cannot be tested", "reason": reason}
    found = known.iloc[0]
    row |= {"statistic": found["estimate"], "low": found["low"], "high": found["high"]}
    row |= {"p": found["p"]}
    return row | _decided(float(found["low"]), float(found["high"]), sign, bound)


def _over_test_size(
    sample: float, contrast: Contrast, target: str, grid: Grid, level: float, errors: pd.Series
) -> tuple[float, float, float]:
    """Give a normal interval by the standard errors of a target's cells, and a one-sided p."""
    cells = [(target, grid.inputs(t.groups, t.blocks).name) for t in contrast.terms]
    each = errors.reindex(pd.MultiIndex.from_tuples(cells)).to_numpy(float)
    error = float(
        np.sqrt(sum((t.weight * e) ** 2 for t, e in zip(contrast.terms, each, strict=True)))
    )
    if not error > 0:
        return np.nan, np.nan, np.nan
    reach = stats.norm.ppf((1 + level) / 2) * error
    p = float(stats.norm.sf(contrast.sign * (sample - contrast.bound) / error))
    return sample - reach, min(sample + reach, 1.0) if len(each) == 1 else sample + reach, p


def _over_people(
    drawn: NDArray[np.float64], contrast: Contrast, level: float
) -> tuple[float, float, float, str]:
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return np.nan, np.nan, np.nan, BY_PEOPLE
    low, high = percentile_interval(known, level)
    wrong = np.count_nonzero(contrast.sign * (known - contrast.bound) <= 0)
    return low, high, (1 + wrong) / (1 + len(known)), BY_PEOPLE


def _over_targets(
    values: NDArray[np.float64], contrast: Contrast, level: float
) -> tuple[float, float, float, str]:
    n = len(values)
    error = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    if n < 2 or error == 0:
        return np.nan, np.nan, np.nan, BY_TARGETS
    low, high = stats.t.interval(level, n - 1, loc=values.mean(), scale=error)
    t = contrast.sign * (values.mean() - contrast.bound) / error
    return float(low), float(high), float(stats.t.sf(t, n - 1)), BY_TARGETS


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the verdict of a claim whose parts must all hold."""
    verdicts = [part["verdict"] for part in parts]
    verdict = next(v for v in VERDICTS if v in verdicts)
    reason = "; ".join(f"{part['part']}: {part['verdict']}" for part in parts)
    p = max((part.get("p", np.nan) for part in parts), key=lambda x: (np.isnan(x), x))
    only = parts[0] if len(parts) == 1 else {}
    more = {name: only.get(name, np.nan) for name in ("statistic", "low", "high", "bound")}
    counts = {name: min(part[name] for part in parts) for name in ("n_targets", "n_missing")}
    basis = parts[0].get("basis", "")
    return more | counts | {"basis": basis, "p": p, "verdict": verdict, "reason": reason}
