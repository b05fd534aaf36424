"""All cells of one target, as ridge regressions on named features."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ukb_brain.grid import Cell, Kind
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.training.people import Floats, Mask, People
from ukb_brain.training.ridge import Design, Moments, fit, penalty_losses
from ukb_brain.training.settings import Modelling


@dataclass(frozen=True)
class TargetJob:
    """What a worker needs for the cells of one target.

    Attributes
    ----------
    cells : tuple of Cell
        In the order of the grid.
    groups : tuple of str
        Imaging groups, in the order of the grid.
    encoders : sequence of dict of int to Path
        Models of the encoders: for each member of the ensemble, by the part left out; one that
        failed is absent.
    kernels : dict of str to Path
        Models of `ukb_brain.training.kernels.fit_kernels`, by set of imaging groups; one that
        failed is absent.
    """

    target: str
    kind: Kind
    cells: tuple[Cell, ...]
    groups: tuple[str, ...]
    people: People
    encoders: Sequence[Mapping[int, Path]]
    kernels: Mapping[str, Path]
    settings: Modelling

    @property
    def y(self) -> Floats:
        """The target, in its own units."""
        return self.people.targets[self.target]

    @property
    def held(self) -> Mask:
        """Validation people: no head is fitted on them, and they help to choose."""
        return self.people.part == "validation"

    @cached_property
    def parts(self) -> NDArray[np.int64]:
        """Part of the cross-fit of training people; -1 for everybody else."""
        return self.people.cross_fits(self.settings.cross_fits)


def joined(groups: tuple[str, ...]) -> str:
    """Name the encodings of a set of imaging groups."""
    return "+".join(groups)


def encodings_used(groups: tuple[str, ...]) -> tuple[str, ...]:
    """Name the encodings that a cell may use: of each of its groups, and of all together."""
    return tuple(dict.fromkeys([*groups, *([joined(groups)] if groups else [])]))


def features_of(cell: Cell) -> tuple[str, ...]:
    """Name the features that a cell uses: nothing else reaches its regression."""
    return (*encodings_used(cell.inputs.groups), *cell.inputs.blocks)


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


def fit_heads(job: TargetJob, encodings: Mapping[str, Floats]) -> dict[Cell, CellFit]:
    """Fit all cells of a target on encodings and blocks; one that cannot be has its reason.

    ``encodings``, of shape (n, columns), are by name; of training people such as they have for
    people never seen.

    Notes
    -----
    A cell's penalties minimise the mean of its own loss and of the loss averaged over all cells of
    its target: one cell's own loss is a noisy guide where a target is hardly readable.
    """
    features = {**encodings, **job.people.blocks}
    sets: dict[tuple[str, ...], list[Cell]] = {}
    for cell in job.cells:
        sets.setdefault(cell.inputs.groups, []).append(cell)
    seconds = dict.fromkeys(sets, 0.0)
    losses: dict[Cell, Floats] = {}
    fits: dict[Cell, CellFit] = {}
    # Twice over the sets of images, rather than keep the columns of all of them in memory.
    for groups, cells in sets.items():
        started = time.perf_counter()
        shared = _Shared(job, features, cells)
        found = {cell: shared.losses(cell) for cell in cells}
        losses |= {cell: loss for cell, loss in found.items() if loss is not None}
        seconds[groups] += (time.perf_counter() - started) / len(cells)
    pooled = np.mean(list(losses.values()), axis=0) if losses else np.zeros((1, 1))
    for groups, cells in sets.items():
        started = time.perf_counter()
        shared = _Shared(job, features, cells)
        for cell in cells:
            own = losses.get(cell)
            fits[cell] = shared.fit(cell, None if own is None else 0.5 * own + 0.5 * pooled)
        seconds[groups] += (time.perf_counter() - started) / len(cells)
    return {c: replace(fits[c], seconds=seconds[c.inputs.groups]) for c in job.cells}


class _Shared:
    """Cells of a target that use the same images, and so have the same people."""

    def __init__(self, job: TargetJob, features: Mapping[str, Floats], cells: list[Cell]) -> None:
        self.job, self.cells, self.rows = job, len(cells), job.people.usable(cells[0])
        names = tuple(dict.fromkeys(name for cell in cells for name in features_of(cell)))
        tables = [features[name] for name in names]
        edges = np.cumsum([0, *(table.shape[1] for table in tables)])
        self.columns = {n: np.arange(edges[k], edges[k + 1]) for k, n in enumerate(names)}
        self.X = np.hstack(tables) if tables else np.empty((len(job.y), 0))
        self.training = self.rows & job.people.train
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

    def _columns(self, cell: Cell) -> tuple[NDArray[np.int64], Mask]:
        use = [self.columns[name] for name in features_of(cell)]
        images = [name not in cell.inputs.blocks for name in features_of(cell)]
        return np.concatenate(use), np.repeat(images, [len(columns) for columns in use])

    def losses(self, cell: Cell) -> Floats | None:
        """Loss of each choice of penalties; none where the cell cannot be fitted."""
        if self.status != "ok":
            return None
        try:
            return penalty_losses(self.moments, *self._columns(cell), self.job.settings.heads)
        except torch.linalg.LinAlgError:
            return None

    def fit(self, cell: Cell, losses: Floats | None) -> CellFit:
        """Fit with the penalties of the least loss."""
        scores = np.full(len(self.job.y), np.nan)
        if losses is None:
            status = "the regression has no solution" if self.status == "ok" else self.status
            return CellFit(status, scores)
        columns, images = self._columns(cell)
        image, trait = np.unravel_index(int(np.argmin(losses)), losses.shape)
        choices = self.job.settings.heads
        penalties = (choices.images[image], choices.traits[trait])
        fitted = fit(self.moments, columns, images, penalties)
        scores[self.rows] = self.X[np.ix_(self.rows, columns)] @ fitted.coefficients
        scores[self.rows] += fitted.intercept
        scores[self.training] = fitted.out_of_fold
        return CellFit(
            "ok",
            scores,
            np.concatenate([[fitted.intercept], fitted.coefficients]),
            penalties[0] if images.any() else np.nan,
            penalties[1] if not images.all() else np.nan,
            fitted.loss,
            flops=self._flops(cell, len(columns)),
        )

    def _flops(self, cell: Cell, p: int) -> float:
        """Of Cholesky factors for all penalties and parts, and this cell's share of the moments."""
        choices = self.job.settings.heads
        images = len(choices.images) if cell.inputs.groups else 1
        traits = len(choices.traits) if cell.inputs.blocks else 1
        factors = len(np.unique(self.job.parts)) * (images * traits + 1) * (p + 1) ** 3 / 3
        shared = 2 * int(self.training.sum()) * self.X.shape[1] ** 2 / self.cells
        return float(factors + shared)
