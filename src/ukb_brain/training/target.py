"""All cells of one target in one fold: regressions, their average, the ladder, calibration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from ukb_brain.grid import Cell, Kind
from ukb_brain.ledger.artifact import Model, read_card, read_model
from ukb_brain.statistics.inputs.nested_pairs import judged_inputs
from ukb_brain.training.calibrate import balanced, calibrate, shrunk
from ukb_brain.training.cells import (
    CellFit,
    CellSpec,
    TargetJob,
    class_weights,
    fit_target,
    standardised,
)
from ukb_brain.training.encode import cross_fitted
from ukb_brain.training.inputs import subsets
from ukb_brain.training.kernels import KERNELS, LINEAR
from ukb_brain.training.ladder import Refined, refine
from ukb_brain.training.people import Floats, Mask, People
from ukb_brain.training.results import Result, results_as_model
from ukb_brain.training.settings import Modelling

AMORTISED = "amortised"
# Regressions on encodings, a member of the average.
HEADS = "head"
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
    encoders : sequence of dict of int to Path
        Models of the encoders: for each member of the ensemble, by the part left out; one that
        failed is absent.
    kernels : dict of str to Path
        Models of `ukb_brain.training.kernels.fit_kernels`, by set of imaging groups; one that
        failed is absent.
    settings : Modelling
        Choices.
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
    """Read what kernels give for every cell of a target, fit heads, and average them.

    Parameters
    ----------
    job : CellsJob
        Target, people, and where features are.
    folder : Path
        Not used: it takes seconds.

    Returns
    -------
    Model
        As `results_as_model`, with the regressions on encodings of every cell: the intercept, then
        coefficients in the order of encodings and blocks.
    """
    s = job.settings
    shared = {name: _kernels(job, name) for name in (LINEAR, KERNELS) if name in s.strategies}
    arrays: dict[str, NDArray[np.generic]] = {}
    results = [one for name, fits in shared.items() for one in _results(job, fits, name, 0)]
    unrefined: list[Result] = []
    if AMORTISED not in s.strategies:
        return results_as_model(results, job.people, job.kind, arrays, {})
    for member, paths in enumerate(job.encoders):
        encodings = _encodings(job, paths)
        heads = _heads(job, encodings)
        arrays |= _coefficients(heads, f"{AMORTISED}/{member}")
        made = {HEADS: heads} | shared
        members: dict[str, Fits] = {str(k): made[k] for k in s.average if k in made}
        shares = choose_shares(job, members)
        fits: Fits = {}
        notes: dict[Cell, dict] = {}
        for cell in heads:
            mine = {name: some[cell] for name, some in members.items()}
            used = shares_used(mine, shares)
            fits[cell] = blend(mine, used)
            notes[cell] = {f"{name}_share": share for name, share in used.items()}
        if s.ladder:
            judged = {one.name for one in judged_inputs([cell.inputs for cell in job.cells])}
            before = {cell: fit for cell, fit in fits.items() if cell.inputs.name in judged}
            unrefined += _results(job, before, AMORTISED, member)
            fits, rungs = climb(job, fits)
            for cell, rung in rungs.items():
                notes[cell] |= {"own_share": rung.own, "mean_of": rung.weights}
        results += _results(job, fits, AMORTISED, member, notes)
    return results_as_model(results, job.people, job.kind, arrays, {}, unrefined)


def _kernels(job: CellsJob, strategy: str) -> Fits:
    """Read what was fitted for each set of imaging groups."""
    fits = {}
    cards = {path: read_card(path) or {} for path in job.kernels.values()}
    for cell in job.cells:
        nothing = np.full(len(job.y), np.nan)
        path = job.kernels.get(joined(cell.inputs.groups))
        fits[cell] = CellFit(job.target, cell.inputs.name, "its kernels failed", nothing)
        if path is None:
            continue
        names = (strategy, job.target, cell.inputs.name)
        row = next(
            r for r in cards[path]["fits"] if (r["strategy"], r["target"], r["inputs"]) == names
        )
        if row["status"] != "ok":
            fits[cell] = replace(fits[cell], status=row["status"])
            continue
        name = f"scores/{row['like']}/{job.target}/{cell.inputs.name}"
        scores = read_model(path, keys=(name,)).arrays[name].astype(np.float64)
        scores = np.where(job.people.usable(cell), scores, np.nan)
        if job.kind == "binary":
            # As other strategies' scores are, whose fits weight classes equally.
            unseen, y, weights = _unseen(job, cell)
            line = balanced(scores[unseen], y, weights)
            scores = line.intercept + line.slope * scores
        fits[cell] = CellFit(
            job.target,
            cell.inputs.name,
            "ok",
            scores,
            image_penalty=row["image_penalty"] or np.nan,
            trait_penalty=row["trait_penalty"] or np.nan,
            loss=row["loss"],
            seconds=row["seconds"],
            flops=row["flops"],
        )
    return fits


def _encodings(job: CellsJob, paths: Mapping[int, Path]) -> dict[str, Floats]:
    outputs = {
        part: read_model(path, keys=("outputs",)).arrays["outputs"].astype(np.float32)
        for part, path in paths.items()
    }
    number = job.settings.encoders.cross_fits
    width = next((each.shape[-1] for each in outputs.values()), 1)
    lost = np.full((len(subsets(job.groups)), len(job.y), width), np.nan, dtype=np.float32)
    every = {part: outputs.get(part, lost) for part in range(number)}
    outputs = cross_fitted(every, job.people.cross_fits(number))
    return scale_encodings(outputs, job.people, job.groups)


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


def _heads(job: CellsJob, encodings: Mapping[str, Floats]) -> Fits:
    """Fit every cell by ridge regression on encodings and blocks."""
    specs = tuple(
        CellSpec(
            cell.inputs.name,
            encodings_used(cell.inputs.groups),
            cell.inputs.blocks,
            job.people.usable(cell),
        )
        for cell in job.cells
    )
    names = {name for spec in specs for name in spec.features}
    mine = {k: v for k, v in (dict(encodings) | job.people.blocks).items() if k in names}
    parts = job.people.cross_fits(job.settings.cross_fits)
    penalties = job.settings.heads
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


def choose_shares(job: CellsJob, members: Mapping[str, Fits]) -> dict[str, float]:
    """Choose the share of each strategy in their average.

    Parameters
    ----------
    job : CellsJob
        Target and choices.
    members : dict of str to (dict of Cell to CellFit)
        By strategy: each has every cell.

    Returns
    -------
    dict of str to float
        At least 0, with the sum 1. Of the shares whose loss by scores of people left out, averaged
        over the target's cells with images, is least, as much is kept as is surely better than
        equal shares: 1 - 1/z², z being the gain over its standard error.

    Notes
    -----
    Stacking with shares that are not negative (Breiman, Machine Learning 24:49, 1996).
    """
    with_images = [cell for cell in job.cells if cell.inputs.groups]
    # One that failed in all of them is left out.
    names = [
        name
        for name, fits in members.items()
        if any(fits[cell].status == "ok" for cell in with_images)
    ]
    cells = [c for c in with_images if all(members[name][c].status == "ok" for name in names)]
    if not names or not cells:
        return dict.fromkeys(members, 1 / len(members))
    equal = np.full(len(names), 1 / len(names))
    errors, products = [], np.zeros((len(names), len(names)))
    for cell in cells:
        unseen, y, weights = _unseen(job, cell)
        error = np.stack([y - members[name][cell].scores[unseen] for name in names])
        products += (error * weights) @ error.T / weights.sum() / len(cells)
        errors.append((unseen, error, weights / weights.sum()))
    best = least_on_simplex(products)
    gain = np.zeros(len(job.y))
    for unseen, error, weights in errors:
        gain[unseen] += weights * ((equal @ error) ** 2 - (best @ error) ** 2) / len(cells)
    known = gain[np.any([rows for rows, *_ in errors], axis=0)]
    spread, total = len(known) * float(known.var()), float(known.sum())
    kept = shrunk(total, spread, 0.0) / total if total > 1e-9 * products.max() else 0.0
    shares = equal + kept * (best - equal)
    return dict.fromkeys(members, 0.0) | dict(zip(names, shares.tolist(), strict=True))


def least_on_simplex(products: Floats) -> Floats:
    """Find shares with the least ``shares @ products @ shares``.

    Parameters
    ----------
    products : ndarray of shape (m, m)
        Of errors: symmetric, without negative eigenvalues.

    Returns
    -------
    ndarray of shape (m,)
        At least 0, with the sum 1.
    """
    values, vectors = np.linalg.eigh(products)
    root = (vectors * np.sqrt(np.maximum(values, 0))).T
    # The sum is held by a heavy row, and put right after.
    heavy = 1e4 * max(float(values.max()), 1e-12) ** 0.5
    rows = np.vstack([root, np.full(len(products), heavy)])
    shares, _ = nnls(rows, np.array([*np.zeros(len(products)), heavy]))
    return shares / shares.sum()


def shares_used(fits: Mapping[str, CellFit], shares: Mapping[str, float]) -> dict[str, float]:
    """Say how much of each strategy is in what `blend` gives.

    Parameters
    ----------
    fits : dict of str to CellFit
        Of one cell, by strategy.
    shares : dict of str to float
        Chosen for its target.

    Returns
    -------
    dict of str to float
        Those of strategies by which the cell could be fitted, scaled to the sum 1; 0 for others.
    """
    there = {name: shares[name] if fit.status == "ok" else 0.0 for name, fit in fits.items()}
    total = sum(there.values())
    if not total:
        # What was fitted has no share: it has all where nothing else was.
        there = {name: float(fit.status == "ok") for name, fit in fits.items()}
        total = sum(there.values())
    return {name: share / total if total else 0.0 for name, share in there.items()}


def blend(fits: Mapping[str, CellFit], shares: Mapping[str, float]) -> CellFit:
    """Average the fits of a cell.

    Parameters
    ----------
    fits : dict of str to CellFit
        Of one cell, by strategy; the first gives coefficients.
    shares : dict of str to float
        From `shares_used`.

    Returns
    -------
    CellFit
        With averaged scores; the first fit where none could be made.
    """
    used = [(fits[name], share) for name, share in shares.items() if share > 0]
    first = next(iter(fits.values()))
    if not used:
        return first
    return replace(
        used[0][0],
        scores=np.sum([share * fit.scores for fit, share in used], axis=0),
        loss=sum(share * fit.loss for fit, share in used),
        seconds=sum(fit.seconds for fit in fits.values()),
        flops=sum(fit.flops for fit in fits.values()),
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
