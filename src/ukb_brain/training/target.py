"""All cells of one target in one fold: regressions, their average, the ladder, calibration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ukb_brain.grid import Cell, Kind
from ukb_brain.networks.artifact import Model, read_model
from ukb_brain.statistics.inputs.nested_pairs import judged_inputs
from ukb_brain.training.calibrate import calibrate
from ukb_brain.training.cells import (
    CellFit,
    CellSpec,
    TargetJob,
    class_weights,
    fit_target,
    standardised,
)
from ukb_brain.training.encode import combine
from ukb_brain.training.inputs import subsets
from ukb_brain.training.ladder import Refined, refine
from ukb_brain.training.people import Floats, Mask, People
from ukb_brain.training.results import Result, results_as_model
from ukb_brain.training.settings import Modelling, Penalties

LINEAR, AMORTISED = "linear", "amortised"
Fits = dict[Cell, CellFit]


@dataclass(frozen=True)
class CellsJob:
    """What a worker needs for the cells of one target.

    Attributes
    ----------
    target : str
        Its key.
    kind : {"binary", "continuous"}
        Of the target.
    cells : tuple of Cell
        In the order of the grid.
    groups : tuple of str
        Imaging groups, in the order of the grid.
    people : People
        Of the fold.
    components : dict of str to Path
        Models of the components, by imaging group; one that failed is absent.
    encoders : sequence of dict of int to Path
        Models of the encoders: for each member of the ensemble, by the part left out; one that
        failed is absent.
    settings : Modelling
        Choices.
    """

    target: str
    kind: Kind
    cells: tuple[Cell, ...]
    groups: tuple[str, ...]
    people: People
    components: Mapping[str, Path]
    encoders: Sequence[Mapping[int, Path]]
    settings: Modelling

    @property
    def y(self) -> Floats:
        """The target, in its own units."""
        return self.people.targets[self.target]

    @property
    def held(self) -> Mask:
        """Validation people: nothing is fitted on them, and they help to choose."""
        return self.people.part == "validation"


def joined(groups: tuple[str, ...]) -> str:
    """Name the encodings of a set of imaging groups.

    Parameters
    ----------
    groups : tuple of str
        In the order of the grid.

    Returns
    -------
    str
    """
    return "+".join(groups)


def encodings_used(groups: tuple[str, ...]) -> tuple[str, ...]:
    """Name the encodings that a cell may use: of each of its groups, and of all together.

    Parameters
    ----------
    groups : tuple of str
        Of the cell; nothing of any other group is among its encodings.

    Returns
    -------
    tuple of str
    """
    return tuple(dict.fromkeys([*groups, *([joined(groups)] if groups else [])]))


def fit_cells_of_target(job: CellsJob, folder: Path) -> Model:
    """Fit every cell of a target by the linear and the amortised strategy.

    Parameters
    ----------
    job : CellsJob
        Target, people, and where features are.
    folder : Path
        Not used: it takes seconds.

    Returns
    -------
    Model
        As `results_as_model`, with the regressions of every cell: the intercept, then coefficients
        in the order of imaging features and blocks.
    """
    s = job.settings
    linear = _fits(job, _components(job), s.linear, encoded=False)
    arrays = _coefficients(linear, LINEAR)
    results = list(_results(job, linear, LINEAR, 0))
    unrefined: list[Result] = []
    if AMORTISED not in s.strategies:
        return results_as_model(results, job.people, job.kind, arrays, {})
    for member, paths in enumerate(job.encoders):
        encodings = _encodings(job, paths)
        heads = _fits(job, encodings, s.heads, encoded=True)
        arrays |= _coefficients(heads, f"{AMORTISED}/{member}")
        share = choose_blend(job, heads, linear)
        fits = {cell: blend(fit, linear[cell], share) for cell, fit in heads.items()}
        notes: dict[Cell, dict] = {
            cell: {"head_share": share_used(heads[cell], linear[cell], share)} for cell in fits
        }
        if s.ladder:
            judged = {one.name for one in judged_inputs([cell.inputs for cell in job.cells])}
            before = {cell: fit for cell, fit in fits.items() if cell.inputs.name in judged}
            unrefined += _results(job, before, AMORTISED, member)
            fits, rungs = climb(job, fits)
            for cell, rung in rungs.items():
                notes[cell] |= {"own_share": rung.own, "mean_of": rung.weights}
        results += _results(job, fits, AMORTISED, member, notes)
    return results_as_model(results, job.people, job.kind, arrays, {}, unrefined)


def _components(job: CellsJob) -> dict[str, Floats]:
    # Of a group that nobody has there is a model without columns; one that failed leaves none.
    features = {group: np.full((len(job.y), 1), np.nan) for group in job.groups}
    for group, path in job.components.items():
        features[group] = read_model(path, keys=("scores",)).arrays["scores"].astype(np.float64)
    return features


def _encodings(job: CellsJob, paths: Mapping[int, Path]) -> dict[str, Floats]:
    outputs = {
        part: read_model(path, keys=("outputs",)).arrays["outputs"].astype(np.float32)
        for part, path in paths.items()
    }
    number = job.settings.encoders.cross_fits
    width = next((each.shape[-1] for each in outputs.values()), 1)
    lost = np.full((len(subsets(job.groups)), len(job.y), width), np.nan, dtype=np.float32)
    every = {part: outputs.get(part, lost) for part in range(number)}
    return scale_encodings(combine(every, job.people.cross_fits(number)), job.people, job.groups)


def scale_encodings(outputs: Floats, people: People, groups: tuple[str, ...]) -> dict[str, Floats]:
    """Standardise encodings by training people.

    Parameters
    ----------
    outputs : ndarray of shape (subsets, n, targets)
        Of the networks.
    people : People
        Of the fold.
    groups : tuple of str
        Imaging groups, in the order of the grid.

    Returns
    -------
    dict of str to ndarray of shape (n, targets)
        By set of imaging groups.
    """
    features = {}
    for k, chosen in enumerate(subsets(groups)):
        training = outputs[k][people.train & people.having(chosen)]
        if not len(training):
            features[joined(chosen)] = outputs[k]
            continue
        sd = training.std(axis=0)
        features[joined(chosen)] = (outputs[k] - training.mean(axis=0)) / np.where(sd > 0, sd, 1)
    return features


def _fits(
    job: CellsJob, features: Mapping[str, Floats], penalties: Penalties, encoded: bool
) -> Fits:
    """Fit every cell by ridge regression on components, or on encodings, and on blocks."""
    specs = tuple(
        CellSpec(
            cell.inputs.name,
            encodings_used(cell.inputs.groups) if encoded else cell.inputs.groups,
            cell.inputs.blocks,
            job.people.usable(cell),
        )
        for cell in job.cells
    )
    names = {name for spec in specs for name in spec.features}
    mine = {k: v for k, v in (dict(features) | job.people.blocks).items() if k in names}
    parts = job.people.cross_fits(job.settings.cross_fits)
    regressions = TargetJob(job.target, job.kind, job.y, parts, job.held, mine, specs, penalties)
    return dict(zip(job.cells, fit_target(regressions), strict=True))


def _coefficients(fits: Fits, name: str) -> dict[str, NDArray[np.generic]]:
    return {
        f"coefficients/{name}/{cell.inputs.name}": fit.coefficients
        for cell, fit in fits.items()
        if fit.status == "ok"
    }


def _unseen(job: CellsJob, cell: Cell) -> tuple[Mask, Floats, Floats]:
    """People whom a cell's scores have not seen, with labels and weights as in fitting."""
    usable = job.people.usable(cell)
    training, unseen = usable & job.people.train, usable & (job.people.train | job.held)
    y = job.y[training]
    _, centre, spread = standardised(y, job.kind)
    weights = class_weights(y, job.kind, job.y[unseen])
    return unseen, (job.y[unseen] - centre) / spread, weights


def choose_blend(job: CellsJob, heads: Fits, linear: Fits) -> float:
    """Choose the head's share beside the linear strategy.

    Parameters
    ----------
    job : CellsJob
        Target and choices.
    heads, linear : dict of Cell to CellFit
        Both strategies' cells.

    Returns
    -------
    float
        The share whose loss, by scores of people left out, is least on average over the cells of
        the target that have images.
    """
    shares, losses = job.settings.blends, []
    for cell, head in heads.items():
        line = linear[cell]
        if not cell.inputs.groups or (head.status, line.status) != ("ok", "ok"):
            continue
        unseen, y, weights = _unseen(job, cell)
        errors = [
            (y - share * head.scores[unseen] - (1 - share) * line.scores[unseen]) ** 2
            for share in shares
        ]
        losses.append([np.average(error, weights=weights) for error in errors])
    return float(shares[int(np.argmin(np.mean(losses, axis=0)))]) if losses else float(shares[0])


def share_used(head: CellFit, line: CellFit, share: float) -> float:
    """Say how much of the head is in what `blend` gives.

    Parameters
    ----------
    head, line : CellFit
        Of the same cell.
    share : float
        Of the head, where both could be fitted.

    Returns
    -------
    float
        0 where only the linear cell could be fitted, 1 where only the head could.
    """
    if head.status == line.status:
        return share
    return float(head.status == "ok")


def blend(head: CellFit, line: CellFit, share: float) -> CellFit:
    """Average two fits of a cell.

    Parameters
    ----------
    head, line : CellFit
        Of the same cell.
    share : float
        Of the head.

    Returns
    -------
    CellFit
        The head with averaged scores; whichever could be fitted where the other could not.
    """
    if head.status != "ok":
        return line
    if line.status != "ok":
        return head
    return replace(
        head,
        scores=share * head.scores + (1 - share) * line.scores,
        loss=share * head.loss + (1 - share) * line.loss,
        seconds=head.seconds + line.seconds,
        flops=head.flops + line.flops,
    )


def climb(job: CellsJob, fits: Fits) -> tuple[Fits, dict[Cell, Refined]]:
    """Let every cell fall back on the cells of its subsets; see `ukb_brain.training.ladder`.

    Parameters
    ----------
    job : CellsJob
        Target and people.
    fits : dict of Cell to CellFit
        With scores of people left out.

    Returns
    -------
    fits : dict of Cell to CellFit
        With the scores that the ladder gives.
    rungs : dict of Cell to Refined
        Of which fitted scores each cell's is the mean.
    """
    fitted = {cell: fit for cell, fit in fits.items() if fit.status == "ok"}
    known = np.isfinite(job.y)
    training = job.y[known & job.people.train]
    if not fitted:
        return fits, {}
    _, centre, spread = standardised(training, job.kind)
    weights = np.where(known, class_weights(training, job.kind, job.y), 0.0)
    usable = {cell: job.people.usable(cell) for cell in fitted}
    scores = {}
    for cell, fit in fitted.items():
        # Cells differ in people, and so a little in their scales.
        _, middle, wide = standardised(job.y[usable[cell] & job.people.train], job.kind)
        scores[cell.inputs.name] = (middle + wide * fit.scores - centre) / spread
    refined = refine(
        scores,
        (job.y - centre) / spread,
        weights,
        known & (job.people.train | job.held),
        {cell.inputs.name: rows for cell, rows in usable.items()},
        {c.inputs.name: frozenset([*c.inputs.groups, *c.inputs.blocks]) for c in fitted},
    )
    changed = {
        cell: replace(fit, scores=refined[cell.inputs.name].scores) for cell, fit in fitted.items()
    }
    return fits | changed, {cell: refined[cell.inputs.name] for cell in fitted}


def _results(
    job: CellsJob,
    fits: Fits,
    strategy: str,
    member: int,
    notes: Mapping[Cell, dict] | None = None,
) -> Iterator[Result]:
    for cell, fit in fits.items():
        if fit.status != "ok":
            yield Result(cell, strategy, member, fit.status)
            continue
        usable = job.people.usable(cell)
        unseen = usable & (job.people.train | job.held)
        about = {
            "seconds": fit.seconds,
            "flops": fit.flops,
            "device": "cpu",
            "image_penalty": fit.image_penalty if np.isfinite(fit.image_penalty) else None,
            "trait_penalty": fit.trait_penalty if np.isfinite(fit.trait_penalty) else None,
            "cross_fit_loss": fit.loss,
        }
        predicted = calibrate(fit.scores, job.y, unseen, job.kind)
        yield Result(cell, strategy, member, "ok", predicted, about | (notes or {}).get(cell, {}))
