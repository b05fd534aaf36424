"""All targets from one set of imaging groups, by kernel ridge regression at full rank.

Variance is kept: no component is left out and none is whitened. Every choice (how groups are
weighted, whether a kernel that is not linear joins, penalties, a logistic regression for a binary
target) is made on people left out, and a composition beyond equal linear shares must pay.
Sets of imaging groups are work items, for one inverse of a people × people matrix serves all
targets.
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

from ukb_brain.grid import Cell
from ukb_brain.ledger.artifact import Model, read_model
from ukb_brain.training.compositions import (
    EQUAL,
    Kernel,
    centred,
    linear_shares,
    mixed,
    product,
    radial,
)
from ukb_brain.training.kernel_ridge import FREE, mean_loss
from ukb_brain.training.ladder import PRICE
from ukb_brain.training.learners import MODIFIERS, KernelsJob, Learners
from ukb_brain.training.machines import (
    Exact,
    Fit,
    Machine,
    Projected,
    Ridge,
    logistic_target,
    together,
)
from ukb_brain.training.people import Floats

LINEAR, KERNELS = "linear", "kernels"
# Products with what the table says of a trait, in cells that are told it anyway.
TOLD = "told"
FURTHEST = 3.0
# Products are in single precision: with less their errors would be fitted.
LEAST_PENALTY = 1e-4
# Penalties are tried until neighbours differ by no more than this factor.
FINEST = 3.5
# Parts of all components that a projected regression may do with.
FEWER = (4, 16)


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


@dataclass
class Best:
    """The best that was found for a cell so far.

    Attributes
    ----------
    loss : float
        Mean squared error on people left out; of a binary target, of -1 and 1.
    image, trait : float
        Penalties.
    logistic : torch.Tensor of shape (n_learnt, 1), optional
        Scores by logistic regressions that left each person out, where one is taken.
    """

    loss: float
    image: float
    trait: float
    logistic: torch.Tensor | None = None


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
        ``scores/<strategy>/<target>/<inputs>`` of shape (n,): standardised, of people that were
        learnt from by fits that left them out, of others by the fit of all; NaN for who lacks a
        group. ``weights/…`` of shape (m,) by person of the kernel, and ``coefficients/…``, the
        intercept first. The card's ``fits`` say what was chosen, and by their ``like`` under which
        strategy's name it is kept: what both chose is kept once. Seconds, and operations of
        inverses, are spread evenly over cells and strategies.
    """
    started = time.perf_counter()
    learners = Learners(job)
    targets = list(learners.y)
    absent = [group for group in job.groups if group not in job.grams]
    if absent or len(learners.learnt) < 3 or not targets:
        reason = "its kernels failed" if absent else "fewer than ten people in training"
        why = {t: learners.status[t] if learners.status[t] != "ok" else reason for t in job.targets}
        failed = [_failed(cell, s, why[cell.target]) for s in job.strategies for cell in job.cells]
        return Model({}, {"fits": failed})
    search = _Search(job, learners)
    search.run(targets)
    arrays: dict[str, NDArray[np.generic]] = {}
    rows = list(search.cells(arrays))
    each = {
        "seconds": (time.perf_counter() - started) / len(rows),
        "flops": sum(search.flops) / len(rows),
    }
    return Model(arrays, {"fits": [row | each for row in rows]})


def _failed(cell: Cell, strategy: str, status: str) -> dict[str, Any]:
    names = {"target": cell.target, "inputs": cell.inputs.name}
    return {"strategy": strategy, **names, "status": status}


class _Search:
    """From linear kernels to those that pay, for all targets at once."""

    def __init__(self, job: KernelsJob, learners: Learners) -> None:
        self.job, self.learners = job, learners
        # By strategy, and `TOLD`; then by target.
        self.choices: dict[str, dict[str, Choice]] = {}
        self.modifiers: dict[str, Floats] = {}
        self.equal: Machine | None = None
        self.flops: list[float] = []
        self.grid = sorted(job.settings.penalties)
        self.step = self.grid[1] / self.grid[0] if len(self.grid) > 1 else 3.0
        self.linear = {group: self._read(group) for group in job.groups}
        self.intercept = torch.ones(len(learners.rows), 1).to(learners.device, torch.float64)
        self.free = torch.tensor([FREE], dtype=torch.float64, device=learners.device)

    def _read(self, group: str) -> Kernel:
        people, learners = self.job.people, self.learners
        model = read_model(self.job.grams[group], keys=("gram", "norms", "columns"))
        rows = np.searchsorted(np.flatnonzero(people.has[group]), learners.rows)
        landmarks = learners.rows[learners.landmarks.cpu().numpy()]
        columns = np.searchsorted(model.arrays["columns"], landmarks)
        gram = model.arrays["gram"][np.ix_(rows, columns)]
        values = torch.from_numpy(gram).to(learners.device, torch.float64)
        norms = torch.from_numpy(model.arrays["norms"][rows]).to(learners.device, torch.float64)
        return centred(values, norms, learners.landmarks)

    def kernel(self, composition: str) -> Kernel:
        """Make the kernel of a composition."""
        groups, landmarks = self.job.groups, self.learners.landmarks
        shares = linear_shares(groups)
        if composition in shares:
            return mixed(self.linear, shares[composition])
        equal = mixed(self.linear, shares[EQUAL])
        kind, _, which = composition.partition(" ")
        if kind == "radial":
            other = radial(equal, landmarks, float(which))
        elif kind == "product":
            other = product(equal, self.modifiers[which], landmarks)
        else:
            return equal
        return mixed({EQUAL: equal, composition: other}, {EQUAL: 0.5, composition: 0.5})

    def machine(self, composition: str) -> Machine:
        """Get the kernel of a composition ready to be solved; that of equal shares is kept."""
        if composition != EQUAL:
            return self._made(composition)
        if self.equal is None:
            self.equal = self._made(EQUAL)
        return self.equal

    def _made(self, composition: str) -> Machine:
        learners = self.learners
        if not self.job.groups:
            # Only infinite penalties are asked for, which need no kernel.
            return Exact(self.intercept.new_zeros(len(learners.rows), 0), learners.learnt)
        values = self.kernel(composition).values
        if learners.exact:
            return Exact(values, learners.learnt, self.job.settings.memory_gb, self.flops)
        every = len(learners.landmarks)
        number = self.fewer.get(composition, every)
        return Projected(values, learners.landmarks, learners.learnt, number, self.flops)

    @property
    def fewer(self) -> dict[str, int]:
        """Compositions that do with fewer components, where they are projected."""
        if self.learners.exact:
            return {}
        every = len(self.learners.landmarks)
        return {f"{EQUAL}, 1/{part} of components": max(1, every // part) for part in FEWER}

    def run(self, targets: list[str]) -> None:
        """Choose composition and penalty of every target, from images alone."""
        groups, nonlinear = self.job.groups, KERNELS in self.job.strategies
        if not groups:
            mean = {target: Choice() for target in targets}
            self.choices = {LINEAR: mean, KERNELS: mean, TOLD: mean}
            return
        machine = self.machine(EQUAL)
        base: dict[str, Choice] = {}
        every = {*self.grid, np.inf}
        self._try(EQUAL, machine, dict.fromkeys(targets, every), base)
        self._widen(machine, targets, base)
        self._refine(machine, targets, base)
        linear = dict(base)
        for name in [*linear_shares(groups), *self.fewer]:
            if name != EQUAL:
                self._compare(name, targets, base, linear)
        self.choices = {LINEAR: linear}
        if not nonlinear:
            return
        self.choices[KERNELS] = dict(linear)
        for modifier in MODIFIERS:
            # What is not read says by its absence who was left out.
            if modifier in targets and self._is_read(modifier, linear[modifier]):
                self.modifiers[modifier] = self._standard_scores(modifier, linear[modifier])
        read = [f"product {modifier}" for modifier in self.modifiers]
        for name in [*(f"radial {width:g}" for width in self.job.settings.radial), *read]:
            # What is read from images cannot modify itself.
            some = [t for t in targets if not name.endswith(f" {t}")]
            self._compare(name, some, base, self.choices[KERNELS])
        self.choices[TOLD] = dict(self.choices[KERNELS])
        told = {cell.target for cell in self.job.cells if self._is_told(cell)}
        for modifier, values in self.learners.told.items():
            self.modifiers[f"{modifier}, as told"] = values
            some = [t for t in targets if t in told]
            self._compare(f"product {modifier}, as told", some, base, self.choices[TOLD])

    def _is_told(self, cell: Cell) -> bool:
        blocks = {block for block, _ in self.job.told.values()}
        return bool(blocks) and blocks <= {*cell.inputs.blocks}

    def _compare(
        self,
        name: str,
        targets: list[str],
        base: Mapping[str, Choice],
        best: dict[str, Choice],
    ) -> None:
        """Take a composition where it pays: does better than equal linear shares.

        Every second penalty is tried, and that of equal shares; around the best of them only where
        the composition pays.
        """
        if not targets:
            return
        machine, grid = self.machine(name), self.grid
        found: dict[str, Choice] = {}
        wanted = {t: {*grid[::2], base[t].penalty} - {np.inf} for t in targets}
        self._try(name, machine, wanted, found)
        paying = [t for t, new in found.items() if self._pays(t, new, base[t])]
        steps = (1 / self.step, self.step)
        near = {t: {found[t].penalty * f for f in steps} - wanted[t] for t in paying}
        self._try(name, machine, near, found)
        for target in paying:
            if found[target].loss < best[target].loss:
                best[target] = found[target]

    def _is_read(self, target: str, choice: Choice) -> bool:
        y, weights = self.learners.y[target], self.learners.weights[target]
        mean = (weights * y).sum() / weights.sum()
        return np.isfinite(choice.penalty) and self._pays(
            target, choice, Choice(scores=mean.expand_as(y))
        )

    def _pays(self, target: str, new: Choice, base: Choice) -> bool:
        y, weights = self.learners.y[target], self.learners.weights[target]
        gained = weights * ((base.scores - y) ** 2 - (new.scores - y) ** 2)
        known = gained[weights > 0]
        mean = float(known.mean())
        return mean > 0 and mean**2 > PRICE * float(known.var()) / len(known)

    def _widen(self, machine: Machine, targets: list[str], best: dict[str, Choice]) -> None:
        """Try smaller penalties while the smallest is the best of some target."""
        smallest = self.grid[0]
        for _ in range(self.job.settings.widened):
            at_edge = [t for t in targets if best[t].penalty == smallest]
            smallest /= self.step
            if not at_edge or smallest < LEAST_PENALTY:
                return
            self._try(EQUAL, machine, {t: {smallest} for t in at_edge}, best)

    def _refine(self, machine: Machine, targets: list[str], best: dict[str, Choice]) -> None:
        """Try penalties between the best and its neighbours, where those are far apart."""
        step = self.step
        while step > FINEST:
            step **= 0.5
            near = {
                t: {best[t].penalty * step, best[t].penalty / step} - {np.inf}
                for t in targets
                if np.isfinite(best[t].penalty)
            }
            self._try(EQUAL, machine, near, best)

    def _try(
        self,
        name: str,
        machine: Machine,
        wanted: Mapping[str, set[float]],
        best: dict[str, Choice],
    ) -> None:
        penalties_tried = {p for penalties in wanted.values() for p in penalties}
        for penalty in sorted(p for p in penalties_tried if p >= LEAST_PENALTY):
            ridge = machine.at(penalty).beside(self.intercept, self.free)
            mine = [target for target, penalties in wanted.items() if penalty in penalties]
            for some, known in self.learners.alike(mine):
                y, weights = self.learners.of(some)
                scores = ridge.left_out(y, known, self.learners.families)
                losses = mean_loss(scores, y, weights).tolist()
                for k, (target, loss) in enumerate(zip(some, losses, strict=True)):
                    if target not in best or loss < best[target].loss:
                        best[target] = Choice(loss, name, penalty, scores[:, k])

    def _standard_scores(self, target: str, choice: Choice) -> Floats:
        """Scores of everybody for a target, standardised, by fits that left them out."""
        machine = self.machine(choice.composition)
        ridge = machine.at(choice.penalty).beside(self.intercept, self.free)
        y, weights = self.learners.of([target])
        fitted = ridge.fit(y, weights[:, 0] > 0).scores[:, 0]
        fitted[self.learners.learnt] = choice.scores
        scores = fitted.cpu().numpy()
        learnt = scores[self.learners.learnt.cpu().numpy()]
        standard = (scores - learnt.mean()) / max(float(learnt.std()), 1e-12)
        return np.clip(standard, -FURTHEST, FURTHEST)

    def cells(self, arrays: dict[str, NDArray[np.generic]]) -> Iterator[dict[str, Any]]:
        """Fit every cell with the composition of its target, and keep what was fitted."""
        together: dict[str, dict[str, list[Cell]]] = {}
        for cell in self.job.cells:
            status = self.learners.status[cell.target]
            if status != "ok":
                for strategy in self.job.strategies:
                    yield _failed(cell, strategy, status)
                continue
            linear, *others = (self._choice(cell, s).composition for s in self.job.strategies)
            together.setdefault(linear, {}).setdefault(LINEAR, []).append(cell)
            for other in others:
                if other != linear:
                    together.setdefault(other, {}).setdefault(KERNELS, []).append(cell)
        for composition, by_strategy in together.items():
            machine = self.machine(composition)
            for like, cells in by_strategy.items():
                for cell, row in _Cells(self, machine, like).fit(composition, cells, arrays):
                    yield row
                    both = KERNELS in self.job.strategies and like == LINEAR
                    if both and self._choice(cell, KERNELS).composition == composition:
                        yield row | {"strategy": KERNELS}

    def _choice(self, cell: Cell, strategy: str) -> Choice:
        told = strategy == KERNELS and self._is_told(cell)
        return self.choices[TOLD if told else strategy][cell.target]


class _Cells:
    """Cells whose targets chose the same composition of kernels."""

    def __init__(self, search: _Search, machine: Machine, strategy: str) -> None:
        self.search, self.machine, self.strategy = search, machine, strategy
        self.job, self.learners = search.job, search.learners
        self.columns: dict[tuple[str, ...], torch.Tensor] = {}

    def fit(
        self, composition: str, cells: list[Cell], arrays: dict[str, NDArray[np.generic]]
    ) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Choose penalties of cells with traits and kinds of regression, and fit all cells."""
        best: dict[Cell, Best] = {}
        self._try({cell: {self._own(cell)} for cell in cells}, self.job.settings.traits, best)
        # With traits beside the images less may be left to them.
        for trait in {best[cell].trait for cell in cells if cell.inputs.blocks}:
            mine = [c for c in cells if c.inputs.blocks and best[c].trait == trait]
            beside = {c: {self._own(c) * self.search.step, np.inf} - {self._own(c)} for c in mine}
            self._try(beside, (trait,), best)
        self._try_logistic([c for c in cells if self.job.kinds[c.target] == "binary"], best)
        for penalty in {chosen.image for chosen in best.values()}:
            bound = self.machine.at(penalty)
            for cell, chosen in best.items():
                if chosen.image != penalty:
                    continue
                self._keep(bound.beside(*self._columns(cell, chosen.trait)), cell, chosen, arrays)
                about = {
                    "like": self.strategy,
                    "composition": composition,
                    "logistic": chosen.logistic is not None,
                    "image_penalty": penalty if np.isfinite(penalty) else None,
                    "trait_penalty": chosen.trait if np.isfinite(chosen.trait) else None,
                    "loss": chosen.loss,
                }
                yield cell, _failed(cell, self.strategy, "ok") | about

    def _own(self, cell: Cell) -> float:
        return self.search._choice(cell, self.strategy).penalty if cell.inputs.groups else np.inf

    def _try(
        self,
        wanted: Mapping[Cell, set[float]],
        traits: tuple[float, ...],
        best: dict[Cell, Best],
    ) -> None:
        for penalty in sorted({p for penalties in wanted.values() for p in penalties}):
            bound = self.machine.at(penalty)
            for cell in [cell for cell, penalties in wanted.items() if penalty in penalties]:
                y, weights = self.learners.of([cell.target])
                for trait in traits if cell.inputs.blocks else (np.nan,):
                    ridge = bound.beside(*self._columns(cell, trait))
                    left = ridge.left_out(y, weights[:, 0] > 0, self.learners.families)
                    loss = float(mean_loss(left, y, weights)[0])
                    if cell not in best or loss < best[cell].loss:
                        best[cell] = Best(loss, penalty, trait)

    def _try_logistic(self, cells: list[Cell], best: dict[Cell, Best]) -> None:
        """Take a logistic regression where it does better, with the same penalties or smaller.

        It has no closed form, and so leaves out parts of people; so does the ridge regression that
        it is held beside.
        """
        found: dict[Cell, Best] = {}
        of_ridge: dict[Cell, float] = {}
        parts = [part[None] for part in self.learners.parts]
        wanted = {
            c: [p for p in (best[c].image, best[c].image / self.search.step) if p >= LEAST_PENALTY]
            for c in cells
        }
        for penalty in dict.fromkeys(p for penalties in wanted.values() for p in penalties):
            bound = self.machine.at(penalty)
            mine = [cell for cell, penalties in wanted.items() if penalty in penalties]
            ridges = [bound.beside(*self._columns(cell, best[cell].trait)) for cell in mine]
            scores = self._logistic_left(ridges, mine)
            for cell, ridge, left in zip(mine, ridges, scores, strict=True):
                y, weights = self.learners.of([cell.target])
                loss = float(mean_loss(left, y, weights)[0])
                if cell not in found or loss < found[cell].loss:
                    found[cell] = Best(loss, penalty, best[cell].trait, left)
                if penalty == best[cell].image:
                    beside = ridge.left_out(y, weights[:, 0] > 0, parts)
                    of_ridge[cell] = float(mean_loss(beside, y, weights)[0])
        best |= {cell: new for cell, new in found.items() if new.loss < of_ridge[cell]}

    def _columns(self, cell: Cell, trait: float) -> tuple[torch.Tensor, torch.Tensor]:
        rows, named = self.learners.rows, cell.inputs.blocks
        if named not in self.columns:
            blocks = [self.job.people.blocks[block][rows] for block in named]
            columns = torch.from_numpy(np.column_stack([np.ones(len(rows)), *blocks]))
            self.columns[named] = columns.to(self.learners.device)
        columns = self.columns[named]
        penalties = torch.full_like(columns[0], trait * len(self.learners.learnt))
        penalties[0] = FREE
        return columns, penalties

    def _logistic_left(self, ridges: list[Ridge], cells: list[Cell]) -> list[torch.Tensor]:
        """Score the people of the fit by logistic regressions that left their part out."""
        parts, smoothers, targets = self.learners.parts, [], []
        for ridge, cell in zip(ridges, cells, strict=True):
            y, weights = self.learners.of([cell.target])
            smoothers.append(ridge.smoother(weights[:, 0] > 0, parts))
            targets.append(y.to(ridge.columns).expand(-1, len(parts)))
        smooth = together(smoothers)
        fits = torch.tanh(smooth(logistic_target(smooth, torch.cat(targets, 1))) / 2).double()
        found = []
        for own in fits.split(len(parts), 1):
            scores = torch.zeros_like(own[:, :1])
            for k, part in enumerate(parts):
                scores[part, 0] = own[part, k]
            found.append(scores)
        return found

    def _keep(
        self, ridge: Ridge, cell: Cell, chosen: Best, arrays: dict[str, NDArray[np.generic]]
    ) -> None:
        y, weights = self.learners.of([cell.target])
        known = weights[:, 0] > 0
        if chosen.logistic is not None:
            fitted: Fit = ridge.fit(
                logistic_target(ridge.smoother(known, [None]), y.to(ridge.columns)), known
            )
            mine, left = torch.tanh(fitted.scores / 2), chosen.logistic
        else:
            fitted = ridge.fit(y, known)
            mine, left = fitted.scores, ridge.left_out(y, known, self.learners.families)
        # Whose target is not known were left out of the fit of all.
        mine[self.learners.learnt[known]] = left[known]
        scores = np.full(len(self.job.people.eid), np.nan)
        scores[self.learners.rows] = mine[:, 0].cpu().numpy()
        name = f"{self.strategy}/{cell.target}/{cell.inputs.name}"
        arrays[f"scores/{name}"] = scores
        arrays[f"weights/{name}"] = fitted.weights[:, 0].cpu().numpy().astype(np.float32)
        arrays[f"coefficients/{name}"] = fitted.coefficients[:, 0].cpu().numpy()
