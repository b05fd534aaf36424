"""All cells of one target in one fold: regressions, their average, the ladder, calibration."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from ukb_brain.grid import Cell
from ukb_brain.ledger.artifact import Model, read_card, read_model
from ukb_brain.statistics.inputs.judged import judged_inputs
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.training.calibrate import balanced, calibrate, shrunk
from ukb_brain.training.cells import CellFit, TargetJob, fit_heads, joined
from ukb_brain.training.encode import cross_fitted, read_outputs
from ukb_brain.training.harmonised import made_alike
from ukb_brain.training.inputs import subsets
from ukb_brain.training.ladder import Refined, refine
from ukb_brain.training.people import Floats, Mask, People
from ukb_brain.training.results import Result, results_as_model
from ukb_brain.training.settings import AMORTISED, HEADS, KERNELS, LINEAR

Fits = dict[Cell, CellFit]


def fit_cells_of_target(job: TargetJob, folder: Path) -> Model:
    """Read what kernels give for every cell of a target, fit heads, and average them.

    ``folder`` is not used: it takes seconds.

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
        heads = fit_heads(job, _encodings(job, paths))
        for cell, fit in heads.items():
            if fit.status == "ok":
                name = f"coefficients/{AMORTISED}/{member}/{cell.inputs.name}"
                arrays[name] = fit.coefficients
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


def _kernels(job: TargetJob, strategy: str) -> Fits:
    """Read what was fitted for each set of imaging groups."""
    fits = {}
    cards = [read_card(path) or {} for path in job.kernels.values()]
    rows = {(r["strategy"], r["target"], r["inputs"]): r for card in cards for r in card["fits"]}
    for cell in job.cells:
        fits[cell] = CellFit("its kernels failed", np.full(len(job.y), np.nan))
        path = job.kernels.get(joined(cell.inputs.groups))
        if path is None:
            continue
        row = rows[strategy, job.target, cell.inputs.name]
        if row["status"] != "ok":
            fits[cell] = replace(fits[cell], status=row["status"])
            continue
        name = f"scores/{row['like']}/{job.target}/{cell.inputs.name}"
        scores = read_model(path, keys=(name,)).arrays[name].astype(np.float64)
        scores = np.where(job.people.usable(cell), scores, np.nan)
        if job.kind == "binary":
            # As other strategies' scores are, whose fits weight classes equally.
            unseen, y, weights = _unseen(job, cell)
            intercept, slope = balanced(scores[unseen], y, weights)
            scores = intercept + slope * scores
        told: dict[str, Any] = {k: row[k] for k in ("loss", "seconds", "flops")}
        told |= {k: row[k] or np.nan for k in ("image_penalty", "trait_penalty")}
        fits[cell] = CellFit("ok", scores, **told)
    return fits


def _encodings(job: TargetJob, paths: Mapping[int, Path]) -> dict[str, Floats]:
    outputs, number = read_outputs(paths), job.settings.encoders.cross_fits
    width = next((each.shape[-1] for each in outputs.values()), 1)
    lost = np.full((len(subsets(job.groups)), len(job.y), width), np.nan, dtype=np.float32)
    every = {part: outputs.get(part, lost) for part in range(number)}
    combined = cross_fitted(every, job.people.cross_fits(number))
    if job.settings.harmonise.by != "none":
        for own, chosen in zip(combined, subsets(job.groups), strict=True):
            having = job.people.having(chosen)
            own[:] = made_alike(own, job.people, having, job.settings.harmonise)
    return scale_encodings(combined, job.people, job.groups)


def scale_encodings(outputs: Floats, people: People, groups: tuple[str, ...]) -> dict[str, Floats]:
    """Standardise encodings, of shape (subsets, n, targets), by training people.

    Returns
    -------
    dict of str to ndarray of shape (n, targets)
        By set of imaging groups.
    """
    features = {}
    for own, chosen in zip(outputs, subsets(groups), strict=True):
        training, features[joined(chosen)] = own[people.train & people.having(chosen)], own
        if len(training):
            sd = training.std(axis=0)
            features[joined(chosen)] = (own - training.mean(axis=0)) / np.where(sd > 0, sd, 1)
    return features


def _unseen(job: TargetJob, cell: Cell) -> tuple[Mask, Floats, Floats]:
    """People whom a cell's scores have not seen, with labels and weights as in fitting."""
    usable = job.people.usable(cell)
    training, unseen = usable & job.people.train, usable & (job.people.train | job.held)
    y = job.y[training]
    centre, spread = KINDS[job.kind].centre_and_spread(y)
    weights = KINDS[job.kind].class_weights(y, job.y[unseen])
    return unseen, (job.y[unseen] - centre) / spread, weights


def choose_shares(job: TargetJob, members: Mapping[str, Fits]) -> dict[str, float]:
    """Choose the share of each strategy in their average; each has every cell.

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
    fitted = {k: {c for c in with_images if fits[c].status == "ok"} for k, fits in members.items()}
    # One that failed in all of them is left out.
    names = [name for name, mine in fitted.items() if mine]
    cells = [cell for cell in with_images if all(cell in fitted[name] for name in names)]
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
    """Find shares, at least 0 and with the sum 1, with the least ``shares @ products @ shares``.

    ``products`` of errors, of shape (m, m), are symmetric, without negative eigenvalues.
    """
    values, vectors = np.linalg.eigh(products)
    root = (vectors * np.sqrt(np.maximum(values, 0))).T
    # The sum is held by a heavy row, and put right after.
    heavy = 1e4 * max(float(values.max()), 1e-12) ** 0.5
    rows = np.vstack([root, np.full(len(products), heavy)])
    shares, _ = nnls(rows, np.array([*np.zeros(len(products)), heavy]))
    return shares / shares.sum()


def shares_used(fits: Mapping[str, CellFit], shares: Mapping[str, float]) -> dict[str, float]:
    """Say how much of each strategy is in what `blend` gives of one cell.

    These are the shares of strategies by which the cell could be fitted, scaled to the sum 1.
    """
    there = {name: shares[name] if fit.status == "ok" else 0.0 for name, fit in fits.items()}
    total = sum(there.values())
    if not total:
        # What was fitted has no share: it has all where nothing else was.
        there = {name: float(fit.status == "ok") for name, fit in fits.items()}
        total = sum(there.values())
    return {name: share / total if total else 0.0 for name, share in there.items()}


def blend(fits: Mapping[str, CellFit], shares: Mapping[str, float]) -> CellFit:
    """Average the fits of a cell in the shares of `shares_used`; the first gives the rest.

    The first fit as it is where none could be made.
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


def climb(job: TargetJob, fits: Fits) -> tuple[Fits, dict[Cell, Refined]]:
    """Let every cell fall back on the cells of its subsets; see `ukb_brain.training.ladder`.

    Returns
    -------
    fits : dict of Cell to CellFit
        With the scores that the ladder gives.
    rungs : dict of Cell to Refined
        Of which fitted scores each cell's is the mean.
    """
    fitted = {cell: fit for cell, fit in fits.items() if fit.status == "ok"}
    if not fitted:
        return fits, {}
    known = np.isfinite(job.y)
    training = job.y[known & job.people.train]
    centre, spread = KINDS[job.kind].centre_and_spread(training)
    weights = np.where(known, KINDS[job.kind].class_weights(training, job.y), 0.0)
    usable = {cell: job.people.usable(cell) for cell in fitted}
    scores = {}
    for cell, fit in fitted.items():
        # Cells differ in people, and so a little in their scales.
        own = job.y[usable[cell] & job.people.train]
        middle, wide = KINDS[job.kind].centre_and_spread(own)
        scores[cell.inputs.name] = (middle + wide * fit.scores - centre) / spread
    refined = refine(
        scores,
        (job.y - centre) / spread,
        weights,
        known & (job.people.train | job.held),
        {cell.inputs.name: rows for cell, rows in usable.items()},
        {c.inputs.name: frozenset([*c.inputs.groups, *c.inputs.blocks]) for c in fitted},
    )
    rungs = {cell: refined[cell.inputs.name] for cell in fitted}
    changed = {cell: replace(fit, scores=rungs[cell].scores) for cell, fit in fitted.items()}
    return fits | changed, rungs


def _results(
    job: TargetJob,
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
        penalties = {"image_penalty": fit.image_penalty, "trait_penalty": fit.trait_penalty}
        about = {"seconds": fit.seconds, "flops": fit.flops, "device": "cpu"}
        about |= {name: p if np.isfinite(p) else None for name, p in penalties.items()}
        about["cross_fit_loss"] = fit.loss
        predicted = calibrate(fit.scores, job.y, unseen, job.kind)
        yield Result(cell, strategy, member, "ok", predicted, about | (notes or {}).get(cell, {}))
