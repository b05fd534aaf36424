"""All cells of one target, as ridge regressions on named features."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ukb_brain.grid import Kind
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.training.people import Floats, Mask
from ukb_brain.training.ridge import Design, Moments, Ridge, fit, penalty_losses
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
    target : str
        Its key.
    kind : {"binary", "continuous"}
        Of the target.
    y : ndarray of shape (n,)
        In its own units.
    parts : ndarray of shape (n,)
        Part of the cross-fit of training people; -1 for everybody else.
    held : ndarray of shape (n,)
        True for validation people, who help to choose penalties.
    features : dict of str to ndarray of shape (n, columns)
        By name. Of training people, features are such as they have for people never seen.
    cells : tuple of CellSpec
        In the order of the grid.
    penalties : Penalties
        Choices.
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
    target, inputs : str
        Of the cell.
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
    """Say why a cell cannot be fitted.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Of training people.
    kind : {"binary", "continuous"}
        Of the target.
    parts : ndarray of shape (n,)
        Of the cross-fit.

    Returns
    -------
    str
        ``ok`` if it can.
    """
    if len(y) < 10:
        return "fewer than ten people in training"
    if np.ptp(y) == 0:
        return f"{KINDS[kind].constant} in training"
    if len(np.unique(parts)) < 2:
        return "one family part in training"
    return "ok"


def fit_target(job: TargetJob) -> list[CellFit]:
    """Fit all cells of a target.

    Parameters
    ----------
    job : TargetJob
        Target, features, cells.

    Returns
    -------
    list of CellFit
        In the order of the cells. A cell that cannot be fitted is among them, with its reason.

    Notes
    -----
    A cell's penalties minimise the mean of its own loss and of the loss averaged over all cells of
    its target: one cell's own loss is a noisy guide where a target is hardly readable.
    """
    together: dict[tuple[str, ...], list[int]] = {}
    for k, cell in enumerate(job.cells):
        together.setdefault(cell.images, []).append(k)
    seconds = dict.fromkeys((cell.inputs for cell in job.cells), 0.0)
    # Twice over the sets of images, rather than keep the columns of all of them in memory.
    losses: dict[int, Floats] = {}
    for ks in together.values():
        shared = _Shared(job, [job.cells[k] for k in ks], seconds)
        for k in ks:
            loss = shared.losses(job.cells[k])
            if loss is not None:
                losses[k] = loss
    pooled = np.mean(list(losses.values()), axis=0) if losses else np.zeros((1, 1))
    fits: dict[int, CellFit] = {}
    for ks in together.values():
        shared = _Shared(job, [job.cells[k] for k in ks], seconds)
        for k in ks:
            chosen = 0.5 * losses[k] + 0.5 * pooled if k in losses else None
            fits[k] = shared.fit(job.cells[k], chosen)
    return [fits[k] for k in range(len(job.cells))]


class _Shared:
    """Cells of a target that use the same images, and so have the same people."""

    def __init__(self, job: TargetJob, cells: list[CellSpec], seconds: dict[str, float]) -> None:
        started = time.perf_counter()
        self.job = job
        self.rows = cells[0].rows
        self.names = tuple(dict.fromkeys(name for cell in cells for name in cell.features))
        widths = [job.features[name].shape[1] for name in self.names]
        edges = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
        self.columns = {
            name: np.arange(edges[k], edges[k + 1]) for k, name in enumerate(self.names)
        }
        tables = [job.features[name] for name in self.names]
        self.X = np.hstack(tables) if tables else np.empty((len(job.y), 0))
        self.training = self.rows & (job.parts >= 0)
        y, parts = job.y[self.training], job.parts[self.training]
        self.status = why_not(y, job.kind, parts)
        if self.status == "ok" and not np.isfinite(self.X[self.rows]).all():
            self.status = "an encoder failed"
        if self.status == "ok":
            held, kind = self.rows & job.held, KINDS[job.kind]
            centre, spread = kind.centre_and_spread(y)
            design = Design(
                self.X[self.training],
                (y - centre) / spread,
                kind.class_weights(y, y),
                parts,
                self.X[held],
                (job.y[held] - centre) / spread,
                kind.class_weights(y, job.y[held]),
            )
            self.moments = Moments(design)
        each = (time.perf_counter() - started) / len(cells)
        self.cells, self.seconds = len(cells), seconds
        for cell in cells:
            seconds[cell.inputs] += each

    def _columns(self, cell: CellSpec) -> tuple[NDArray[np.int64], Mask]:
        use = [self.columns[name] for name in cell.features]
        images = np.concatenate(
            [np.full(len(self.columns[name]), name in cell.images) for name in cell.features]
        )
        return np.concatenate(use), images

    def losses(self, cell: CellSpec) -> Floats | None:
        if self.status != "ok":
            return None
        started = time.perf_counter()
        try:
            table = penalty_losses(self.moments, *self._columns(cell), self.job.penalties)
        except torch.linalg.LinAlgError:
            return None
        self.seconds[cell.inputs] += time.perf_counter() - started
        return table

    def fit(self, cell: CellSpec, losses: Floats | None) -> CellFit:
        job = self.job
        scores = np.full(len(job.y), np.nan)
        if losses is None:
            status = "the regression has no solution" if self.status == "ok" else self.status
            return CellFit(job.target, cell.inputs, status, scores)
        started = time.perf_counter()
        columns, images = self._columns(cell)
        image, trait = np.unravel_index(int(np.argmin(losses)), losses.shape)
        penalties = (job.penalties.images[image], job.penalties.traits[trait])
        fitted: Ridge = fit(self.moments, columns, images, penalties)
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
            self.seconds[cell.inputs] + time.perf_counter() - started,
            self._flops(cell, len(columns)),
        )

    def _flops(self, cell: CellSpec, p: int) -> float:
        """Of Cholesky factors for all penalties and parts, and this cell's share of the moments."""
        choices = self.job.penalties
        sets = (len(choices.images) if cell.images else 1) * (
            len(choices.traits) if cell.traits else 1
        )
        factors = (len(np.unique(self.job.parts))) * (sets + 1) * (p + 1) ** 3 / 3
        shared = 2 * int(self.training.sum()) * self.X.shape[1] ** 2 / self.cells
        return float(factors + shared)
