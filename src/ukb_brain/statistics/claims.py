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
from ukb_brain.grid import Frozen, Grid

COLUMNS = [
    *("claim", "text", "part", "basis", "statistic", "low", "high", "bound", "p"),
    *("n_targets", "n_missing", "verdict", "reason"),
]
BY_PEOPLE = "test people"
BY_TARGETS = "targets"
# Of several parts, which must all hold, the first of these that any has is the claim's.
VERDICTS = ("contradicted", "cannot be tested", "undecided", "supported")


class Term(Frozen):
    """One cell of a contrast, and how it counts.

    Attributes
    ----------
    weight : float
        What its skill is multiplied by.
    groups, blocks : tuple of str
        Imaging groups, and domains whose traits are inputs.
    """

    weight: float
    groups: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()


class Contrast(Frozen):
    """A weighted sum of skills, averaged over targets.

    Attributes
    ----------
    name : str
        What it is, in words.
    terms : tuple of Term
        Cells and weights.
    above, below : float, optional
        The claim is that the contrast lies above, or below, this skill; one of both.
    """

    name: str
    terms: tuple[Term, ...] = Field(min_length=1)
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _has_one_bound(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError(f"contrast {self.name!r} takes one of `above` and `below`")
        return self

    @property
    def bound(self) -> float:
        """What the contrast is compared with."""
        return next(bound for bound in (self.above, self.below) if bound is not None)

    @property
    def sign(self) -> int:
        """1 where the claim is that the contrast lies above, -1 where below."""
        return 1 if self.above is not None else -1


class Claim(Frozen):
    """A sentence, and the contrasts that must all hold if it is true.

    Attributes
    ----------
    text : str
        The sentence.
    targets : tuple of str
        Keys of targets; or none, and a domain.
    domain : str, optional
        All its targets.
    contrasts : tuple of Contrast
        All of them must hold.
    """

    text: str
    targets: tuple[str, ...] = ()
    domain: str | None = None
    contrasts: tuple[Contrast, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_targets_once(self) -> Self:
        if bool(self.targets) == (self.domain is not None):
            raise ValueError(f"claim {self.text!r} takes one of `targets` and `domain`")
        return self


def claims_of(text: Mapping[str, Any]) -> dict[str, Claim]:
    """Read claims.

    Parameters
    ----------
    text : dict
        As in the file of claims: by name.

    Returns
    -------
    dict of str to Claim

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
            claims[name] = Claim(**given)
        except (TypeError, ValidationError) as error:
            why = " ".join(str(error).split())
            raise InputError(f"Claim {name!r} in the file of claims: {why}") from None
    return claims


def evaluate_claims(
    claims: Mapping[str, Claim], skill: pd.DataFrame, grid: Grid, level: float = 0.95
) -> pd.DataFrame:
    """Test claims on the skill of a map's cells.

    With bootstrap draws of test people, intervals and p values are over people: percentile
    intervals, and the share of draws on the wrong side of the bound, one-sided, with one added
    to both counts. With the sample's skill alone, as from a published table, they are over
    targets, by Student's t; one target has none. All parts of a claim must hold, so its p is the
    largest of theirs (an intersection-union test, Berger 1982), and nothing is corrected for.

    Parameters
    ----------
    claims : dict of str to Claim
        By name.
    skill : pandas.DataFrame
        Index ``target, inputs``; column 0 is the sample's skill (R², or 2 AUC - 1), the others are
        those of bootstrap draws, the same in all cells.
    grid : Grid
        Names the inputs.
    level : float
        Coverage of the intervals.

    Returns
    -------
    pandas.DataFrame
        A row for each contrast and, under part ``all``, for each claim: `COLUMNS`. A verdict is
        ``supported`` where the interval lies on the claim's side of the bound, ``contradicted``
        where it lies wholly on the other, ``undecided`` otherwise, ``cannot be tested`` where
        cells are missing.

    Raises
    ------
    InputError
        If a claim names a target, domain or imaging group that the grid has not.

    Notes
    -----
    `tests/statistics/test_claims.py` compares intervals over targets with SciPy's, and
    those over people with numpy's quantiles.
    """
    rows: list[dict[str, Any]] = []
    for name, claim in claims.items():
        targets = _targets_of(name, claim, grid)
        parts = [
            {"claim": name, "text": claim.text, "part": contrast.name}
            | _tested(contrast, targets, skill, grid, level)
            for contrast in claim.contrasts
        ]
        rows += [*parts, {"claim": name, "text": claim.text, "part": "all"} | _joined(parts)]
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _targets_of(name: str, claim: Claim, grid: Grid) -> tuple[str, ...]:
    known = set(grid.targets) if claim.domain is None else set(grid.domains)
    asked = claim.targets if claim.domain is None else (claim.domain,)
    odd = sorted(set(asked) - known)
    if odd:
        raise InputError(
            f"Claim {name!r} names {odd}, which the grid has not; it has {sorted(known)}."
        )
    return claim.targets if claim.domain is None else tuple(grid.targets_of(claim.domain))


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
) -> dict[str, Any]:
    absent = sorted({g for t in contrast.terms for g in t.groups if g in grid.left_out})
    if absent:
        reason = f"the grid leaves out {', '.join(absent)}"
        counts = {"bound": contrast.bound, "n_targets": 0, "n_missing": len(targets)}
        return counts | {"verdict": "cannot be tested", "reason": reason}
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
    if np.isnan(low):
        reason = "one target alone has no interval without its test people"
        return row | {"verdict": "undecided", "reason": reason}
    near, far = (low, high) if contrast.sign > 0 else (-high, -low)
    bound = contrast.sign * contrast.bound
    verdict = "supported" if near > bound else "contradicted" if far < bound else "undecided"
    above = (verdict == "supported") == (contrast.sign > 0)
    where = "holds" if verdict == "undecided" else "lies above" if above else "lies below"
    reason = f"the interval {where} {contrast.bound:g}"
    return row | {"verdict": verdict, "reason": reason}


def _over_people(
    drawn: NDArray[np.float64], contrast: Contrast, level: float
) -> tuple[float, float, float, str]:
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return np.nan, np.nan, np.nan, BY_PEOPLE
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    wrong = np.count_nonzero(contrast.sign * (known - contrast.bound) <= 0)
    return float(low), float(high), (1 + wrong) / (1 + len(known)), BY_PEOPLE


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
