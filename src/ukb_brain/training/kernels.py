"""All targets from one set of imaging groups, by kernel ridge regression at full rank.

Variance is kept: no component is left out and none is whitened. Every choice (how groups are
weighted, whether a kernel that is not linear joins, penalties) is made on people left out, and a
composition beyond equal linear shares must surely pay. Sets of imaging groups are work items, for
one inverse of a people × people matrix serves all targets.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ukb_brain.cluster import pick_device
from ukb_brain.grid import Cell, Kind
from ukb_brain.networks.artifact import Model, read_model
from ukb_brain.training.cells import standardised, why_not
from ukb_brain.training.compositions import (
    EQUAL,
    Kernel,
    centred,
    linear_shares,
    mixed,
    product,
    radial,
)
from ukb_brain.training.gram import learnt_from
from ukb_brain.training.kernel_ridge import (
    FREE,
    Fitted,
    Inverse,
    fit_known,
    invert,
    left_out,
    mean_loss,
    with_columns,
)
from ukb_brain.training.ladder import PRICE
from ukb_brain.training.people import Floats, People
from ukb_brain.training.settings import Kernels

KERNELS = "kernels"
# Traits by which effects of images may differ, as they are read from the same images.
MODIFIERS = ("sex", "age")
FURTHEST = 3.0
# Products are in single precision: with less their errors would be fitted.
LEAST_PENALTY = 1e-4
# Above it single precision is enough to invert.
LEAST_SINGLE = 0.03


@dataclass(frozen=True)
class KernelsJob:
    """What a worker needs for all cells of one set of imaging groups.

    Attributes
    ----------
    groups : tuple of str
        In the order of the grid; empty for cells of traits alone.
    cells : tuple of Cell
        All cells with these groups.
    kinds : dict of str to {"binary", "continuous"}
        Of every target.
    people : People
        Of the fold.
    grams : dict of str to Path
        Models of `ukb_brain.training.gram.gram_of_group`; one that failed is absent.
    cross_fits : int
        Parts of training families that are left out in turn; validation people are one more.
    traits : tuple of float
        Penalties of traits to choose from, per person.
    settings : Kernels
        Choices.
    device : str
        Where matrices are inverted, in double precision: the CPU in place of MPS, which has none.
    """

    groups: tuple[str, ...]
    cells: tuple[Cell, ...]
    kinds: Mapping[str, Kind]
    people: People
    grams: Mapping[str, Path]
    cross_fits: int
    traits: tuple[float, ...]
    settings: Kernels
    device: str = "cpu"

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets of the cells, and those that may modify effects of images."""
        wanted = dict.fromkeys(cell.target for cell in self.cells)
        return (*wanted, *(m for m in MODIFIERS if m in self.kinds and m not in wanted))


@dataclass
class Choice:
    """The best that was found for a target so far.

    Attributes
    ----------
    loss : float
        Mean squared error on people left out.
    composition : str
        Of kernels.
    penalty : float
        Of images; infinite where their mean is as good.
    scores : torch.Tensor of shape (n_learnt,)
        By fits that left each person out.
    """

    loss: float = np.inf
    composition: str = EQUAL
    penalty: float = np.inf
    scores: torch.Tensor = field(default_factory=lambda: torch.empty(0))


class Learners:
    """People that kernels learn from, their targets, and who is left out together.

    Parameters
    ----------
    job : KernelsJob
        People and targets.

    Attributes
    ----------
    rows : ndarray of shape (n_has,)
        Everybody who has all groups.
    learnt : torch.Tensor of shape (n_learnt,)
        Places among these of those whose labels are used.
    parts : list of torch.Tensor
        Places among those of each part.
    y, weights : dict of str to torch.Tensor of shape (n_learnt,)
        By target, standardised by training people; weights are 0 for whoever is not known.
    status : dict of str to str
        By target.
    """

    def __init__(self, job: KernelsJob) -> None:
        people = job.people
        has = people.having(job.groups)
        self.rows = np.flatnonzero(has)
        mine = learnt_from(people)[self.rows]
        device = pick_device(job.device)
        self.device = torch.device("cpu") if device.type == "mps" else device
        self.learnt = torch.from_numpy(np.flatnonzero(mine)).to(self.device)
        parts = people.cross_fits(job.cross_fits)
        parts = np.where(parts < 0, job.cross_fits, parts)[self.rows][mine]
        places = [np.flatnonzero(parts == part) for part in np.unique(parts)]
        self.parts = [torch.from_numpy(some).to(self.device) for some in places]
        train = people.train[self.rows][mine]
        self.y: dict[str, torch.Tensor] = {}
        self.weights: dict[str, torch.Tensor] = {}
        self.status: dict[str, str] = {}
        for target in job.targets:
            y = people.targets[target][self.rows][mine]
            known = np.isfinite(y)
            kind, training = job.kinds[target], y[known & train]
            self.status[target] = why_not(training, kind, parts[known & train])
            if self.status[target] != "ok":
                continue
            _, centre, spread = standardised(training, kind)
            # One inverse serves all targets, so that classes are not weighted.
            weights = known.astype(np.float64)
            standard = np.where(known, (y - centre) / spread, 0.0)
            self.y[target] = torch.from_numpy(standard).to(self.device)
            self.weights[target] = torch.from_numpy(weights).to(self.device)

    def alike(self, targets: list[str]) -> Iterator[tuple[list[str], torch.Tensor]]:
        """Group targets that the same people know: they share a fit."""
        found: dict[bytes, list[str]] = {}
        for target in targets:
            found.setdefault((self.weights[target] > 0).cpu().numpy().tobytes(), []).append(target)
        for some in found.values():
            yield some, self.weights[some[0]] > 0

    def of(self, targets: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets and weights, side by side."""
        return (
            torch.stack([self.y[t] for t in targets], 1),
            torch.stack([self.weights[t] for t in targets], 1),
        )


def fit_kernels(job: KernelsJob, folder: Path) -> Model:
    """Fit all cells of a set of imaging groups.

    Parameters
    ----------
    job : KernelsJob
        People, cells, and where products of scans are.
    folder : Path
        Not used: there is no state to keep.

    Returns
    -------
    Model
        ``scores/<target>/<inputs>`` of shape (n,): standardised, of people that were learnt from by
        fits that left them out, of others by the fit of all; NaN for who lacks a group.
        ``dual/…`` of shape (n_learnt,) and ``coefficients/…``, the intercept first. The card's
        ``fits`` say what was chosen.
    """
    started = time.perf_counter()
    learners = Learners(job)
    targets = list(learners.y)
    absent = [group for group in job.groups if group not in job.grams]
    if absent or len(learners.learnt) < 3 or not targets:
        reason = "its kernels failed" if absent else "fewer than ten people in training"
        fits = {
            t: learners.status[t] if learners.status[t] != "ok" else reason for t in job.targets
        }
        return Model({}, {"fits": [_failed(cell, fits[cell.target]) for cell in job.cells]})
    search = _Search(job, learners)
    search.run(targets)
    arrays: dict[str, NDArray[np.generic]] = {}
    rows = list(search.cells(arrays))
    each = (time.perf_counter() - started) / len(job.cells)
    return Model(arrays, {"fits": [row | {"seconds": each} for row in rows]})


def _failed(cell: Cell, status: str) -> dict[str, Any]:
    return {"target": cell.target, "inputs": cell.inputs.name, "status": status}


class _Search:
    """From linear kernels to those that pay, for all targets at once."""

    def __init__(self, job: KernelsJob, learners: Learners) -> None:
        self.job, self.learners = job, learners
        self.choices: dict[str, Choice] = {}
        self.modifiers: dict[str, Floats] = {}
        self.grid = sorted(job.settings.penalties)
        self.step = self.grid[1] / self.grid[0] if len(self.grid) > 1 else 3.0
        self.linear = {group: self._read(group) for group in job.groups}
        self.intercept = self._ones(len(learners.learnt))
        self.free = torch.tensor([FREE], dtype=torch.float64, device=learners.device)

    def _ones(self, n: int) -> torch.Tensor:
        return torch.ones(n, 1, dtype=torch.float64, device=self.learners.device)

    def _read(self, group: str) -> Kernel:
        people, learners = self.job.people, self.learners
        has = people.has[group]
        model = read_model(self.job.grams[group], keys=("gram", "norms"))
        rows = np.searchsorted(np.flatnonzero(has), learners.rows)
        columns = np.searchsorted(
            np.flatnonzero(has & learnt_from(people)), learners.rows[learners.learnt.cpu().numpy()]
        )
        gram = model.arrays["gram"][np.ix_(rows, columns)]
        values = torch.from_numpy(gram).to(learners.device, torch.float64)
        norms = torch.from_numpy(model.arrays["norms"][rows]).to(learners.device, torch.float64)
        return centred(values, norms, learners.learnt)

    def kernel(self, composition: str) -> Kernel:
        """Make the kernel of a composition."""
        groups, learnt = self.job.groups, self.learners.learnt
        shares = linear_shares(groups)
        if composition in shares:
            return mixed(self.linear, shares[composition])
        kind, _, which = composition.partition(" ")
        equal = mixed(self.linear, shares[EQUAL])
        if kind == "radial":
            other = radial(equal, learnt, float(which))
        else:
            other = product(equal, self.modifiers[which], learnt)
        return mixed({EQUAL: equal, composition: other}, {EQUAL: 0.5, composition: 0.5})

    def run(self, targets: list[str]) -> None:
        """Choose composition and penalty of every target, from images alone."""
        if not self.job.groups:
            self.choices = {target: Choice() for target in targets}
            return
        names = list(linear_shares(self.job.groups))
        equal = self.kernel(names[0]).values[self.learners.learnt]
        every = {*self.grid, np.inf}
        self._try(names[0], equal, dict.fromkeys(targets, every), self.choices)
        self._widen(names[0], equal, targets)
        base = dict(self.choices)
        for name in names[1:]:
            self._compare(name, targets, base)
        for modifier in MODIFIERS:
            if modifier in targets and np.isfinite(self.choices[modifier].penalty):
                self.modifiers[modifier] = self._standard_scores(modifier)
        more = [f"radial {width:g}" for width in self.job.settings.radial]
        more += [f"product {modifier}" for modifier in self.modifiers]
        for name in more:
            # What is read from images cannot modify itself.
            self._compare(name, [t for t in targets if not name.endswith(f" {t}")], base)

    def _compare(self, name: str, targets: list[str], base: Mapping[str, Choice]) -> None:
        """Take a composition where it surely does better than equal linear shares.

        Every second penalty is tried, and that of equal shares; around the best of them only where
        the composition pays.
        """
        kernel, grid = self.kernel(name).values[self.learners.learnt], self.grid
        found: dict[str, Choice] = {}
        wanted = {t: {*grid[::2], base[t].penalty} - {np.inf} for t in targets}
        self._try(name, kernel, wanted, found)
        paying = [t for t, new in found.items() if self._pays(t, new, base[t])]
        near: dict[str, set[float]] = {}
        for target in paying:
            at = int(np.argmin(np.abs(np.log(grid) - np.log(found[target].penalty))))
            near[target] = {*grid[max(0, at - 1) : at + 2]} - wanted[target]
        self._try(name, kernel, near, found)
        for target in paying:
            if found[target].loss < self.choices[target].loss:
                self.choices[target] = found[target]

    def _pays(self, target: str, new: Choice, base: Choice) -> bool:
        y, weights = self.learners.y[target], self.learners.weights[target]
        gained = weights * ((base.scores - y) ** 2 - (new.scores - y) ** 2)
        known = gained[weights > 0]
        mean = float(known.mean())
        return mean > 0 and mean**2 > PRICE * float(known.var()) / len(known)

    def _widen(self, name: str, kernel: torch.Tensor, targets: list[str]) -> None:
        """Try smaller penalties while the smallest is the best of some target."""
        smallest = self.grid[0]
        for _ in range(self.job.settings.widened):
            at_edge = [t for t in targets if self.choices[t].penalty == smallest]
            smallest /= self.step
            if not at_edge or smallest < LEAST_PENALTY:
                return
            self._try(name, kernel, {t: {smallest} for t in at_edge}, self.choices)

    def _try(
        self,
        name: str,
        kernel: torch.Tensor,
        wanted: Mapping[str, set[float]],
        best: dict[str, Choice],
    ) -> None:
        """Try penalties of each target, and keep the best."""
        for penalty in sorted({p for penalties in wanted.values() for p in penalties}):
            # Single precision tells penalties apart; what is kept is fitted in double.
            kind = torch.float32 if penalty >= LEAST_SINGLE else torch.float64
            inverse = with_columns(
                invert(kernel.to(kind), penalty), self.intercept.to(kind), self.free.to(kind)
            )
            mine = [target for target, penalties in wanted.items() if penalty in penalties]
            for some, known in self.learners.alike(mine):
                y, weights = self.learners.of(some)
                scores = left_out(inverse, y.to(kind), self.learners.parts, known).double()
                losses = mean_loss(scores, y, weights).tolist()
                for k, (target, loss) in enumerate(zip(some, losses, strict=True)):
                    if target not in best or loss < best[target].loss:
                        best[target] = Choice(loss, name, penalty, scores[:, k])

    def _standard_scores(self, target: str) -> Floats:
        """Scores of everybody for a target, standardised, by fits that left them out."""
        choice = self.choices[target]
        scores = self._scores(target, choice.composition, choice.penalty, choice.scores)
        learnt = scores[self.learners.learnt.cpu().numpy()]
        standard = (scores - learnt.mean()) / max(float(learnt.std()), 1e-12)
        return np.clip(standard, -FURTHEST, FURTHEST)

    def _scores(self, target: str, composition: str, penalty: float, left: torch.Tensor) -> Floats:
        kernel = self.kernel(composition).values
        inverse = with_columns(
            invert(kernel[self.learners.learnt], penalty), self.intercept, self.free
        )
        y, weights = self.learners.of([target])
        fitted = fit_known(inverse, y, weights[:, 0] > 0)
        scores = fitted.scores(kernel, penalty, self._ones(len(kernel)))[:, 0]
        scores[self.learners.learnt] = left
        return scores.cpu().numpy()

    def cells(self, arrays: dict[str, NDArray[np.generic]]) -> Iterator[dict[str, Any]]:
        """Fit every cell with the composition of its target, and keep what was fitted."""
        together: dict[str, list[Cell]] = {}
        for cell in self.job.cells:
            if self.learners.status[cell.target] != "ok":
                yield _failed(cell, self.learners.status[cell.target])
            else:
                together.setdefault(self.choices[cell.target].composition, []).append(cell)
        for composition, cells in together.items():
            kernel = self.kernel(composition).values if self.job.groups else None
            yield from _Cells(self, kernel).fit(composition, cells, arrays)


class _Cells:
    """Cells whose targets chose the same composition of kernels."""

    def __init__(self, search: _Search, kernel: torch.Tensor | None) -> None:
        self.job, self.learners, self.choices = search.job, search.learners, search.choices
        self.step = search.step
        n = len(self.learners.rows)
        learnt = self.learners.learnt
        nothing = torch.zeros(n, len(learnt), dtype=torch.float64, device=learnt.device)
        self.kernel = nothing if kernel is None else kernel
        self.inner = self.kernel[learnt]

    def fit(
        self, composition: str, cells: list[Cell], arrays: dict[str, NDArray[np.generic]]
    ) -> Iterator[dict[str, Any]]:
        """Choose penalties of cells with traits, and fit all cells."""
        best: dict[Cell, tuple[float, float, float]] = {}
        self._try({cell: {self._own(cell)} for cell in cells}, self.job.traits, best)
        # With traits beside the images less may be left to them.
        for trait in {best[cell][2] for cell in cells if cell.inputs.blocks}:
            mine = [c for c in cells if c.inputs.blocks and best[c][2] == trait]
            beside = {c: {self._own(c) * self.step, np.inf} - {self._own(c)} for c in mine}
            self._try(beside, (trait,), best)
        for penalty in {chosen[1] for chosen in best.values()}:
            inverse = invert(self.inner, penalty)
            for cell, (loss, own, trait) in best.items():
                if own == penalty:
                    self._keep(inverse, cell, penalty, trait, arrays)
                    yield _failed(cell, "ok") | {
                        "composition": composition,
                        "image_penalty": penalty if np.isfinite(penalty) else None,
                        "trait_penalty": trait if np.isfinite(trait) else None,
                        "loss": loss,
                    }

    def _own(self, cell: Cell) -> float:
        return self.choices[cell.target].penalty if cell.inputs.groups else np.inf

    def _try(
        self,
        wanted: Mapping[Cell, set[float]],
        traits: tuple[float, ...],
        best: dict[Cell, tuple[float, float, float]],
    ) -> None:
        for penalty in sorted({p for penalties in wanted.values() for p in penalties}):
            kind = torch.float32 if penalty >= LEAST_SINGLE else torch.float64
            inverse = invert(self.inner.to(kind), penalty)
            for cell in [cell for cell, penalties in wanted.items() if penalty in penalties]:
                for trait in traits if cell.inputs.blocks else (np.nan,):
                    loss = self._loss(inverse, cell, trait)
                    if cell not in best or loss < best[cell][0]:
                        best[cell] = (loss, penalty, trait)

    def _columns(self, cell: Cell, trait: float) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.learners.rows
        blocks = [self.job.people.blocks[block][rows] for block in cell.inputs.blocks]
        columns = torch.from_numpy(np.column_stack([np.ones(len(rows)), *blocks]))
        columns = columns.to(self.learners.device)
        penalties = torch.full_like(columns[0], trait * len(self.learners.learnt))
        penalties[0] = FREE
        return columns, penalties

    def _loss(self, inverse: torch.Tensor, cell: Cell, trait: float) -> float:
        columns, penalties = self._columns(cell, trait)
        columns, penalties = columns.to(inverse), penalties.to(inverse)
        some = with_columns(inverse, columns[self.learners.learnt], penalties)
        y, weights = self.learners.of([cell.target])
        return float(mean_loss(self._left(some, y.to(inverse), weights), y, weights)[0])

    def _left(self, inverse: Inverse, y: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return left_out(inverse, y, self.learners.parts, weights[:, 0] > 0)

    def _keep(
        self,
        inverse: torch.Tensor,
        cell: Cell,
        penalty: float,
        trait: float,
        arrays: dict[str, NDArray[np.generic]],
    ) -> None:
        columns, penalties = self._columns(cell, trait)
        full = with_columns(inverse, columns[self.learners.learnt], penalties)
        y, weights = self.learners.of([cell.target])
        fitted: Fitted = fit_known(full, y, weights[:, 0] > 0)
        mine = fitted.scores(self.kernel, penalty, columns)[:, 0]
        mine[self.learners.learnt] = self._left(full, y, weights)[:, 0]
        scores = np.full(len(self.job.people.eid), np.nan)
        scores[self.learners.rows] = mine.cpu().numpy()
        name = f"{cell.target}/{cell.inputs.name}"
        arrays[f"scores/{name}"] = scores
        arrays[f"dual/{name}"] = fitted.dual[:, 0].cpu().numpy().astype(np.float32)
        arrays[f"coefficients/{name}"] = fitted.coefficients[:, 0].cpu().numpy()
