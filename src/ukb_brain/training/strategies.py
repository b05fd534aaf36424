"""Both strategies of the default run, cell by cell, and the tables they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel

from ukb_brain.cluster import Compute, run_items
from ukb_brain.errors import InputError
from ukb_brain.grid import Cell, Grid
from ukb_brain.networks.artifact import Model
from ukb_brain.tables.splits import check_fitted_on
from ukb_brain.training.calibrate import calibrate
from ukb_brain.training.cells import (
    CellFit,
    CellSpec,
    TargetJob,
    class_weights,
    fit_target,
    standardised,
)
from ukb_brain.training.encode import subsets
from ukb_brain.training.people import Floats, People
from ukb_brain.training.settings import Penalties

Key = tuple[str, str]
PREDICTED_PARTS = ("validation", "test")


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


def fit_cells(
    people: People,
    grid: Grid,
    features: Mapping[str, Floats],
    penalties: Penalties,
    cross_fits: int,
    compute: Compute,
    label: str,
    encoded: bool,
) -> dict[Key, CellFit]:
    """Fit every cell of the grid.

    Parameters
    ----------
    people : People
        Of the fold.
    grid : Grid
        Its cells.
    features : dict of str to ndarray of shape (n, columns)
        By imaging group, or by encoding.
    penalties : Penalties
        Choices.
    cross_fits : int
        Parts of training families.
    compute : Compute
        Workers.
    label : str
        Of the progress bar.
    encoded : bool
        Whether features are encodings, also of sets of groups, rather than components.

    Returns
    -------
    dict of (str, str) to CellFit
        By target and inputs, in the order of the grid.
    """
    parts = people.cross_fits(cross_fits)
    jobs = []
    for target, chosen in _by_target(grid).items():
        cells = tuple(
            CellSpec(
                cell.inputs.name,
                encodings_used(cell.inputs.groups) if encoded else cell.inputs.groups,
                cell.inputs.blocks,
                people.usable(cell),
            )
            for cell in chosen
        )
        names = {name for cell in cells for name in cell.features}
        mine = {k: v for k, v in (dict(features) | people.blocks).items() if k in names}
        kind = grid.targets[target].kind
        jobs.append(TargetJob(target, kind, people.targets[target], parts, mine, cells, penalties))
    fits = [fit for some in run_items(fit_target, jobs, compute, label) for fit in some]
    # Workers end in any order.
    found = {(fit.target, fit.inputs): fit for fit in fits}
    keys = [(cell.target, cell.inputs.name) for cell in grid.cells]
    return {key: found[key] for key in keys}


def _by_target(grid: Grid) -> dict[str, list[Cell]]:
    cells: dict[str, list[Cell]] = {}
    for cell in grid.cells:
        cells.setdefault(cell.target, []).append(cell)
    return cells


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


def choose_blends(
    heads: Mapping[Key, CellFit],
    linear: Mapping[Key, CellFit],
    people: People,
    grid: Grid,
    shares: Sequence[float],
) -> dict[str, float]:
    """Choose for each target the head's share beside the linear strategy.

    Parameters
    ----------
    heads, linear : dict of (str, str) to CellFit
        Both strategies' cells.
    people : People
        Of the fold; only training people are looked at.
    grid : Grid
        Its targets.
    shares : sequence of float
        Choices.

    Returns
    -------
    dict of str to float
        The share whose loss, by scores of people left out, is least on average over the cells of
        the target that have images.
    """
    chosen = {}
    for target, cells in _by_target(grid).items():
        kind = grid.targets[target].kind
        losses = []
        for cell in cells:
            key = (target, cell.inputs.name)
            if not cell.inputs.groups or "ok" not in (heads[key].status, linear[key].status):
                continue
            if heads[key].status != linear[key].status:
                continue
            known = people.usable(cell) & people.train
            answers = people.targets[target][known]
            y, weights = standardised(answers, kind)[0], class_weights(answers, kind)
            head, line = heads[key].scores[known], linear[key].scores[known]
            errors = [(y - share * head - (1 - share) * line) ** 2 for share in shares]
            losses.append([np.average(error, weights=weights) for error in errors])
        best = int(np.argmin(np.mean(losses, axis=0))) if losses else 0
        chosen[target] = float(shares[best])
    return chosen


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
        The head with averaged scores; the head itself where there is nothing to average.
    """
    if head.status != "ok" or line.status != "ok":
        return head
    scores = share * head.scores + (1 - share) * line.scores
    return CellFit(
        head.target,
        head.inputs,
        "ok",
        scores,
        head.coefficients,
        head.image_penalty,
        head.trait_penalty,
        share * head.loss + (1 - share) * line.loss,
        head.seconds + line.seconds,
    )


def tabulate(
    fits: Mapping[Key, CellFit],
    people: People,
    grid: Grid,
    strategy: str,
    seed: int,
    shared_seconds: Mapping[str, float],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Calibrate every cell and list its predictions.

    Parameters
    ----------
    fits : dict of (str, str) to CellFit
        Cells.
    people : People
        Of the fold.
    grid : Grid
        Order and kinds.
    strategy : str
        Its name.
    seed : int
        Of the run.
    shared_seconds : dict of str to float
        By imaging group: what its components or encoders cost, to be shared among its cells.

    Returns
    -------
    predictions : DataFrame
        ``eid, instance, target, inputs, strategy, fold, seed, split, y_true, y_pred``.
    cell_fits : DataFrame
        One row a cell.
    """
    users = {g: sum(g in cell.inputs.groups for cell in grid.cells) for g in shared_seconds}
    tables, rows = [], []
    for cell in grid.cells:
        fit = fits[cell.target, cell.inputs.name]
        usable = people.usable(cell)
        names: dict[str, Any] = {"target": cell.target, "inputs": cell.inputs.name}
        names |= {"strategy": strategy, "fold": people.fold, "seed": seed}
        counts = {part: int((usable & (people.part == part)).sum()) for part in PREDICTED_PARTS}
        share = sum(shared_seconds[g] / users[g] for g in cell.inputs.groups if g in users)
        row = names | {
            "n_train": int((usable & people.train).sum()),
            "n_val": counts["validation"],
            "n_test": counts["test"],
            "status": fit.status,
            "train_seconds": fit.seconds + share,
            "image_penalty": fit.image_penalty,
            "trait_penalty": fit.trait_penalty,
            "penalty": fit.image_penalty if np.isfinite(fit.image_penalty) else fit.trait_penalty,
            "cross_fit_loss": fit.loss,
            "loss": np.nan,
        }
        rows.append(row | _training_marks(cell, people, grid))
        if fit.status == "ok":
            kind = grid.targets[cell.target].kind
            y = people.targets[cell.target]
            predicted = calibrate(fit.scores, y, usable & people.train, kind)
            rows[-1]["loss"] = _loss(predicted, y, usable & (people.part == "validation"), kind)
            tables.append(_predictions(names, people, usable, y, predicted))
    fits_table = pd.DataFrame(rows)
    if not tables:
        raise InputError(
            f"None of {len(rows)} cells could be fitted; reasons: "
            f"{', '.join(sorted(fits_table['status'].unique())[:3])}. The cohort is too small, or "
            "its scans are missing."
        )
    predictions = pd.concat(tables, ignore_index=True)
    for name in ("target", "inputs", "strategy", "split"):
        predictions[name] = predictions[name].astype("category")
    return predictions, fits_table


def _training_marks(cell: Cell, people: People, grid: Grid) -> dict[str, Any]:
    known = people.targets[cell.target][people.usable(cell) & people.train]
    binary = grid.targets[cell.target].kind == "binary"
    return {
        "decision_threshold": float(known.mean()) if binary and len(known) else np.nan,
        "train_median": float(np.median(known)) if not binary and len(known) else np.nan,
    }


def _loss(predicted: Floats, y: Floats, rows: NDArray[np.bool_], kind: str) -> float:
    """Cross-entropy, or mean squared error in the target's own units, of validation people."""
    if not rows.any():
        return float("nan")
    if kind == "continuous":
        return float(((predicted[rows] - y[rows]) ** 2).mean())
    p = np.clip(predicted[rows], 1e-12, 1 - 1e-12)
    return float(-(y[rows] * np.log(p) + (1 - y[rows]) * np.log(1 - p)).mean())


def _predictions(
    names: dict[str, Any],
    people: People,
    usable: NDArray[np.bool_],
    y: Floats,
    predicted: Floats,
) -> pd.DataFrame:
    rows = usable & np.isin(people.part, PREDICTED_PARTS)
    keys = pd.DataFrame({"eid": people.eid[rows], "instance": people.instance[rows]})
    values = {"split": people.part[rows], "y_true": y[rows], "y_pred": predicted[rows]}
    return keys.assign(**names, **values)


def cells_as_model(fits: Mapping[Key, CellFit], people: People, card: dict[str, Any]) -> Model:
    """Keep the regressions of all cells.

    Parameters
    ----------
    fits : dict of (str, str) to CellFit
        Cells.
    people : People
        Whose training people's fingerprint goes into the card.
    card : dict
        What else it says.

    Returns
    -------
    Model
        One array a cell, ``target/inputs``: the intercept, then coefficients in the order of
        imaging features and blocks.
    """
    arrays: dict[str, NDArray[np.generic]] = {
        "/".join(key): fit.coefficients for key, fit in fits.items() if fit.status == "ok"
    }
    return Model(arrays, about(people) | card)


def about(people: People) -> dict[str, Any]:
    """Say in a model's card on whom it was fitted.

    Parameters
    ----------
    people : People
        Of the fold.

    Returns
    -------
    dict
        Fold, number and fingerprint of training people, and that the model is restricted.
    """
    return {
        "restricted": True,
        "fold": people.fold,
        "n_train": int(people.train.sum()),
        "training_people": people.fingerprint,
    }


def check_people(model: Model, people: People, what: str) -> None:
    """Refuse a model that was fitted on other people than this fold's training people.

    Parameters
    ----------
    model : Model
        With its card.
    people : People
        Of the fold.
    what : str
        Name of the model, for the message.

    Raises
    ------
    InputError
        If the fingerprints differ.
    """
    check_fitted_on(str(model.card.get("training_people")), people.fingerprint, what)


def check_settings(model: Model, settings: BaseModel, what: str) -> None:
    """Refuse a model that was made with other settings, such as those of another preset.

    Parameters
    ----------
    model : Model
        With its card.
    settings : BaseModel
        Of this run.
    what : str
        Name of the model, for the message.

    Raises
    ------
    InputError
        With the names of settings that differ.
    """
    there, asked = model.card.get("settings", {}), settings.model_dump(mode="json")
    differ = sorted(name for name in asked if asked[name] != there.get(name))
    if differ:
        raise InputError(
            f"{what} was made with other settings than this run's ({', '.join(differ)}): repeat "
            "the --params of the run that made it, or run `kedro run` in full."
        )
