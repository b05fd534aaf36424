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
    without_themselves,
)

# Components whose variance is a smaller part of the first one's are rounding.
ROUNDING = 1e-6
# From it on single precision is enough.
LEAST_SINGLE = 0.03
# Fits whose log odds move by less in a step have ended.
CONVERGED = 3e-3
# From targets to scores, both of shape (n_learnt, fits): those of several may be made together.
Smoother = Callable[[torch.Tensor], torch.Tensor]
# From `ukb_brain.training.kernel_ridge.groups_of`.
Groups = Sequence[torch.Tensor]
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

    def left_out(self, y: torch.Tensor, known: torch.Tensor, groups: Groups) -> torch.Tensor:
        """Score the people of the fit, each by the fit that left their group out."""
        ...

    def smoother(self, known: torch.Tensor, without: Without) -> Smoother:
        """Prepare fits, side by side, of all who are known, each without a part of its own."""
        ...

    def fit(self, y: torch.Tensor, known: torch.Tensor) -> Fit:
        """Fit all who are known."""
        ...


class Machine(Protocol):
    """A kernel, to be solved with many penalties."""

    def at(self, penalty: float) -> Bound:
        """Take a penalty."""
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
    memory_gb : float
        Inverses are kept as long as they take no more.
    flops : list of float
        Operations of every inverse are added to it.
    """

    values: torch.Tensor
    learnt: torch.Tensor
    memory_gb: float = 0.0
    flops: list[float] = field(default_factory=list, compare=False)
    inverses: dict[float, ExactBound] = field(default_factory=dict, compare=False)

    def at(self, penalty: float) -> ExactBound:
        """Invert the kernel with a penalty, in single precision as products of scans are."""
        found = self.inverses.pop(penalty, None)
        if found is None:
            with_images = math.isfinite(penalty)
            single = with_images and penalty >= LEAST_SINGLE
            kind = torch.float32 if single else torch.float64
            plain = invert(self.values[self.learnt].to(kind), penalty) if with_images else None
            self.flops.append(float(len(self.learnt)) ** 3 if with_images else 0.0)
            # Not the machine itself, whose memory would wait for the collector of cycles.
            found = ExactBound(self.values, self.learnt, penalty, plain, kind)
        # The last that were used are kept.
        self.inverses[penalty] = found
        most = max(1, int(self.memory_gb * 1e9 / (4 * len(self.learnt) ** 2)))
        for old in list(self.inverses)[:-most]:
            del self.inverses[old]
        return found


@dataclass(frozen=True)
class ExactBound:
    """An inverted kernel."""

    values: torch.Tensor
    learnt: torch.Tensor
    penalty: float
    plain: torch.Tensor | None
    dtype: torch.dtype
    # Of the columns that were put beside it before: penalties change, and columns are the same.
    products: dict[int, tuple[torch.Tensor, ...]] = field(default_factory=dict)

    def beside(self, columns: torch.Tensor, penalties: torch.Tensor) -> ExactRidge:
        """Add columns to the inverse."""
        if id(columns) not in self.products:
            mine = columns[self.learnt].to(self.dtype)
            # With the columns themselves, whose number would else be another's some day.
            self.products[id(columns)] = (mine, times(self.plain, mine), columns)
        mine, product, _ = self.products[id(columns)]
        inverse = with_columns(self.plain, mine, product, penalties.to(self.dtype))
        return ExactRidge(self.values, self.penalty, columns.to(self.dtype), inverse)


@dataclass(frozen=True)
class ExactRidge:
    """An inverted kernel beside columns; see `Ridge`."""

    values: torch.Tensor
    penalty: float
    columns: torch.Tensor
    inverse: Inverse

    def left_out(self, y: torch.Tensor, known: torch.Tensor, groups: Groups) -> torch.Tensor:
        """Scores in closed form."""
        return left_out(self.inverse, y.to(self.columns), groups, known).double()

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
        fitted = fit_known(self.inverse, y.to(self.columns), known)
        dual, coefficients = fitted.dual.double() / self.penalty, fitted.coefficients.double()
        scores = self.columns.double() @ coefficients
        if self.inverse.plain is not None:
            scores = scores + self.values @ dual
        return Fit(scores, dual, coefficients)


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
    learnt : torch.Tensor of shape (n_learnt,)
        Rows of the people of the fit.
    number : int
        Components wanted; fewer where the rest are rounding.
    flops : list of float, optional
        Operations of components and of their products are added to it.
    """

    def __init__(
        self,
        values: torch.Tensor,
        landmarks: torch.Tensor,
        learnt: torch.Tensor,
        number: int,
        flops: list[float] | None = None,
    ) -> None:
        self.flops = [] if flops is None else flops
        m, n = float(len(landmarks)), float(len(values))
        # Of all eigenvectors, and of everybody's components.
        self.flops.append(9 * m**3 + 2 * n * m * min(number, m))
        variance, vectors = torch.linalg.eigh(values[landmarks])
        kept = torch.nonzero(variance > ROUNDING * variance[-1])[:, 0].flip(0)[:number]
        self.axes = vectors[:, kept] / variance[kept].sqrt()
        self.Z, self.learnt = values @ self.axes, learnt
        self._moments: tuple[torch.Tensor, torch.Tensor] | None = None

    def at(self, penalty: float) -> ProjectedBound:
        """Take a penalty; nothing is solved yet."""
        return ProjectedBound(self, penalty)

    def moments(self, known: torch.Tensor) -> torch.Tensor:
        """Products of components over those who are known; kept for the next call."""
        if self._moments is None or not torch.equal(self._moments[0], known):
            Z = self.Z[self.learnt[known]]
            self._moments = (known, Z.T @ Z)
            self.flops.append(2.0 * len(Z) * Z.shape[1] ** 2)
        return self._moments[1]


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

    def _moments(self, known: torch.Tensor) -> torch.Tensor:
        """Products of all columns over those who are known."""
        q, X = self.columns.shape[1], self.X[self.machine.learnt[known]]
        found = X.new_empty(X.shape[1], X.shape[1])
        products = X[:, :q].T @ X
        found[:q], found[:, :q] = products, products.T
        if X.shape[1] > q:
            found[q:, q:] = self.machine.moments(known)
        return found

    def _factor(self, moments: torch.Tensor) -> torch.Tensor:
        return torch.linalg.cholesky(moments + torch.diag(self.penalties))

    def left_out(self, y: torch.Tensor, known: torch.Tensor, groups: Groups) -> torch.Tensor:
        """Scores in closed form, from the leverage of groups of people."""
        X, factor = self.X[self.machine.learnt], self._factor(self._moments(known))
        fitted = X @ torch.cholesky_solve(X.T @ (y * known[:, None]), factor)
        half = torch.linalg.solve_triangular(factor, X.T, upper=False).T
        scores = torch.empty_like(y)
        for some in groups:
            of_some = half[some]
            blocks = torch.eye(some.shape[1]).to(half) - of_some @ of_some.transpose(1, 2)
            own, residuals = y[some], y[some] - fitted[some]
            scores[some] = without_themselves(own, residuals, blocks, known[some])
        return torch.where(known[:, None], scores, fitted)

    def smoother(self, known: torch.Tensor, without: Without) -> Smoother:
        """Factor the products of who is fitted once, for all targets to come."""
        X, whole, keep, factors = self.X[self.machine.learnt], self._moments(known), [], []
        for part in without:
            mine, moments = known.clone(), whole
            if part is not None:
                of_part = X[part[known[part]]]
                mine[part], moments = False, whole - of_part.T @ of_part
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
        X, q = self.X[self.machine.learnt], self.columns.shape[1]
        found = torch.cholesky_solve(X.T @ (y * known[:, None]), self._factor(self._moments(known)))
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


def logistic_target(smoother: Smoother, y: torch.Tensor, steps: int = 100) -> torch.Tensor:
    """Find the targets whose ridge regression is a logistic one.

    Parameters
    ----------
    smoother : Smoother
        A ridge regression, with four times the penalties of the logistic one.
    y : torch.Tensor of shape (n_learnt, targets)
        -1 and 1; 0 where not known.
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
    Steps gather momentum (Beck and Teboulle, SIAM J Imaging Sci 2:183, 2009), and lose it where
    they turn back (O'Donoghue and Candès, Found Comput Math 15:715, 2015).
    """
    # Of a rare trait the intercept is the longest way. Only those who are fitted say what it is.
    odds = 2 * torch.atanh(smoother(y).mean(0).clamp(-0.998, 0.998)).expand_as(y)
    ahead, momentum = odds, torch.ones(y.shape[1]).to(y)
    # Each fit ends by itself, whatever is beside it.
    moving = torch.ones(y.shape[1], dtype=torch.bool, device=y.device)
    for _ in range(steps):
        new = smoother(_working(y, ahead))
        apart, step = (new - ahead).abs().amax(0), new - odds
        back = ((ahead - new) * step).sum(0) > 0
        momentum = torch.where(back, torch.ones_like(momentum), momentum)
        following = (1 + (1 + 4 * momentum**2).sqrt()) / 2
        ahead = torch.where(moving, new + (momentum - 1) / following * step, ahead)
        odds, momentum = torch.where(moving, new, odds), following
        moving = moving & (apart >= CONVERGED)
        if not moving.any():
            break
    return _working(y, odds)


def _working(y: torch.Tensor, odds: torch.Tensor) -> torch.Tensor:
    return odds + 4 * ((y + 1) / 2 - torch.sigmoid(odds))
