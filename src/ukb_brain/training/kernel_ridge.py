"""Kernel ridge regression with traits beside the kernel, and what it says of people left out.

The model is ``y = K a / penalty + T b``, with a free intercept among the columns of ``T``. One
inverse of a people × people matrix gives the scores of everybody by fits that left out their part
of the people, and whoever lacks the target, in closed form: nothing is fitted twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

# The intercept is not penalised; every other column of T is, as it says.
FREE = 0.0


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


def invert(kernel: torch.Tensor, penalty: float) -> torch.Tensor | None:
    """Invert ``kernel / penalty + 1``.

    Parameters
    ----------
    kernel : torch.Tensor of shape (n, n)
        Symmetric, without negative eigenvalues.
    penalty : float
        Above 0; infinity leaves the kernel out.

    Returns
    -------
    torch.Tensor of shape (n, n), or None
        None where the kernel is left out.
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

    Returns
    -------
    Inverse
    """
    inner = columns.T @ right + torch.diag(penalties)
    return Inverse(plain, right, torch.linalg.solve(inner, right.T))


def left_out(
    inverse: Inverse, y: torch.Tensor, parts: Sequence[torch.Tensor], known: torch.Tensor
) -> torch.Tensor:
    """Scores of everybody by the fit that left their part out.

    Parameters
    ----------
    inverse : Inverse
        From `with_columns`.
    y : torch.Tensor of shape (n, targets)
        Anything for whoever is not known.
    parts : sequence of torch.Tensor
        Rows of each part; together everybody.
    known : torch.Tensor of shape (n,)
        False for those whose target nobody knows, the same for all these targets: they are left
        out of every fit.

    Returns
    -------
    torch.Tensor of shape (n, targets)
        Of those not known by the fit of all who are.

    Notes
    -----
    With rows o left out, ``y_o - f_o = (G_oo)⁻¹ (G y)_o`` for the inverse G, whatever y_o is. Who
    is not known is taken out of G first, which leaves a smaller block for each part.
    """
    residuals, scores = inverse.residuals(y), torch.empty_like(y)
    lost = torch.nonzero(~known)[:, 0]
    everybody = torch.arange(len(y), device=y.device)
    taken: torch.Tensor | None = None
    if len(lost):
        factor = torch.linalg.cholesky(inverse.block(lost, lost))
        taken = torch.linalg.solve_triangular(factor, inverse.block(lost, everybody), upper=False)
        of_lost = torch.linalg.solve_triangular(factor, residuals[lost], upper=False)
        scores[lost] = y[lost] - torch.linalg.solve_triangular(factor.T, of_lost, upper=True)
        residuals = residuals - taken.T @ of_lost
    for part in parts:
        mine = part[known[part]]
        if not len(mine):
            continue
        block = inverse.block(mine, mine)
        if taken is not None:
            block = block - taken[:, mine].T @ taken[:, mine]
        factor = torch.linalg.cholesky(block)
        scores[mine] = y[mine] - torch.cholesky_solve(residuals[mine], factor)
    return scores


@dataclass(frozen=True)
class Fitted:
    """A fit of all people whose target is known.

    Attributes
    ----------
    dual : torch.Tensor of shape (n, targets)
        0 for whoever is not known.
    coefficients : torch.Tensor of shape (q, targets)
        Of the columns of ``T``, the intercept first.
    """

    dual: torch.Tensor
    coefficients: torch.Tensor

    def scores(self, kernel: torch.Tensor, penalty: float, columns: torch.Tensor) -> torch.Tensor:
        """Scores of other people.

        Parameters
        ----------
        kernel : torch.Tensor of shape (m, n)
            Between them and the people of the fit.
        penalty : float
            As in the fit.
        columns : torch.Tensor of shape (m, q)
            Theirs.

        Returns
        -------
        torch.Tensor of shape (m, targets)
        """
        return kernel @ self.dual / penalty + columns @ self.coefficients


def fit_known(inverse: Inverse, y: torch.Tensor, known: torch.Tensor) -> Fitted:
    """Fit everybody whose target is known.

    Parameters
    ----------
    inverse : Inverse
        From `with_columns`.
    y : torch.Tensor of shape (n, targets)
        Anything for whoever is not known.
    known : torch.Tensor of shape (n,)
        As in `left_out`.

    Returns
    -------
    Fitted
    """
    lost = torch.nonzero(~known)[:, 0]
    if len(lost):
        # Who is predicted exactly has no residual, and so no say.
        factor = torch.linalg.cholesky(inverse.block(lost, lost))
        y = y.clone()
        y[lost] -= torch.cholesky_solve(inverse.residuals(y)[lost], factor)
    return Fitted(inverse.residuals(y), inverse.solve @ y)


def mean_loss(
    scores: Sequence[torch.Tensor] | torch.Tensor, y: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Weighted mean squared error of each target.

    Parameters
    ----------
    scores, y, weights : torch.Tensor of shape (n, targets)
        Weights are 0 for whoever is not known.

    Returns
    -------
    torch.Tensor of shape (targets,)
    """
    return (weights * (torch.as_tensor(scores) - y) ** 2).sum(0) / weights.sum(0)
