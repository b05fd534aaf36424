"""Ridge regressions of all cells of a target, penalties chosen by cross-fitting.

Encodings of images and traits have a penalty each, because the first are many and
weak and the second few. Fits with all penalties and parts of one cell are one batched tensor
program on Gram matrices, whose solution costs the same for any number of people.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ukb_brain.training.settings import Penalties

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """Columns that one or more cells of a target share.

    Attributes
    ----------
    X : ndarray of shape (n, columns)
        Rows are training people who have all of it.
    y : ndarray of shape (n,)
        The target, standardised, or -1 and 1.
    weights : ndarray of shape (n,)
        Of people; they sum to n.
    parts : ndarray of shape (n,)
        Part of the cross-fit that each person is left out of.
    held, held_y, held_weights : ndarray of shape (m, columns), (m,), (m,)
        The same of validation people, who are fitted on by nothing and help to choose.
    """

    X: Floats
    y: Floats
    weights: Floats
    parts: NDArray[np.int64]
    held: Floats
    held_y: Floats
    held_weights: Floats


@dataclass(frozen=True)
class Ridge:
    """A fitted cell.

    Attributes
    ----------
    coefficients : ndarray of shape (columns,)
        Of the columns used.
    loss : float
        Weighted mean squared error on the parts left out and on validation people.
    out_of_fold : ndarray of shape (n,)
        Score of each training person by the fit that left them out.
    """

    coefficients: Floats
    intercept: float
    loss: float
    out_of_fold: Floats


class Moments:
    """Weighted Gram matrices of a design, with an intercept: of each part, and in all."""

    def __init__(self, design: Design) -> None:
        # Not the design itself: its columns are in Z.
        self.part_of, self.parts = design.parts, np.unique(design.parts)
        self.y = torch.from_numpy(np.concatenate([design.y, design.held_y]))
        self.weights = torch.from_numpy(np.concatenate([design.weights, design.held_weights]))
        Z = np.column_stack([np.ones(len(design.y)), design.X])
        self.Z = torch.from_numpy(Z)
        held = np.column_stack([np.ones(len(design.held_y)), design.held])
        self.held_Z = torch.from_numpy(held)
        grams, crosses, sizes = [], [], []
        for part in self.parts:
            mine = design.parts == part
            weighted = Z[mine] * design.weights[mine, None]
            grams.append(Z[mine].T @ weighted)
            crosses.append(weighted.T @ design.y[mine])
            sizes.append(design.weights[mine].sum())
        # The last fit is the one of everybody; each of the others leaves one part out.
        own = torch.from_numpy(np.stack([*grams, np.zeros_like(grams[0])]))
        cross = torch.from_numpy(np.stack([*crosses, np.zeros_like(crosses[0])]))
        size = torch.tensor([*sizes, 0.0], dtype=torch.float64)
        self.gram, self.cross = own.sum(0) - own, cross.sum(0) - cross
        self.size = size.sum() - size

    def solve(
        self, columns: NDArray[np.int64], penalties: Floats, dtype: torch.dtype
    ) -> torch.Tensor:
        """Coefficients without each part and with all, for each set of penalties.

        Parameters
        ----------
        columns : ndarray of shape (p,)
            Columns of the design.
        penalties : ndarray of shape (n_sets, p)
            Per person, of each column.
        dtype : torch.dtype
            In which to solve.

        Returns
        -------
        torch.Tensor of shape (parts + 1, n_sets, p + 1)
            The intercept first; it is not penalised.
        """
        use = torch.from_numpy(np.concatenate([[0], columns + 1]))
        gram = (self.gram[:, use][:, :, use] / self.size[:, None, None]).to(dtype)
        cross = (self.cross[:, use] / self.size[:, None]).to(dtype)
        A = gram[:, None].repeat(1, len(penalties), 1, 1)
        A.diagonal(dim1=-2, dim2=-1)[..., 1:] += torch.from_numpy(penalties).to(dtype)
        factor = torch.linalg.cholesky(A)
        b = cross[:, None, :, None].expand(-1, len(penalties), -1, -1)
        return torch.cholesky_solve(b, factor)[..., 0].double()

    def out_of_fold(self, columns: NDArray[np.int64], coefficients: torch.Tensor) -> torch.Tensor:
        """Scores of everybody, of shape (n_sets, n), by the fits of `solve` that left them out."""
        use = torch.from_numpy(np.concatenate([[0], columns + 1]))
        scores = torch.empty(coefficients.shape[1], len(self.part_of), dtype=torch.float64)
        for k, part in enumerate(self.parts):
            mine = torch.from_numpy(self.part_of == part)
            scores[:, mine] = coefficients[k] @ self.Z[mine][:, use].T
        return scores

    def loss(
        self, columns: NDArray[np.int64], coefficients: torch.Tensor, scores: torch.Tensor
    ) -> Floats:
        """Weighted mean squared error, of shape (n_sets,), by fits that have not seen people.

        The last of the coefficients of `solve` predict validation people; ``scores`` are of
        `out_of_fold`.
        """
        use = torch.from_numpy(np.concatenate([[0], columns + 1]))
        held = coefficients[-1] @ self.held_Z[:, use].T
        errors = (torch.cat([scores, held], 1) - self.y) ** 2
        return ((errors * self.weights).sum(1) / self.weights.sum()).numpy()


def penalty_losses(
    moments: Moments,
    columns: NDArray[np.int64],
    is_image: NDArray[np.bool_],
    penalties: Penalties,
) -> Floats:
    """Loss of one cell on people left out, for each choice of penalties.

    Returns
    -------
    ndarray of shape (image choices, trait choices)
        Weighted mean squared error.
    """
    # Where a cell has no images, or no traits, their penalty changes nothing.
    images = penalties.images if is_image.any() else penalties.images[:1]
    traits = penalties.traits if not is_image.all() else penalties.traits[:1]
    sets = np.array([np.where(is_image, i, t) for i in images for t in traits])
    # Single precision decides between penalties; the fit itself is in double.
    coefficients = moments.solve(columns, sets, torch.float32)
    scores = moments.out_of_fold(columns, coefficients)
    table = moments.loss(columns, coefficients, scores).reshape(len(images), len(traits))
    return np.broadcast_to(table, (len(penalties.images), len(penalties.traits)))


def fit(
    moments: Moments,
    columns: NDArray[np.int64],
    is_image: NDArray[np.bool_],
    penalties: tuple[float, float],
) -> Ridge:
    """Fit one cell with penalties of images and of traits, per person and for unit variance.

    ``is_image``, of shape (p,), tells which of its columns come from images.
    """
    sets = np.where(is_image, *penalties)[None]
    coefficients = moments.solve(columns, sets, torch.float64)
    scores = moments.out_of_fold(columns, coefficients)
    final = coefficients[-1, 0].numpy()
    return Ridge(
        coefficients=final[1:],
        intercept=float(final[0]),
        loss=float(moments.loss(columns, coefficients, scores)[0]),
        out_of_fold=scores[0].numpy(),
    )
