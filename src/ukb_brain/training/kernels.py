"""All targets from one set of imaging groups, by kernel ridge regression at full rank.

Variance is kept: no component is left out and none is whitened. Every choice (how groups are
weighted, whether a kernel that is not linear joins, penalties, a logistic regression for a binary
target) is made on people left out, and a composition beyond equal linear shares must pay.
Sets of imaging groups are work items, for one inverse of a people × people matrix serves all
targets.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

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
from ukb_brain.training.people import Floats
from ukb_brain.training.settings import KERNELS, LINEAR
from ukb_brain.training.solvers import Exact, Projected, Ridge, Solver, logistic_target, smoother

One = TypeVar("One")
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
    """Fit all cells of a set of imaging groups; ``folder`` is not used.

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
    absent = [group for group in job.groups if group not in job.grams]
    if absent or len(learners.learnt) < 3 or not learners.y:
        reason = "its kernels failed" if absent else "fewer than ten people in training"
        why = {t: s if s != "ok" else reason for t, s in learners.status.items()}
        failed = [_row(cell, s, why[cell.target]) for s in job.strategies for cell in job.cells]
        return Model({}, {"fits": failed})
    search = _Search(job, learners)
    search.run(list(learners.y))
    rows = list(search.cells())
    each = {
        "seconds": (time.perf_counter() - started) / len(rows),
        "flops": sum(search.flops) / len(rows),
    }
    return Model(search.arrays, {"fits": [row | each for row in rows]})


def _row(cell: Cell, strategy: str, status: str) -> dict[str, Any]:
    names = {"target": cell.target, "inputs": cell.inputs.name}
    return {"strategy": strategy, **names, "status": status}


class _Search:
    """From linear kernels to those that pay, for all targets at once."""

    def __init__(self, job: KernelsJob, learners: Learners) -> None:
        self.job, self.learners = job, learners
        # By strategy, and `TOLD`; then by target.
        self.choices: dict[str, dict[str, Choice]] = {}
        self.modifiers: dict[str, Floats] = {}
        self.flops: list[float] = []
        # Of the model.
        self.arrays: dict[str, NDArray[np.generic]] = {}
        self.grid = sorted(job.settings.penalties)
        self.step = self.grid[1] / self.grid[0] if len(self.grid) > 1 else 3.0
        self.linear = {group: self._read(group) for group in job.groups}
        self.intercept = torch.ones(len(learners.rows), 1).to(learners.device, torch.float64)
        self.free = torch.tensor([FREE], dtype=torch.float64, device=learners.device)
        # Compositions that do with fewer components, where they are projected.
        every, parts = len(learners.landmarks), () if learners.exact else FEWER
        self.fewer = {f"{EQUAL}, 1/{p} of components": max(1, every // p) for p in parts}

    def _read(self, group: str) -> Kernel:
        people, learners = self.job.people, self.learners
        arrays = read_model(self.job.grams[group], keys=("gram", "norms", "columns")).arrays
        rows = np.searchsorted(np.flatnonzero(people.has[group]), learners.rows)
        landmarks = learners.rows[learners.landmarks.cpu().numpy()]
        columns = np.searchsorted(arrays["columns"], landmarks)
        values, norms = (
            torch.from_numpy(array).to(learners.device, torch.float64)
            for array in (arrays["gram"][np.ix_(rows, columns)], arrays["norms"][rows])
        )
        return centred(values, norms, learners.landmarks)

    def kernel(self, composition: str) -> Kernel:
        """Make the kernel of a composition."""
        shares, landmarks = linear_shares(self.job.groups), self.learners.landmarks
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

    def solver(self, composition: str) -> Solver:
        """Get the kernel of a composition ready to be solved; that of equal shares is kept."""
        return self.equal if composition == EQUAL else self._made(composition)

    @cached_property
    def equal(self) -> Solver:
        """That of equal shares."""
        return self._made(EQUAL)

    def _made(self, composition: str) -> Solver:
        learners = self.learners
        if not self.job.groups:
            # Only infinite penalties are asked for, which need no kernel.
            return Exact(self.intercept.new_zeros(len(learners.rows), 0), learners.learnt)
        values = self.kernel(composition).values
        if learners.exact:
            return Exact(values, learners.learnt, self.job.settings.memory_gb, self.flops)
        number = self.fewer.get(composition, len(learners.landmarks))
        return Projected(values, learners.landmarks, learners.learnt, number, self.flops)

    def run(self, targets: list[str]) -> None:
        """Choose composition and penalty of every target, from images alone."""
        if not self.job.groups:
            mean = {target: Choice() for target in targets}
            self.choices = dict.fromkeys((LINEAR, KERNELS, TOLD), mean)
            return
        base: dict[str, Choice] = {}
        self._try(EQUAL, {t: {*self.grid, np.inf} for t in targets}, base)
        self._widen(targets, base)
        self._refine(targets, base)
        best = dict(base)
        for name in [*linear_shares(self.job.groups), *self.fewer]:
            if name != EQUAL:
                self._compare(name, targets, base, best)
        self.choices[LINEAR] = dict(best)
        if KERNELS not in self.job.strategies:
            return
        for modifier in MODIFIERS:
            # What is not read says by its absence who was left out.
            if modifier in targets and self._is_read(modifier, best[modifier]):
                self.modifiers[modifier] = self._standard_scores(modifier, best[modifier])
        read = [f"product {modifier}" for modifier in self.modifiers]
        for name in [*(f"radial {width:g}" for width in self.job.settings.radial), *read]:
            # What is read from images cannot modify itself.
            self._compare(name, [t for t in targets if not name.endswith(f" {t}")], base, best)
        self.choices[KERNELS] = dict(best)
        told = {cell.target for cell in self.job.cells if self._is_told(cell)}
        for modifier, values in self.learners.told.items():
            self.modifiers[f"{modifier}, as told"] = values
            some = [t for t in targets if t in told]
            self._compare(f"product {modifier}, as told", some, base, best)
        self.choices[TOLD] = best

    def _is_told(self, cell: Cell) -> bool:
        blocks = {block for block, _ in self.job.told.values()}
        return bool(blocks) and blocks <= {*cell.inputs.blocks}

    def choice(self, cell: Cell, strategy: str) -> Choice:
        """Give what a strategy chose for a cell."""
        told = strategy == KERNELS and self._is_told(cell)
        return self.choices[TOLD if told else strategy][cell.target]

    def _compare(
        self, name: str, targets: list[str], base: Mapping[str, Choice], best: dict[str, Choice]
    ) -> None:
        """Take a composition where it pays: does better than equal linear shares.

        Every second penalty is tried, and that of equal shares; around the best of them only where
        the composition pays.
        """
        if not targets:
            return
        solver = self.solver(name)
        found: dict[str, Choice] = {}
        wanted = {t: {*self.grid[::2], base[t].penalty} - {np.inf} for t in targets}
        self._try(name, wanted, found, solver)
        paying = [t for t, new in found.items() if self._pays(t, new.scores, base[t].scores)]
        steps = (1 / self.step, self.step)
        near = {t: {found[t].penalty * f for f in steps} - wanted[t] for t in paying}
        self._try(name, near, found, solver)
        best |= {t: found[t] for t in paying if found[t].loss < best[t].loss}

    def _is_read(self, target: str, choice: Choice) -> bool:
        y, known = self.learners.y[target], self.learners.known[target]
        mean = (known * y).sum() / known.sum()
        return np.isfinite(choice.penalty) and self._pays(target, choice.scores, mean.expand_as(y))

    def _pays(self, target: str, new: torch.Tensor, base: torch.Tensor) -> bool:
        y, known = self.learners.y[target], self.learners.known[target]
        gained = ((base - y) ** 2 - (new - y) ** 2)[known]
        mean = float(gained.mean())
        return mean > 0 and mean**2 > PRICE * float(gained.var()) / len(gained)

    def _widen(self, targets: list[str], best: dict[str, Choice]) -> None:
        """Try smaller penalties while the smallest is the best of some target."""
        smallest = self.grid[0]
        for _ in range(self.job.settings.widened):
            at_edge = [t for t in targets if best[t].penalty == smallest]
            smallest /= self.step
            if not at_edge or smallest < LEAST_PENALTY:
                return
            self._try(EQUAL, {t: {smallest} for t in at_edge}, best)

    def _refine(self, targets: list[str], best: dict[str, Choice]) -> None:
        """Try penalties between the best and its neighbours, where those are far apart."""
        step = self.step
        while step > FINEST:
            step **= 0.5
            read = [t for t in targets if np.isfinite(best[t].penalty)]
            near = {t: {best[t].penalty * step, best[t].penalty / step} for t in read}
            self._try(EQUAL, near, best)

    def _try(
        self,
        name: str,
        wanted: Mapping[str, set[float]],
        best: dict[str, Choice],
        solver: Solver | None = None,
    ) -> None:
        solver = solver or self.solver(name)
        for penalty, mine in _by_penalty(wanted):
            ridge = solver.beside(penalty, self.intercept, self.free)
            for some, y, known in self.learners.alike(mine):
                scores = ridge.left_out(y, known, self.learners.families)
                losses = mean_loss(scores, y, known).tolist()
                for k, (target, loss) in enumerate(zip(some, losses, strict=True)):
                    if target not in best or loss < best[target].loss:
                        best[target] = Choice(loss, name, penalty, scores[:, k])

    def _standard_scores(self, target: str, choice: Choice) -> Floats:
        """Scores of everybody for a target, standardised, by fits that left them out."""
        solver = self.solver(choice.composition)
        ridge = solver.beside(choice.penalty, self.intercept, self.free)
        fitted = ridge.fit(self.learners.y[target][:, None], self.learners.known[target])
        fitted.scores[self.learners.learnt, 0] = choice.scores
        scores = fitted.scores[:, 0].cpu().numpy()
        learnt = scores[self.learners.learnt.cpu().numpy()]
        standard = (scores - learnt.mean()) / max(float(learnt.std()), 1e-12)
        return np.clip(standard, -FURTHEST, FURTHEST)

    def cells(self) -> Iterator[dict[str, Any]]:
        """Fit every cell with the composition of its target, and keep what was fitted."""
        together: dict[str, dict[str, list[Cell]]] = {}
        for cell in self.job.cells:
            status = self.learners.status[cell.target]
            if status != "ok":
                yield from (_row(cell, strategy, status) for strategy in self.job.strategies)
                continue
            linear, *others = (self.choice(cell, s).composition for s in self.job.strategies)
            together.setdefault(linear, {}).setdefault(LINEAR, []).append(cell)
            for other in others:
                if other != linear:
                    together.setdefault(other, {}).setdefault(KERNELS, []).append(cell)
        for composition, by_strategy in together.items():
            solver = self.solver(composition)
            for like, cells in by_strategy.items():
                for cell, row in _Cells(self, solver, like).fit(cells):
                    row |= {"like": like, "composition": composition}
                    yield row
                    both = KERNELS in self.job.strategies and like == LINEAR
                    if both and self.choice(cell, KERNELS).composition == composition:
                        yield row | {"strategy": KERNELS}


def _by_penalty(wanted: Mapping[One, set[float]]) -> Iterator[tuple[float, list[One]]]:
    """Give each penalty that is wanted and large enough, and by what, in rising order."""
    for penalty in sorted({p for penalties in wanted.values() for p in penalties}):
        if penalty >= LEAST_PENALTY:
            yield penalty, [one for one, penalties in wanted.items() if penalty in penalties]


class _Cells:
    """Cells whose targets chose the same composition of kernels."""

    def __init__(self, search: _Search, solver: Solver, strategy: str) -> None:
        self.search, self.solver, self.strategy = search, solver, strategy
        self.job, self.learners = search.job, search.learners
        self.columns: dict[tuple[str, ...], torch.Tensor] = {}
        self.best: dict[Cell, Best] = {}

    def fit(self, cells: list[Cell]) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Choose penalties of cells with traits and kinds of regression, and fit all cells."""
        own = {cell: self._own(cell) for cell in cells}
        self._try({cell: {penalty} for cell, penalty in own.items()}, self.job.settings.traits)
        # With traits beside the images less may be left to them.
        for trait in {self.best[cell].trait for cell in cells if cell.inputs.blocks}:
            mine = [c for c in cells if c.inputs.blocks and self.best[c].trait == trait]
            self._try({c: {own[c] * self.search.step, np.inf} - {own[c]} for c in mine}, (trait,))
        self._try_logistic([c for c in cells if self.job.kinds[c.target] == "binary"])
        for penalty in {chosen.image for chosen in self.best.values()}:
            for cell, chosen in self.best.items():
                if chosen.image == penalty:
                    self._keep(cell, chosen)
                    about = {
                        "logistic": chosen.logistic is not None,
                        "image_penalty": penalty if np.isfinite(penalty) else None,
                        "trait_penalty": chosen.trait if np.isfinite(chosen.trait) else None,
                        "loss": chosen.loss,
                    }
                    yield cell, _row(cell, self.strategy, "ok") | about

    def _own(self, cell: Cell) -> float:
        return self.search.choice(cell, self.strategy).penalty if cell.inputs.groups else np.inf

    def _of(self, cell: Cell) -> tuple[torch.Tensor, torch.Tensor]:
        return self.learners.y[cell.target][:, None], self.learners.known[cell.target]

    def _ridge(self, cell: Cell, image: float, trait: float) -> Ridge:
        rows, named = self.learners.rows, cell.inputs.blocks
        if named not in self.columns:
            blocks = [self.job.people.blocks[block][rows] for block in named]
            columns = torch.from_numpy(np.column_stack([np.ones(len(rows)), *blocks]))
            self.columns[named] = columns.to(self.learners.device)
        columns = self.columns[named]
        penalties = torch.full_like(columns[0], trait * len(self.learners.learnt))
        penalties[0] = FREE
        return self.solver.beside(image, columns, penalties)

    def _loss(self, cell: Cell, scores: torch.Tensor) -> float:
        return float(mean_loss(scores, *self._of(cell))[0])

    def _try(self, wanted: Mapping[Cell, set[float]], traits: Iterable[float]) -> None:
        for penalty, cells in _by_penalty(wanted):
            for cell in cells:
                for trait in traits if cell.inputs.blocks else (np.nan,):
                    ridge = self._ridge(cell, penalty, trait)
                    loss = self._loss(cell, ridge.left_out(*self._of(cell), self.learners.families))
                    if cell not in self.best or loss < self.best[cell].loss:
                        self.best[cell] = Best(loss, penalty, trait)

    def _try_logistic(self, cells: list[Cell]) -> None:
        """Take a logistic regression where it does better, with the same penalties or smaller.

        It has no closed form, and so leaves out parts of people; so does the ridge regression that
        it is held beside.
        """
        found: dict[Cell, Best] = {}
        of_ridge: dict[Cell, float] = {}
        parts, best = [part[None] for part in self.learners.parts], self.best
        wanted = {c: {best[c].image, best[c].image / self.search.step} for c in cells}
        for penalty, mine in reversed(list(_by_penalty(wanted))):
            ridges = [self._ridge(cell, penalty, best[cell].trait) for cell in mine]
            scores = self._logistic_left(ridges, mine)
            for cell, ridge, left in zip(mine, ridges, scores, strict=True):
                loss = self._loss(cell, left)
                if cell not in found or loss < found[cell].loss:
                    found[cell] = Best(loss, penalty, best[cell].trait, left)
                if penalty == best[cell].image:
                    of_ridge[cell] = self._loss(cell, ridge.left_out(*self._of(cell), parts))
        best |= {cell: new for cell, new in found.items() if new.loss < of_ridge[cell]}

    def _logistic_left(self, ridges: list[Ridge], cells: list[Cell]) -> list[torch.Tensor]:
        """Score the people of the fit by logistic regressions that left their part out."""
        parts = self.learners.parts
        known = [self.learners.known[cell.target] for cell in cells]
        smooth = smoother(ridges, known, parts)
        targets = [self._of(cell)[0].to(ridges[0].columns).expand(-1, len(parts)) for cell in cells]
        fits = torch.tanh(smooth(logistic_target(smooth, torch.cat(targets, 1))) / 2).double()
        found = []
        for own in fits.split(len(parts), 1):
            scores = torch.zeros_like(own[:, :1])
            for k, part in enumerate(parts):
                scores[part, 0] = own[part, k]
            found.append(scores)
        return found

    def _keep(self, cell: Cell, chosen: Best) -> None:
        ridge, (y, known) = self._ridge(cell, chosen.image, chosen.trait), self._of(cell)
        if chosen.logistic is not None:
            smooth = smoother([ridge], [known], [None])
            fitted = ridge.fit(logistic_target(smooth, y.to(ridge.columns)), known)
            mine, left = torch.tanh(fitted.scores / 2), chosen.logistic
        else:
            fitted = ridge.fit(y, known)
            mine, left = fitted.scores, ridge.left_out(y, known, self.learners.families)
        # Whose target is not known were left out of the fit of all.
        mine[self.learners.learnt[known]] = left[known]
        scores = np.full(len(self.job.people.eid), np.nan)
        scores[self.learners.rows] = mine[:, 0].cpu().numpy()
        name = f"{self.strategy}/{cell.target}/{cell.inputs.name}"
        arrays = self.search.arrays
        arrays[f"scores/{name}"] = scores
        arrays[f"weights/{name}"] = fitted.weights[:, 0].cpu().numpy().astype(np.float32)
        arrays[f"coefficients/{name}"] = fitted.coefficients[:, 0].cpu().numpy()
