"""How long principal components and the cells' regressions take here."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.decomposition import IncrementalPCA

from ukb_brain.grid import Cell
from ukb_brain.networks.artifact import Model, write_model
from ukb_brain.training.inputs import subsets
from ukb_brain.training.items import cells_by_target
from ukb_brain.training.planning.case import Case, Parts
from ukb_brain.training.planning.invented import random_people
from ukb_brain.training.settings import Modelling, Penalties
from ukb_brain.training.target import (
    AMORTISED,
    LINEAR,
    CellsJob,
    encodings_used,
    fit_cells_of_target,
)

FEWEST_FEATURES = 2_000
# Operations a second of a single thread that even an old processor reaches; only for a first guess.
CAUTIOUS = 1e10
FEWER, MORE = 500, 2_000


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


@dataclass(frozen=True)
class ComponentsRate:
    """What principal components of a group cost.

    Attributes
    ----------
    first, more : float
        Seconds of the first batch, and of each later one.
    score : float
        Seconds to score a person.
    batches, components, features : int
        Of training people.
    scaled : bool
        Whether fewer features were measured.
    """

    first: float
    more: float
    score: float
    batches: int
    components: int
    features: int
    scaled: bool


def measure_components(case: Case, group: str) -> ComponentsRate:
    """Time incremental principal components on random batches.

    Parameters
    ----------
    case : Case
        Number of components, batch, people.
    group : str
        Imaging group.

    Returns
    -------
    ComponentsRate
    """
    s = case.modelling.components
    features = math.prod(case.shapes(s.pooling)[group])
    size = max(s.batch_size, s.numbers[group] + 1)
    batches = max(1, case.parts.train // size)
    people = case.parts.train // batches
    number = min(s.numbers[group], people - 1, features)
    measured = features
    # A thin singular value decomposition, about.
    while (
        measured > FEWEST_FEATURES
        and 14.0 * (people + number) ** 2 * measured / CAUTIOUS > case.planning.seconds
    ):
        measured = max(FEWEST_FEATURES, measured // 2)
    batch = np.random.default_rng(0).normal(size=(people, measured)).astype(np.float32)
    pca = IncrementalPCA(min(number, measured))
    first = _seconds(lambda: pca.partial_fit(batch))
    more = _seconds(lambda: pca.partial_fit(batch)) if batches > 1 else 0.0
    mean, axes = pca.mean_.astype(np.float32), pca.components_.astype(np.float32)
    score = _seconds(lambda: (batch - mean) @ axes.T) / people
    grown = features / measured
    return ComponentsRate(
        first * grown,
        more * grown,
        score * grown,
        batches,
        number,
        features,
        measured < features,
    )


@dataclass(frozen=True)
class CellsRate:
    """What all cells of a target cost.

    Attributes
    ----------
    fixed, person : float
        Seconds whatever the cohort, and more for each training person.
    flops : float
        Operations of the asked size.
    scaled : bool
        Whether fewer components were measured.
    """

    fixed: float
    person: float
    flops: float
    scaled: bool

    def seconds(self, train: int) -> float:
        """Seconds of a target with so many training people."""
        return self.fixed + self.person * train


def measure_cells(case: Case, target: str) -> dict[str, CellsRate]:
    """Time all cells of a target on random features, at two numbers of people.

    Parameters
    ----------
    case : Case
        Grid, components, penalties.
    target : str
        Whose cells.

    Returns
    -------
    dict of str to CellsRate
        By strategy; amortised holds linear, with which it is averaged.
    """
    s, train = case.modelling, case.parts.train
    cells = cells_by_target(case.grid)[target]
    divisor = 1
    while regression_flops(
        case, cells, train, divisor, LINEAR
    ) / CAUTIOUS > case.planning.seconds and divisor < min(s.components.numbers.values()):
        divisor *= 2
    # Both sides of the asked size where that is small, so that little is extrapolated.
    fewer, more = (FEWER, MORE) if train >= MORE else (max(20, train // 2), max(40, train))
    rates: dict[str, CellsRate] = {}
    for strategy in (LINEAR, AMORTISED):
        names = (LINEAR,) if strategy == LINEAR else (LINEAR, AMORTISED)
        settings = s.model_copy(update={"strategies": names})
        took = [_cells(case, settings, target, cells, n, divisor) for n in (fewer, more)]
        person = max(0.0, (took[1] - took[0]) / (more - fewer))
        fixed = max(0.0, took[1] - person * more)
        whole, there = (regression_flops(case, cells, train, k, strategy) for k in (1, divisor))
        grown = whole / there
        rates[strategy] = CellsRate(fixed * grown, person * grown, whole, divisor > 1)
    return rates


def _cells(
    case: Case,
    settings: Modelling,
    target: str,
    cells: tuple[Cell, ...],
    train: int,
    divisor: int,
) -> float:
    held = max(10, round(train * case.parts.validation / case.parts.train))
    tested = max(10, round(train * case.parts.test / case.parts.train))
    people = random_people(Parts(1, train, held, tested), case.grid)
    rng, groups, n = np.random.default_rng(1), tuple(case.grid.imaging), len(people.eid)
    amortised = AMORTISED in settings.strategies
    with tempfile.TemporaryDirectory() as folder:
        components, networks = {}, {}
        for group in groups:
            number = max(1, settings.components.numbers[group] // divisor)
            scores = rng.normal(size=(n, number)).astype(np.float32)
            components[group] = Path(folder, group)
            write_model(components[group], Model({"scores": scores}))
        for part in range(settings.encoders.cross_fits if amortised else 0):
            size = (len(subsets(groups)), n, len(case.grid.targets))
            networks[part] = Path(folder, str(part))
            outputs = rng.normal(size=size).astype(np.float32)
            write_model(networks[part], Model({"outputs": outputs}))
        job = CellsJob(
            target,
            case.grid.targets[target].kind,
            cells,
            groups,
            people,
            components,
            [networks] if amortised else [],
            {},
            settings,
        )
        return _seconds(lambda: fit_cells_of_target(job, Path(folder)))


def regression_flops(
    case: Case, cells: tuple[Cell, ...], train: int, divisor: int, strategy: str
) -> float:
    """Count the operations of all regressions of a target, as its cells' cards do.

    Parameters
    ----------
    case : Case
        Numbers of components and targets, penalties.
    cells : tuple of Cell
        Of the target.
    train : int
        Training people.
    divisor : int
        Numbers of components are divided by so much.
    strategy : {"linear", "amortised"}
        Amortised counts linear too.

    Returns
    -------
    float
    """
    s = case.modelling
    traits = {d: 2 * len(case.grid.targets_of(d)) for d in case.grid.domains}
    widths = {g: max(1, s.components.numbers[g] // divisor) for g in case.grid.imaging}
    total = 0.0
    kinds: list[tuple[Penalties, Callable[[Cell], int]]] = [
        (s.linear, lambda cell: sum(widths[g] for g in cell.inputs.groups))
    ]
    if strategy == AMORTISED:
        each = len(case.grid.targets)
        kinds.append((s.heads, lambda cell: each * len(encodings_used(cell.inputs.groups))))
    for penalties, images in kinds:
        for groups in {cell.inputs.groups for cell in cells}:
            mine = [cell for cell in cells if cell.inputs.groups == groups]
            blocks = {block for cell in mine for block in cell.inputs.blocks}
            wide = images(mine[0]) + sum(traits[block] for block in blocks)
            total += 2.0 * train * wide**2
            for cell in mine:
                own = images(cell) + sum(traits[block] for block in cell.inputs.blocks)
                sets = (len(penalties.images) if groups else 1) * (
                    len(penalties.traits) if cell.inputs.blocks else 1
                )
                # One fit without each part, and one of everybody.
                total += (s.cross_fits + 1) * (sets + 1) * (own + 1) ** 3 / 3
    return total
