"""Kernel ridge regression with traits beside the kernel, and what it says of people left out.

The model is ``y = K a / penalty + T b``, with a free intercept among the columns of ``T``. One
inverse of a people × people matrix gives the scores of everybody by fits that left out their part
of the people, and whoever lacks the target, in closed form: nothing is fitted twice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

# The intercept is not penalised; every other column of T is, as it says.
FREE = 0.0
# From `groups_of`.
Groups = Sequence[torch.Tensor]


@dataclass(frozen=True)
class Inverse:
    """What takes targets to residuals, with the columns of ``T`` projected out as far as allowed.

    Attributes
    ----------
    plain : torch.Tensor of shape (n, n), optional
        Inverse of ``K / penalty + 1``; none where the kernel is left out.
    right : torch.Tensor of shape (n, q)
        It, times ``T``.
    solve : torch.Tensor of shape (q, n)
        Takes targets to the coefficients of ``T``.
    """

    plain: torch.Tensor | None
    right: torch.Tensor
    solve: torch.Tensor

    def residuals(self, y: torch.Tensor) -> torch.Tensor:
        """Apply it to targets, of shape (n, targets)."""
        return times(self.plain, y) - self.right @ (self.solve @ y)

    def block(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """Give a part of it: the whole is never made."""
        if self.plain is None:
            plain = (rows[:, None] == columns).to(self.right)
        else:
            plain = self.plain[rows[:, None], columns]
        return plain - self.right[rows] @ self.solve[:, columns]

    def blocks(self, groups: torch.Tensor) -> torch.Tensor:
        """Give the parts, of shape (groups, size, size), of many groups of people of one size."""
        if self.plain is None:
            plain = torch.eye(groups.shape[1]).to(self.right).expand(len(groups), -1, -1)
        else:
            plain = self.plain[groups[:, :, None], groups[:, None, :]]
        return plain - self.right[groups] @ self.solve.T[groups].transpose(1, 2)


def invert(kernel: torch.Tensor, penalty: float) -> torch.Tensor | None:
    """Invert ``kernel / penalty + 1``, of shape (n, n); an infinite penalty leaves it out: None.

    The kernel is symmetric, without negative eigenvalues, and the penalty above 0.
    """
    if math.isinf(penalty):
        return None
    A = kernel / penalty
    A.diagonal().add_(1.0)
    return torch.cholesky_inverse(torch.linalg.cholesky(A))


def times(plain: torch.Tensor | None, columns: torch.Tensor) -> torch.Tensor:
    """Multiply with what `invert` gives."""
    return columns if plain is None else plain @ columns


def with_columns(
    plain: torch.Tensor | None, columns: torch.Tensor, right: torch.Tensor, penalties: torch.Tensor
) -> Inverse:
    """Add columns with penalties of their own to an inverse (Woodbury).

    Parameters
    ----------
    plain : torch.Tensor of shape (n, n), optional
        From `invert`.
    columns : torch.Tensor of shape (n, q)
        ``T``.
    right : torch.Tensor of shape (n, q)
        ``plain @ columns``.
    penalties : torch.Tensor of shape (q,)
        Of each; `FREE` for the intercept.
    """
    inner = columns.T @ right + torch.diag(penalties)
    return Inverse(plain, right, torch.linalg.solve(inner, right.T))


def groups_of(labels: NDArray[np.int64]) -> list[torch.Tensor]:
    """Sort people by how many have their label: places of shape (groups, size), for each size."""
    order = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    found = []
    for size in np.unique(counts):
        first = starts[counts == size]
        found.append(torch.from_numpy(order[first[:, None] + np.arange(size)]))
    return found


def without_themselves(
    y: torch.Tensor, residuals: torch.Tensor, blocks: torch.Tensor, known: torch.Tensor
) -> torch.Tensor:
    """Scores of groups of people by fits that left them out, from the fit of all.

    Parameters
    ----------
    y, residuals : torch.Tensor of shape (groups, size, targets)
        Of the fit of all.
    blocks : torch.Tensor of shape (groups, size, size)
        Of what takes targets to residuals.
    known : torch.Tensor of shape (groups, size)
        Who took part in the fit of all.

    Returns
    -------
    torch.Tensor of shape (groups, size, targets)
        Anything for who did not.

    Notes
    -----
    With rows o left out, ``y_o - f_o = (G_oo)⁻¹ (G y)_o`` for the inverse G, whatever y_o is.
    """
    both = known[:, :, None] & known[:, None, :]
    own = torch.eye(blocks.shape[1]).to(blocks).expand_as(blocks)
    return y - torch.linalg.solve(torch.where(both, blocks, own), residuals * known[:, :, None])


def left_out(
    inverse: Inverse, y: torch.Tensor, groups: Groups, known: torch.Tensor
) -> torch.Tensor:
    """Scores of everybody by the fit that left their group out; see `without_themselves`.

    Parameters
    ----------
    inverse : Inverse
        From `with_columns`.
    y : torch.Tensor of shape (n, targets)
        Anything for whoever is not known.
    groups : sequence of torch.Tensor
        From `groups_of`; together everybody.
    known : torch.Tensor of shape (n,)
        False for those whose target nobody knows, the same for all these targets: they are taken
        out of every fit, and scored by that of all who are known.
    """
    residuals, scores = inverse.residuals(y), torch.empty_like(y)
    lost = torch.nonzero(~known)[:, 0]
    everybody = torch.arange(len(y), device=y.device)
    taken: torch.Tensor | None = None
    if len(lost):
        factor = torch.linalg.cholesky(inverse.block(lost, lost))
        taken = torch.linalg.solve_triangular(factor, inverse.block(lost, everybody), upper=False)
        of_lost = torch.linalg.solve_triangular(factor, residuals[lost], upper=False)
        residuals = residuals - taken.T @ of_lost
    for some in groups:
        blocks = inverse.blocks(some)
        if taken is not None:
            of_some = taken.T[some]
            blocks = blocks - of_some @ of_some.transpose(1, 2)
        scores[some] = without_themselves(y[some], residuals[some], blocks, known[some])
    if len(lost):
        scores[lost] = y[lost] - torch.linalg.solve_triangular(factor.T, of_lost, upper=True)
    return scores


def fit_known(
    inverse: Inverse, y: torch.Tensor, known: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit everybody whose target is known, of which y and known are as in `left_out`.

    Returns
    -------
    dual : torch.Tensor of shape (n, targets)
        0 for whoever is not known.
    coefficients : torch.Tensor of shape (q, targets)
        Of the columns of ``T``, the intercept first.
    """
    lost = torch.nonzero(~known)[:, 0]
    if len(lost):
        # Who is predicted exactly has no residual, and so no say.
        factor = torch.linalg.cholesky(inverse.block(lost, lost))
        y = y.clone()
        y[lost] -= torch.cholesky_solve(inverse.residuals(y)[lost], factor)
    return inverse.residuals(y), inverse.solve @ y


def mean_loss(scores: torch.Tensor, y: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each target, of shape (targets,), over those who are known."""
    return (known[:, None] * (scores - y) ** 2).sum(0) / known.sum()
