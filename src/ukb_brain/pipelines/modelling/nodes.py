"""Nodes of modelling: from stores, blocks and splits to a prediction for every cell."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.cluster import Compute, run_items
from ukb_brain.grid import Grid
from ukb_brain.imaging.store import RecordStore
from ukb_brain.networks.artifact import Model
from ukb_brain.tables.splits import check_fitted_on
from ukb_brain.training import components, encode, strategies
from ukb_brain.training.cells import CellFit
from ukb_brain.training.people import Floats, People, gather, lined_up
from ukb_brain.training.scans import GroupScans
from ukb_brain.training.settings import Modelling

logger = logging.getLogger(__name__)

LINEAR, AMORTISED = "linear", "amortised"
KEYS = ["eid", "instance"]
FITTED_ON = "training_people"


def gather_people(
    targets: pd.DataFrame,
    blocks: pd.DataFrame,
    block_scaling: pd.DataFrame,
    splits: pd.DataFrame,
    participants: pd.DataFrame,
    quality: pd.DataFrame,
    grid: Grid,
    modelling: Modelling,
) -> People:
    """Line up everything that is known of the fold's people.

    Parameters
    ----------
    targets, blocks, block_scaling, splits, participants, quality : pandas.DataFrame
        Of the earlier pipelines.
    grid : Grid
        Domains and imaging groups.
    modelling : Modelling
        Names the fold.

    Returns
    -------
    People
    """
    return gather(
        targets, blocks, block_scaling, splits, participants, quality, grid, modelling.fold
    )


def _scans(
    volumes: RecordStore, connectivity: RecordStore, grid: Grid, pooling: int
) -> dict[str, GroupScans]:
    return {
        group: GroupScans(tuple(modalities), volumes.path, connectivity.path, pooling)
        for group, modalities in grid.imaging.items()
    }


def fit_components(
    volumes: RecordStore,
    connectivity: RecordStore,
    people: People,
    grid: Grid,
    modelling: Modelling,
) -> Model:
    """Fit principal components of each imaging group on training people.

    Parameters
    ----------
    volumes, connectivity : RecordStore
        Scans.
    people : People
        Of the fold.
    grid : Grid
        Imaging groups.
    modelling : Modelling
        Numbers of components.

    Returns
    -------
    Model
        ``<group>/mean`` and ``<group>/axes``.
    """
    settings = modelling.components
    arrays: dict[str, NDArray[np.generic]] = {}
    seconds = {}
    for group, scans in _scans(volumes, connectivity, grid, settings.pooling).items():
        started = time.perf_counter()
        fitted = components.fit_components(
            scans, people, people.has[group], settings.numbers[group], settings.batch_size
        )
        seconds[group] = time.perf_counter() - started
        if fitted is None:
            logger.warning("Too few training people have %s imaging.", group)
            continue
        arrays |= {f"{group}/mean": fitted.mean, f"{group}/axes": fitted.axes}
    card = {
        "what": "principal components",
        "settings": settings.model_dump(mode="json"),
        "seconds": seconds,
    }
    return Model(arrays, strategies.about(people) | card)


def score_components(
    model: Model,
    volumes: RecordStore,
    connectivity: RecordStore,
    people: People,
    grid: Grid,
    modelling: Modelling,
) -> pd.DataFrame:
    """Score everybody on the components.

    Parameters
    ----------
    model : Model
        From `fit_components`.
    volumes, connectivity : RecordStore
        Scans.
    people : People
        Of the fold.
    grid : Grid
        Imaging groups.
    modelling : Modelling
        Pooling and size of batches.

    Returns
    -------
    pandas.DataFrame
        ``eid, instance, training_people`` and columns ``<group>:<number>``.
    """
    strategies.check_people(model, people, "model.components")
    strategies.check_settings(model, modelling.components, "model.components")
    settings = modelling.components
    columns: dict[str, Floats] = {}
    for group, scans in _scans(volumes, connectivity, grid, settings.pooling).items():
        if f"{group}/mean" not in model.arrays:
            continue
        fitted = components.FittedComponents(
            model.arrays[f"{group}/mean"].astype(np.float32),
            model.arrays[f"{group}/axes"].astype(np.float32),
        )
        scores = components.component_scores(
            fitted, scans, people, people.has[group], settings.batch_size
        )
        columns |= {f"{group}:{k}": column for k, column in enumerate(scores.T)}
    return _keyed(people, columns)


def _keyed(people: People, columns: Mapping[str, NDArray[np.floating]]) -> pd.DataFrame:
    keys = {"eid": people.eid, "instance": people.instance, FITTED_ON: people.fingerprint}
    return pd.DataFrame(keys | dict(columns))


def _rows_of(table: pd.DataFrame, people: People, what: str) -> pd.DataFrame:
    for found in table[FITTED_ON].unique():
        check_fitted_on(str(found), people.fingerprint, what)
    wanted = pd.MultiIndex.from_arrays([people.eid, people.instance])
    return lined_up(table.set_index(KEYS).drop(columns=FITTED_ON), wanted, what)


def _by_prefix(rows: pd.DataFrame, names: list[str]) -> dict[str, Floats]:
    prefixes = np.array([column.rpartition(":")[0] for column in rows.columns])
    return {name: rows.loc[:, prefixes == name].to_numpy(np.float64) for name in names}


def fit_linear(
    people: People,
    scores: pd.DataFrame,
    components_model: Model,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
    seed: int,
) -> tuple[Model, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Fit every cell by ridge regression on components and blocks.

    Parameters
    ----------
    people : People
        Of the fold.
    scores : pandas.DataFrame
        On the components.
    components_model : Model
        Whose cost its cells share.
    grid : Grid
        Its cells.
    modelling : Modelling
        Penalties.
    compute : Compute
        Workers.
    seed : int
        Of the run.

    Returns
    -------
    model : Model
        Regressions of all cells.
    predictions, cell_fits : pandas.DataFrame
        Of validation and test people; how each cell was fitted.
    cell_scores : pandas.DataFrame
        Standardised scores of everybody, one column a cell.
    """
    strategies.check_people(components_model, people, "model.components")
    strategies.check_settings(components_model, modelling.components, "model.components")
    features = _by_prefix(_rows_of(scores, people, "feature.components"), list(grid.imaging))
    fits = strategies.fit_cells(
        people,
        grid,
        features,
        modelling.linear,
        modelling.cross_fits,
        compute,
        "Linear models, by target",
        encoded=False,
    )
    settings = {"strategy": LINEAR, "settings": modelling.linear.model_dump()}
    model = strategies.cells_as_model(fits, people, settings)
    seconds = components_model.card["seconds"]
    predictions, table = strategies.tabulate(fits, people, grid, LINEAR, seed, seconds)
    columns = {":".join(key): fit.scores for key, fit in fits.items()}
    return model, predictions, table, _keyed(people, columns)


def train_encoders(
    volumes: RecordStore,
    connectivity: RecordStore,
    people: People,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
    seed: int,
) -> tuple[Model, pd.DataFrame]:
    """Train the encoders of all imaging groups on all targets at once, by cross-fitting.

    Parameters
    ----------
    volumes, connectivity : RecordStore
        Scans.
    people : People
        Of the fold.
    grid : Grid
        Imaging groups and targets.
    modelling : Modelling
        Network and training.
    compute : Compute
        Workers and device.
    seed : int
        Of the run.

    Returns
    -------
    model : Model
        Weights of each cross-fit.
    encodings : pandas.DataFrame
        ``eid, instance`` and columns ``<groups>:<target>``: predictions of every target from
        every set of imaging groups, of training people by the network that left them out.
    """
    n = modelling.encoder_cross_fits
    parts = people.cross_fits(n)
    scans = _scans(volumes, connectivity, grid, modelling.encoders.pooling)
    binary = {key: target.kind == "binary" for key, target in grid.targets.items()}
    jobs = [
        encode.EncoderJob(
            part,
            parts,
            people,
            scans,
            binary,
            modelling.encoders,
            int(np.random.SeedSequence([seed, people.fold, part]).generate_state(1)[0]),
            compute.device,
        )
        for part in range(n)
    ]
    encoded = list(
        run_items(encode.train_encoders, jobs, compute.for_training(), "Encoders, by part left out")
    )
    failed = [each.part for each in encoded if not each.weights]
    if failed:
        logger.warning("Encoders that did not converge: %s of %s.", len(failed), n)
    outputs = encode.combine(encoded, people, parts)
    sets = encode.subsets(tuple(grid.imaging))
    columns = {
        f"{strategies.joined(chosen)}:{target}": outputs[k, :, t].astype(np.float32)
        for k, chosen in enumerate(sets)
        for t, target in enumerate(binary)
    }
    arrays = {
        f"part_{each.part}/{name}": value
        for each in sorted(encoded, key=lambda each: each.part)
        for name, value in each.weights.items()
    }
    total = sum(each.seconds for each in encoded)
    card = {
        "what": "encoders of all imaging groups, one network a part of training families left out",
        "settings": modelling.encoders.model_dump(mode="json"),
        "losses": {f"part_{each.part}": each.losses for each in encoded},
        "failed": failed,
        "seconds": dict.fromkeys(grid.imaging, total / len(grid.imaging)),
    }
    return Model(arrays, strategies.about(people) | card), _keyed(people, columns)


def fit_heads(
    people: People,
    encodings: pd.DataFrame,
    encoders: Model,
    linear_scores: pd.DataFrame,
    linear_fits: pd.DataFrame,
    grid: Grid,
    modelling: Modelling,
    compute: Compute,
    seed: int,
) -> tuple[Model, pd.DataFrame, pd.DataFrame]:
    """Fit a head for every cell on encodings and blocks, and average it with the linear strategy.

    Parameters
    ----------
    people : People
        Of the fold.
    encodings : pandas.DataFrame
        Of the encoders.
    encoders : Model
        Their card says whose training people they rest on, and what they cost.
    linear_scores, linear_fits : pandas.DataFrame
        Of the linear strategy.
    grid : Grid
        Its cells.
    modelling : Modelling
        Penalties and blends.
    compute : Compute
        Workers.
    seed : int
        Of the run.

    Returns
    -------
    model : Model
        Heads of all cells; its card has each target's blend.
    predictions, cell_fits : pandas.DataFrame
        Of validation and test people; how each cell was fitted.
    """
    strategies.check_people(encoders, people, "model.encoders")
    strategies.check_settings(encoders, modelling.encoders, "model.encoders")
    groups = tuple(grid.imaging)
    sets = encode.subsets(groups)
    rows = _rows_of(encodings, people, "feature.encodings")
    by_set = _by_prefix(rows, [strategies.joined(chosen) for chosen in sets])
    outputs = np.stack([by_set[strategies.joined(chosen)] for chosen in sets])
    heads = strategies.fit_cells(
        people,
        grid,
        strategies.scale_encodings(outputs, people, groups),
        modelling.heads,
        modelling.cross_fits,
        compute,
        "Heads, by target",
        encoded=True,
    )
    linear = _linear_fits(linear_scores, linear_fits, people)
    shares = strategies.choose_blends(heads, linear, people, grid, modelling.blends)
    fits = {key: strategies.blend(head, linear[key], shares[key[0]]) for key, head in heads.items()}
    card = {"strategy": AMORTISED, "settings": modelling.heads.model_dump(), "blends": shares}
    model = strategies.cells_as_model(heads, people, card)
    seconds = encoders.card["seconds"]
    return model, *strategies.tabulate(fits, people, grid, AMORTISED, seed, seconds)


def _linear_fits(
    scores: pd.DataFrame, fits: pd.DataFrame, people: People
) -> dict[strategies.Key, CellFit]:
    rows = _rows_of(scores, people, "model_output.linear_scores")
    return {
        (fit["target"], fit["inputs"]): CellFit(
            fit["target"],
            fit["inputs"],
            fit["status"],
            rows[f"{fit['target']}:{fit['inputs']}"].to_numpy(np.float64),
            loss=fit["cross_fit_loss"],
            seconds=fit["train_seconds"],
        )
        for fit in fits.to_dict("records")
    }


def join_strategies(
    linear: pd.DataFrame,
    amortised: pd.DataFrame,
    linear_fits: pd.DataFrame,
    amortised_fits: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put both strategies' tables one below the other.

    Parameters
    ----------
    linear, amortised : pandas.DataFrame
        Predictions.
    linear_fits, amortised_fits : pandas.DataFrame
        How each cell was fitted.

    Returns
    -------
    predictions, cell_fits : pandas.DataFrame
    """
    predictions = pd.concat([linear, amortised], ignore_index=True)
    for name in ("target", "inputs", "strategy", "split"):
        predictions[name] = predictions[name].astype("category")
    return predictions, pd.concat([linear_fits, amortised_fits], ignore_index=True)
