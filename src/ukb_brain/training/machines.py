"""Ways to solve a kernel ridge regression with traits beside the kernel: exactly, or projected.

Up to some number of people a kernel between all of them is inverted. Above it the regression is on
components: the leading ones of the kernel between some people, on which everybody is projected
(Nyström; Williams and Seeger, NIPS 2000).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch

from ukb_brain.training.kernel_ridge import (
    Inverse,
    fit_known,
    invert,
    left_out,
    times,
    with_columns,
)

# Components whose variance is a smaller part of the first one's are rounding.
ROUNDING = 1e-6
# From it on single precision tells penalties apart.
LEAST_SINGLE = 0.03
# From targets to scores, both of shape (n_learnt, fits): those of several may be made together.
Smoother = Callable[[torch.Tensor], torch.Tensor]
# Parts that fits go without; None goes without nobody.
Without = Sequence[torch.Tensor | None]


@dataclass(frozen=True)
class Fit:
    """A fit of everybody whose target is known.

    Attributes
    ----------
    scores : torch.Tensor of shape (n, targets)
        Of everybody.
    weights : torch.Tensor of shape (m, targets)
        Of the kernel's columns: a score is ``kernel @ weights`` and what traits add.
    coefficients : torch.Tensor of shape (q, targets)
        Of traits, the intercept first.
    """

    scores: torch.Tensor
    weights: torch.Tensor
    coefficients: torch.Tensor


class Ridge(Protocol):
    """A kernel and traits, with their penalties."""

    @property
    def columns(self) -> torch.Tensor:
        """Traits of everybody, in the precision in which they are fitted."""
        ...

    def left_out(self, y: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Score the people of the fit, each by the fit that left their part out."""
        ...

    def smoother(self, known: torch.Tensor, without: Without) -> Smoother:
        """Prepare fits, side by side, of all who are known, each without a part of its own."""
        ...

    def fit(self, y: torch.Tensor, known: torch.Tensor) -> Fit:
        """Fit all who are known."""
        ...


class Machine(Protocol):
    """A kernel, to be solved with many penalties."""

    def at(self, penalty: float, rough: bool = False) -> Bound:
        """Take a penalty; roughly, where it is only told from others."""
        ...


class Bound(Protocol):
    """A kernel with its penalty."""

    def beside(self, columns: torch.Tensor, penalties: torch.Tensor) -> Ridge:
        """Put columns of shape (n, q) beside the kernel, with a penalty each."""
        ...


@dataclass(frozen=True)
class Exact:
    """A kernel between everybody and all people of the fit.

    Attributes
    ----------
    values : torch.Tensor of shape (n, n_learnt)
        Centred, with a mean of 1 on the diagonal.
    learnt : torch.Tensor of shape (n_learnt,)
        Rows of the people of the fit.
    parts : sequence of torch.Tensor
        Places among them that are left out together.
    """

    values: torch.Tensor
    learnt: torch.Tensor
    parts: Sequence[torch.Tensor]

    def at(self, penalty: float, rough: bool = False) -> ExactBound:
        """Invert the kernel with a penalty, in single precision where that will do."""
        single = rough and penalty >= LEAST_SINGLE
        inner = self.values[self.learnt].to(torch.float32 if single else torch.float64)
        return ExactBound(self, penalty, invert(inner, penalty), inner.dtype)


@dataclass(frozen=True)
class ExactBound:
    """An inverted kernel."""

    machine: Exact
    penalty: float
    plain: torch.Tensor | None
    dtype: torch.dtype
    # Of the columns that were put beside it before: penalties change, and columns are the same.
    products: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def beside(self, columns: torch.Tensor, penalties: torch.Tensor) -> ExactRidge:
        """Add columns to the inverse."""
        if id(columns) not in self.products:
            mine = columns[self.machine.learnt].to(self.dtype)
            self.products[id(columns)] = (mine, times(self.plain, mine))
        columns_of_fit = self.products[id(columns)]
        inverse = with_columns(self.plain, *columns_of_fit, penalties.to(self.dtype))
        return ExactRidge(self.machine, self.penalty, columns.to(self.dtype), inverse)


@dataclass(frozen=True)
class ExactRidge:
    """An inverted kernel beside columns; see `Ridge`."""

    machine: Exact
    penalty: float
    columns: torch.Tensor
    inverse: Inverse

    def left_out(self, y: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Scores in closed form."""
        return left_out(self.inverse, y.to(self.columns), self.machine.parts, known).double()

    def smoother(self, known: torch.Tensor, without: Without) -> Smoother:
        """Take who is not fitted out of the inverse once, for all targets to come."""
        lost, factors = [], []
        for part in without:
            keep = known.clone()
            if part is not None:
                keep[part] = False
            lost.append(torch.nonzero(~keep)[:, 0])
            factors.append(torch.linalg.cholesky(self.inverse.block(lost[-1], lost[-1])))
        return ExactSmoother(self.inverse, lost, factors)

    def fit(self, y: torch.Tensor, known: torch.Tensor) -> Fit:
        """Solve for all."""
        fitted = fit_known(self.inverse, y, known)
        scores = fitted.scores(self.machine.values, self.penalty, self.columns)
        return Fit(scores, fitted.dual / self.penalty, fitted.coefficients)


@dataclass(frozen=True)
class ExactSmoother:
    """Fits without some people each; see `Ridge.smoother`.

    Attributes
    ----------
    inverse : Inverse
        Of everybody.
    lost, factors : list of torch.Tensor
        For each fit: who is not fitted, and the Cholesky factor of their part of the inverse.
    """

    inverse: Inverse
    lost: list[torch.Tensor]
    factors: list[torch.Tensor]

    def __call__(self, y: torch.Tensor) -> torch.Tensor:
        """Score."""
        return side_by_side([self], y)


def side_by_side(smoothers: Sequence[ExactSmoother], y: torch.Tensor) -> torch.Tensor:
    """Apply fits that differ in the columns beside one kernel, with one product of matrices.

    Parameters
    ----------
    smoothers : sequence of ExactSmoother
        With the same `Inverse.plain`.
    y : torch.Tensor of shape (n_learnt, fits)
        Targets of all their fits.

    Returns
    -------
    torch.Tensor of shape (n_learnt, fits)
    """
    widths = [len(some.lost) for some in smoothers]

    def residuals(all_y: torch.Tensor) -> torch.Tensor:
        plain = times(smoothers[0].inverse.plain, all_y)
        parts = zip(smoothers, plain.split(widths, 1), all_y.split(widths, 1), strict=True)
        return torch.cat([p - s.inverse.right @ (s.inverse.solve @ y) for s, p, y in parts], 1)

    found, taken = residuals(y), torch.zeros_like(y)
    each = (
        (rows, f) for some in smoothers for rows, f in zip(some.lost, some.factors, strict=True)
    )
    # Who is predicted exactly has no residual, and so no say.
    for k, (rows, factor) in enumerate(each):
        taken[rows, k] = torch.cholesky_solve(found[rows, k, None], factor)[:, 0]
    return y - taken - found + residuals(taken)


class Projected:
    """Everybody on the leading components of the kernel between some people.

    Parameters
    ----------
    values : torch.Tensor of shape (n, m)
        Kernel between everybody and those people.
    landmarks : torch.Tensor of shape (m,)
        Rows of those people.
    learnt, parts : torch.Tensor, sequence of torch.Tensor
        As of `Exact`.
    number : int
        Components wanted; fewer where the rest are rounding.
    """

    def __init__(
        self,
        values: torch.Tensor,
        landmarks: torch.Tensor,
        learnt: torch.Tensor,
        parts: Sequence[torch.Tensor],
        number: int,
    ) -> None:
        variance, vectors = torch.linalg.eigh(values[landmarks])
        kept = torch.nonzero(variance > ROUNDING * variance[-1])[:, 0].flip(0)[:number]
        self.axes = vectors[:, kept] / variance[kept].sqrt()
        self.Z, self.learnt, self.parts = values @ self.axes, learnt, parts
        self._known: torch.Tensor | None = None
        self._moments: list[torch.Tensor] = []

    def at(self, penalty: float, rough: bool = False) -> ProjectedBound:
        """Take a penalty; nothing is solved yet."""
        return ProjectedBound(self, penalty)

    def moments(self, known: torch.Tensor) -> list[torch.Tensor]:
        """Products of components over each part's people who are known; kept for the next call."""
        if self._known is None or not torch.equal(self._known, known):
            of_parts = [self.Z[self.learnt[part[known[part]]]] for part in self.parts]
            self._known, self._moments = known, [Z.T @ Z for Z in of_parts]
        return self._moments


@dataclass(frozen=True)
class ProjectedBound:
    """Components with their penalty."""

    machine: Projected
    penalty: float

    def beside(self, columns: torch.Tensor, penalties: torch.Tensor) -> ProjectedRidge:
        """Put columns before the components."""
        with_images = math.isfinite(self.penalty)
        Z = self.machine.Z if with_images else self.machine.Z[:, :0]
        own = torch.full_like(Z[0], self.penalty)
        return ProjectedRidge(
            self.machine, columns, torch.cat([columns, Z], 1), torch.cat([penalties, own])
        )


@dataclass(frozen=True)
class ProjectedRidge:
    """Columns and components, with a penalty each; see `Ridge`."""

    machine: Projected
    columns: torch.Tensor
    X: torch.Tensor
    penalties: torch.Tensor

    def _part_moments(self, known: torch.Tensor) -> list[torch.Tensor]:
        """Products of all columns over each part's people who are known."""
        q, learnt = self.columns.shape[1], self.machine.learnt
        with_images = self.X.shape[1] > q
        inner = self.machine.moments(known) if with_images else []
        found = []
        for k, part in enumerate(self.machine.parts):
            rows = self.X[learnt[part[known[part]]]]
            whole = self.X.new_empty(self.X.shape[1], self.X.shape[1])
            products = rows[:, :q].T @ rows
            whole[:q], whole[:, :q] = products, products.T
            if with_images:
                whole[q:, q:] = inner[k]
            found.append(whole)
        return found

    def _factor(self, moments: torch.Tensor) -> torch.Tensor:
        return torch.linalg.cholesky(moments + torch.diag(self.penalties))

    def left_out(self, y: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Scores by as many fits as there are parts."""
        of_parts, X = self._part_moments(known), self.X[self.machine.learnt]
        whole, scores = sum(of_parts[1:], start=of_parts[0]), torch.empty_like(y)
        seen = y * known[:, None]
        for part, moments in zip(self.machine.parts, of_parts, strict=True):
            others = X.T @ seen - X[part].T @ seen[part]
            scores[part] = X[part] @ torch.cholesky_solve(others, self._factor(whole - moments))
        lost = torch.nonzero(~known)[:, 0]
        if len(lost):
            scores[lost] = X[lost] @ torch.cholesky_solve(X.T @ seen, self._factor(whole))
        return scores

    def smoother(self, known: torch.Tensor, without: Without) -> Smoother:
        """Factor the products of who is fitted once, for all targets to come."""
        X, of_parts = self.X[self.machine.learnt], self._part_moments(known)
        whole, keep, factors = sum(of_parts[1:], start=of_parts[0]), [], []
        for part in without:
            mine, moments = known.clone(), whole
            if part is not None:
                (own,) = [
                    each
                    for other, each in zip(self.machine.parts, of_parts, strict=True)
                    if torch.equal(other, part)
                ]
                mine[part], moments = False, whole - own
            keep.append(mine)
            factors.append(self._factor(moments))
        kept = torch.stack(keep, 1)

        def smooth(y: torch.Tensor) -> torch.Tensor:
            products = X.T @ (y * kept)
            solved = [torch.cholesky_solve(products[:, k, None], f) for k, f in enumerate(factors)]
            return X @ torch.cat(solved, 1)

        return smooth

    def fit(self, y: torch.Tensor, known: torch.Tensor) -> Fit:
        """Solve for all."""
        moments, q = self._part_moments(known), self.columns.shape[1]
        X = self.X[self.machine.learnt]
        factor = self._factor(sum(moments[1:], start=moments[0]))
        found = torch.cholesky_solve(X.T @ (y * known[:, None]), factor)
        axes = self.machine.axes[:, : self.X.shape[1] - q]
        return Fit(self.X @ found, axes @ found[q:], found[:q])


def together(smoothers: Sequence[Smoother]) -> Smoother:
    """Put fits side by side: where they are with one kernel, they are made together."""
    exact = [some for some in smoothers if isinstance(some, ExactSmoother)]
    if len(exact) == len(smoothers):
        return partial(side_by_side, exact)
    each = list(smoothers)

    def smooth(y: torch.Tensor) -> torch.Tensor:
        parts = zip(each, y.chunk(len(each), 1), strict=True)
        return torch.cat([some(part) for some, part in parts], 1)

    return smooth


def logistic_target(smoother: Smoother, y: torch.Tensor, steps: int = 30) -> torch.Tensor:
    """Find the targets whose ridge regression is a logistic one.

    Parameters
    ----------
    smoother : Smoother
        A ridge regression, with four times the penalties of the logistic one.
    y : torch.Tensor of shape (n_learnt, targets)
        -1 and 1.
    steps : int
        At most.

    Returns
    -------
    torch.Tensor of shape (n_learnt, targets)
        Their ridge regression gives log odds.

    Notes
    -----
    The curvature of the likelihood is at most a quarter, so that each step is a ridge regression
    with the same matrix (Böhning, Annals of the Institute of Statistical Mathematics 44:197, 1992).
    """
    odds = torch.zeros_like(y)
    for _ in range(steps):
        target = odds + 4 * ((y + 1) / 2 - torch.sigmoid(odds))
        before, odds = odds, smoother(target)
        if float((odds - before).abs().max()) < 3e-3:
            break
    return odds + 4 * ((y + 1) / 2 - torch.sigmoid(odds))
