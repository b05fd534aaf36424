"""All cells of one target, as ridge regressions on named features."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ukb_brain.grid import Kind
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.training.people import Floats, Mask
from ukb_brain.training.ridge import Design, Moments, fit, penalty_losses
from ukb_brain.training.settings import Penalties


@dataclass(frozen=True)
class CellSpec:
    """One cell of a target.

    Attributes
    ----------
    inputs : str
        Published name of its inputs.
    images, traits : tuple of str
        Names of the features that it uses: nothing else reaches its regression.
    rows : ndarray of shape (n,)
        People who have the target and all imaging groups.
    """

    inputs: str
    images: tuple[str, ...]
    traits: tuple[str, ...]
    rows: Mask

    @property
    def features(self) -> tuple[str, ...]:
        """Names of all its features."""
        return (*self.images, *self.traits)


@dataclass(frozen=True)
class TargetJob:
    """What a worker needs for the cells of one target.

    Attributes
    ----------
    y : ndarray of shape (n,)
        In its own units.
    parts : ndarray of shape (n,)
        Part of the cross-fit of training people; -1 for everybody else.
    held : ndarray of shape (n,)
        True for validation people, who help to choose penalties.
    features : dict of str to ndarray of shape (n, columns)
        By name. Of training people, features are such as they have for people never seen.
    """

    target: str
    kind: Kind
    y: Floats
    parts: NDArray[np.int64]
    held: Mask
    features: Mapping[str, Floats]
    cells: tuple[CellSpec, ...]
    penalties: Penalties


@dataclass(frozen=True)
class CellFit:
    """One fitted cell.

    Attributes
    ----------
    status : str
        ``ok``, or why there is no fit.
    scores : ndarray of shape (n,)
        Standardised predictions: of training people by fits that left them out, of the others by
        the fit of all training people; NaN for who lacks an imaging group or the target.
    coefficients : ndarray of shape (columns + 1,)
        The intercept first.
    image_penalty, trait_penalty, loss : float
        What was chosen, and the loss on people left out.
    seconds, flops : float
        Of fitting.
    """

    target: str
    inputs: str
    status: str
    scores: Floats
    coefficients: Floats = field(default_factory=lambda: np.empty(0))
    image_penalty: float = np.nan
    trait_penalty: float = np.nan
    loss: float = np.nan
    seconds: float = 0.0
    flops: float = 0.0


def why_not(y: Floats, kind: Kind, parts: NDArray[np.int64]) -> str:
    """Say why a cell cannot be fitted on training people in parts of a cross-fit; else ``ok``."""
    if len(y) < 10:
        return "fewer than ten people in training"
    if np.ptp(y) == 0:
        return f"{KINDS[kind].constant} in training"
    if len(np.unique(parts)) < 2:
        return "one family part in training"
    return "ok"


def fit_target(job: TargetJob) -> list[CellFit]:
    """Fit all cells of a target, in their order; one that cannot be fitted has its reason.

    Notes
    -----
    A cell's penalties minimise the mean of its own loss and of the loss averaged over all cells of
    its target: one cell's own loss is a noisy guide where a target is hardly readable.
    """
    sets: dict[tuple[str, ...], list[CellSpec]] = {}
    for cell in job.cells:
        sets.setdefault(cell.images, []).append(cell)
    seconds = dict.fromkeys(sets, 0.0)
    losses: dict[str, Floats] = {}
    fits: dict[str, CellFit] = {}
    # Twice over the sets of images, rather than keep the columns of all of them in memory.
    for images, cells in sets.items():
        started = time.perf_counter()
        shared = _Shared(job, cells)
        found = {cell.inputs: shared.losses(cell) for cell in cells}
        losses |= {inputs: loss for inputs, loss in found.items() if loss is not None}
        seconds[images] += (time.perf_counter() - started) / len(cells)
    pooled = np.mean(list(losses.values()), axis=0) if losses else np.zeros((1, 1))
    for images, cells in sets.items():
        started = time.perf_counter()
        shared = _Shared(job, cells)
        for cell in cells:
            own = losses.get(cell.inputs)
            fits[cell.inputs] = shared.fit(cell, None if own is None else 0.5 * own + 0.5 * pooled)
        seconds[images] += (time.perf_counter() - started) / len(cells)
    return [replace(fits[c.inputs], seconds=seconds[c.images]) for c in job.cells]


class _Shared:
    """Cells of a target that use the same images, and so have the same people."""

    def __init__(self, job: TargetJob, cells: list[CellSpec]) -> None:
        self.job, self.cells, self.rows = job, len(cells), cells[0].rows
        names = tuple(dict.fromkeys(name for cell in cells for name in cell.features))
        tables = [job.features[name] for name in names]
        edges = np.cumsum([0, *(table.shape[1] for table in tables)])
        self.columns = {n: np.arange(edges[k], edges[k + 1]) for k, n in enumerate(names)}
        self.X = np.hstack(tables) if tables else np.empty((len(job.y), 0))
        self.training = self.rows & (job.parts >= 0)
        y, parts = job.y[self.training], job.parts[self.training]
        self.status = why_not(y, job.kind, parts)
        if self.status == "ok" and not np.isfinite(self.X[self.rows]).all():
            self.status = "an encoder failed"
        if self.status == "ok":
            held, kind = self.rows & job.held, KINDS[job.kind]
            centre, spread = kind.centre_and_spread(y)
            of_training, of_held = (
                (self.X[rows], (job.y[rows] - centre) / spread, kind.class_weights(y, job.y[rows]))
                for rows in (self.training, held)
            )
            self.moments = Moments(Design(*of_training, parts, *of_held))

    def _columns(self, cell: CellSpec) -> tuple[NDArray[np.int64], Mask]:
        use = [self.columns[name] for name in cell.features]
        images = np.repeat([name in cell.images for name in cell.features], [len(u) for u in use])
        return np.concatenate(use), images

    def losses(self, cell: CellSpec) -> Floats | None:
        """Loss of each choice of penalties; none where the cell cannot be fitted."""
        if self.status != "ok":
            return None
        try:
            return penalty_losses(self.moments, *self._columns(cell), self.job.penalties)
        except torch.linalg.LinAlgError:
            return None

    def fit(self, cell: CellSpec, losses: Floats | None) -> CellFit:
        """Fit with the penalties of the least loss."""
        job = self.job
        scores = np.full(len(job.y), np.nan)
        if losses is None:
            status = "the regression has no solution" if self.status == "ok" else self.status
            return CellFit(job.target, cell.inputs, status, scores)
        columns, images = self._columns(cell)
        image, trait = np.unravel_index(int(np.argmin(losses)), losses.shape)
        penalties = (job.penalties.images[image], job.penalties.traits[trait])
        fitted = fit(self.moments, columns, images, penalties)
        scores[self.rows] = self.X[np.ix_(self.rows, columns)] @ fitted.coefficients
        scores[self.rows] += fitted.intercept
        scores[self.training] = fitted.out_of_fold
        return CellFit(
            job.target,
            cell.inputs,
            "ok",
            scores,
            np.concatenate([[fitted.intercept], fitted.coefficients]),
            penalties[0] if images.any() else np.nan,
            penalties[1] if not images.all() else np.nan,
            fitted.loss,
            flops=self._flops(cell, len(columns)),
        )

    def _flops(self, cell: CellSpec, p: int) -> float:
        """Of Cholesky factors for all penalties and parts, and this cell's share of the moments."""
        images = len(self.job.penalties.images) if cell.images else 1
        traits = len(self.job.penalties.traits) if cell.traits else 1
        factors = len(np.unique(self.job.parts)) * (images * traits + 1) * (p + 1) ** 3 / 3
        shared = 2 * int(self.training.sum()) * self.X.shape[1] ** 2 / self.cells
        return float(factors + shared)
