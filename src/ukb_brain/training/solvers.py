"""Ways to solve a kernel ridge regression with traits beside the kernel: exactly, or projected.

Up to some number of people a kernel between all of them is inverted. Above it the regression is on
components: the leading ones of the kernel between some people, on which everybody is projected
(Nyström; Williams and Seeger, NIPS 2000).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from ukb_brain.training.kernel_ridge import (
    Groups,
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
# From targets to scores, both of shape (n_learnt, fits).
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


@dataclass(frozen=True)
class Inverted:
    """An inverted kernel, or none where it is left out."""

    plain: torch.Tensor | None
    dtype: torch.dtype
    # Of the columns that were put beside it before: penalties change, and columns are the same.
    products: dict[int, tuple[torch.Tensor, ...]] = field(default_factory=dict)


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
    inverses: dict[float, Inverted] = field(default_factory=dict, compare=False)

    def at(self, penalty: float) -> Inverted:
        """Invert the kernel with a penalty, in single precision as products of scans are."""
        found = self.inverses.pop(penalty, None)
        if found is None:
            with_images = math.isfinite(penalty)
            single = with_images and penalty >= LEAST_SINGLE
            kind = torch.float32 if single else torch.float64
            plain = invert(self.values[self.learnt].to(kind), penalty) if with_images else None
            self.flops.append(float(len(self.learnt)) ** 3 if with_images else 0.0)
            found = Inverted(plain, kind)
        # The last that were used are kept.
        self.inverses[penalty] = found
        most = max(1, int(self.memory_gb * 1e9 / (4 * len(self.learnt) ** 2)))
        for old in list(self.inverses)[:-most]:
            del self.inverses[old]
        return found

    def beside(self, penalty: float, columns: torch.Tensor, penalties: torch.Tensor) -> ExactRidge:
        """Take a penalty, and put columns of shape (n, q) beside the kernel, with one each."""
        found = self.at(penalty)
        if id(columns) not in found.products:
            mine = columns[self.learnt].to(found.dtype)
            # With the columns themselves, whose number would else be another's some day.
            found.products[id(columns)] = (mine, times(found.plain, mine), columns)
        mine, product, _ = found.products[id(columns)]
        inverse = with_columns(found.plain, mine, product, penalties.to(found.dtype))
        return ExactRidge(self.values, penalty, columns.to(found.dtype), inverse)


@dataclass(frozen=True)
class ExactRidge:
    """An inverted kernel beside columns, in the precision in which they are fitted."""

    values: torch.Tensor
    penalty: float
    columns: torch.Tensor
    inverse: Inverse

    def left_out(self, y: torch.Tensor, known: torch.Tensor, groups: Groups) -> torch.Tensor:
        """Score the people of the fit, each by the fit that left their group out."""
        return left_out(self.inverse, y.to(self.columns), groups, known).double()

    def fit(self, y: torch.Tensor, known: torch.Tensor) -> Fit:
        """Fit all who are known."""
        dual, coefficients = fit_known(self.inverse, y.to(self.columns), known)
        weights, coefficients = dual.double() / self.penalty, coefficients.double()
        scores = self.columns.double() @ coefficients
        if self.inverse.plain is not None:
            scores = scores + self.values @ weights
        return Fit(scores, weights, coefficients)


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

    def beside(
        self, penalty: float, columns: torch.Tensor, penalties: torch.Tensor
    ) -> ProjectedRidge:
        """Take a penalty, and put columns of shape (n, q) before the components, with one each."""
        Z = self.Z if math.isfinite(penalty) else self.Z[:, :0]
        own = torch.full_like(Z[0], penalty)
        return ProjectedRidge(
            self, columns, torch.cat([columns, Z], 1), torch.cat([penalties, own])
        )

    def moments(self, known: torch.Tensor) -> torch.Tensor:
        """Products of components over those who are known; kept for the next call."""
        if self._moments is None or not torch.equal(self._moments[0], known):
            Z = self.Z[self.learnt[known]]
            self._moments = (known, Z.T @ Z)
            self.flops.append(2.0 * len(Z) * Z.shape[1] ** 2)
        return self._moments[1]


@dataclass(frozen=True)
class ProjectedRidge:
    """Columns and components, with a penalty each; its methods are those of `ExactRidge`."""

    solver: Projected
    columns: torch.Tensor
    X: torch.Tensor
    penalties: torch.Tensor

    def _moments(self, known: torch.Tensor) -> torch.Tensor:
        """Products of all columns over those who are known."""
        q, X = self.columns.shape[1], self.X[self.solver.learnt[known]]
        found = X.new_empty(X.shape[1], X.shape[1])
        products = X[:, :q].T @ X
        found[:q], found[:, :q] = products, products.T
        if X.shape[1] > q:
            found[q:, q:] = self.solver.moments(known)
        return found

    def _factor(self, moments: torch.Tensor) -> torch.Tensor:
        return torch.linalg.cholesky(moments + torch.diag(self.penalties))

    def left_out(self, y: torch.Tensor, known: torch.Tensor, groups: Groups) -> torch.Tensor:
        """Scores in closed form, from the leverage of groups of people."""
        X, factor = self.X[self.solver.learnt], self._factor(self._moments(known))
        fitted = X @ torch.cholesky_solve(X.T @ (y * known[:, None]), factor)
        half = torch.linalg.solve_triangular(factor, X.T, upper=False).T
        scores = torch.empty_like(y)
        for some in groups:
            of_some = half[some]
            blocks = torch.eye(some.shape[1]).to(half) - of_some @ of_some.transpose(1, 2)
            own, residuals = y[some], y[some] - fitted[some]
            scores[some] = without_themselves(own, residuals, blocks, known[some])
        return torch.where(known[:, None], scores, fitted)

    def fit(self, y: torch.Tensor, known: torch.Tensor) -> Fit:
        """Solve for all."""
        X, q = self.X[self.solver.learnt], self.columns.shape[1]
        found = torch.cholesky_solve(X.T @ (y * known[:, None]), self._factor(self._moments(known)))
        axes = self.solver.axes[:, : self.X.shape[1] - q]
        return Fit(self.X @ found, axes @ found[q:], found[:q])


Solver = Exact | Projected
Ridge = ExactRidge | ProjectedRidge


def smoother(ridges: Sequence[Ridge], known: Sequence[torch.Tensor], without: Without) -> Smoother:
    """Prepare fits of who is known to each ridge without each part, side by side.

    The ridges are of one solver and differ in the columns beside the kernel.
    """
    exact = [ridge for ridge in ridges if isinstance(ridge, ExactRidge)]
    projected = [ridge for ridge in ridges if isinstance(ridge, ProjectedRidge)]
    return _exact(exact, known, without) if exact else _projected(projected, known, without)


def _exact(
    ridges: Sequence[ExactRidge], known: Sequence[torch.Tensor], without: Without
) -> Smoother:
    """Take who is not fitted out of the inverse once, for all targets to come.

    The kernel is one, and so is its product with all targets.
    """
    lost, factors = [], []
    for ridge, mine in zip(ridges, known, strict=True):
        for part in without:
            keep = _without(mine, part)
            lost.append(torch.nonzero(~keep)[:, 0])
            block = ridge.inverse.block(lost[-1], lost[-1])
            factors.append(torch.linalg.cholesky(block))
    inverses, width = [ridge.inverse for ridge in ridges], len(without)

    def residuals(every: torch.Tensor) -> torch.Tensor:
        plain = times(inverses[0].plain, every)
        parts = zip(inverses, plain.split(width, 1), every.split(width, 1), strict=True)
        return torch.cat([own - i.right @ (i.solve @ y) for i, own, y in parts], 1)

    def smooth(y: torch.Tensor) -> torch.Tensor:
        found, taken = residuals(y), torch.zeros_like(y)
        # Who is predicted exactly has no residual, and so no say.
        for k, (rows, factor) in enumerate(zip(lost, factors, strict=True)):
            taken[rows, k] = torch.cholesky_solve(found[rows, k, None], factor)[:, 0]
        return y - taken - found + residuals(taken)

    return smooth


def _projected(
    ridges: Sequence[ProjectedRidge], known: Sequence[torch.Tensor], without: Without
) -> Smoother:
    """Factor the products of who is fitted once, for all targets to come."""
    fits = []
    for ridge, mine in zip(ridges, known, strict=True):
        X, whole = ridge.X[ridge.solver.learnt], ridge._moments(mine)
        kept = torch.stack([_without(mine, part) for part in without], 1)
        of_parts = (X[:0] if part is None else X[part[mine[part]]] for part in without)
        fits.append((X, kept, [ridge._factor(whole - some.T @ some) for some in of_parts]))

    def smooth(y: torch.Tensor) -> torch.Tensor:
        found = []
        for (X, kept, factors), own in zip(fits, y.split(len(without), 1), strict=True):
            products = X.T @ (own * kept)
            each = [torch.cholesky_solve(products[:, k, None], f) for k, f in enumerate(factors)]
            found.append(X @ torch.cat(each, 1))
        return torch.cat(found, 1)

    return smooth


def _without(known: torch.Tensor, part: torch.Tensor | None) -> torch.Tensor:
    keep = known.clone()
    if part is not None:
        keep[part] = False
    return keep


def logistic_target(smoother: Smoother, y: torch.Tensor, steps: int = 100) -> torch.Tensor:
    """Find the targets whose ridge regression is a logistic one, and gives log odds.

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

    Notes
    -----
    The curvature of the likelihood is at most a quarter, so that each step is a ridge regression
    with the same matrix (Böhning, Annals of the Institute of Statistical Mathematics 44:197, 1992).
    Steps gather momentum (Beck and Teboulle, SIAM J Imaging Sci 2:183, 2009), and lose it where
    they turn back (O'Donoghue and Candès, Found Comput Math 15:715, 2015).
    """

    def working(odds: torch.Tensor) -> torch.Tensor:
        return odds + 4 * ((y + 1) / 2 - torch.sigmoid(odds))

    # Of a rare trait the intercept is the longest way. Only those who are fitted say what it is.
    odds = 2 * torch.atanh(smoother(y).mean(0).clamp(-0.998, 0.998)).expand_as(y)
    ahead, momentum = odds, torch.ones(y.shape[1]).to(y)
    # Each fit ends by itself, whatever is beside it.
    moving = torch.ones(y.shape[1], dtype=torch.bool, device=y.device)
    for _ in range(steps):
        new = smoother(working(ahead))
        apart, step = (new - ahead).abs().amax(0), new - odds
        back = ((ahead - new) * step).sum(0) > 0
        momentum = torch.where(back, torch.ones_like(momentum), momentum)
        following = (1 + (1 + 4 * momentum**2).sqrt()) / 2
        ahead = torch.where(moving, new + (momentum - 1) / following * step, ahead)
        odds, momentum = torch.where(moving, new, odds), following
        moving = moving & (apart >= CONVERGED)
        if not moving.any():
            break
    return working(odds)
