"""The work items of modelling: what has to be done for every fold, and when it is done already.

An item's fingerprint covers everything that its result depends on, so that what is missing, or was
made with other people, scans or settings, is made anew, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from ukb_brain.errors import InputError
from ukb_brain.grid import Cell, Grid
from ukb_brain.ledger import WorkItem, fingerprint_of
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.training.dedicated import DEDICATED, DedicatedJob, drawn_cells
from ukb_brain.training.encode import EncoderJob
from ukb_brain.training.gram import GramJob, landmarks_of
from ukb_brain.training.kernels import KERNELS, LINEAR
from ukb_brain.training.learners import MODIFIERS, KernelsJob
from ukb_brain.training.people import People
from ukb_brain.training.scans import GroupScans
from ukb_brain.training.settings import Modelling
from ukb_brain.training.tangents import (
    BLOCK,
    ReferenceJob,
    TangentJob,
    blocks_of,
    with_kept,
)
from ukb_brain.training.target import AMORTISED, CellsJob, joined

Folds = Mapping[int, People]
Scans = Mapping[int, Mapping[str, GroupScans]]
# Raised whenever the same settings would give other results.
ENGINE = 4


def quality_fingerprint(quality: pd.DataFrame) -> str:
    """Tell one set of preprocessed scans from another, by what was measured of each.

    Parameters
    ----------
    quality : pandas.DataFrame
        One row a scan.

    Returns
    -------
    str
    """
    rows = pd.util.hash_pandas_object(quality.astype(str), index=False).to_numpy()
    return fingerprint_of("quality", rows)


def people_fingerprint(people: People) -> str:
    """Tell one fold's people from another's, by everything that is known of them.

    Parameters
    ----------
    people : People
        Of a fold.

    Returns
    -------
    str
    """
    tables: list[Mapping[str, np.ndarray]] = [people.targets, people.blocks, people.has]
    named = [part for table in tables for name in sorted(table) for part in (name, table[name])]
    keys = (
        people.eid,
        people.instance,
        people.family,
        np.unique(people.part, return_inverse=True)[1],
    )
    return fingerprint_of(people.fold, *keys, *named)


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


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _seen(scans: Mapping[str, GroupScans]) -> list[tuple[str, tuple[str, ...], bool]]:
    """List what a model sees: groups in their order, which its outputs keep, and how."""
    return [(group, some.modalities, some.tangent) for group, some in scans.items()]


def reference_items(
    folds: Folds, scans: Mapping[str, GroupScans], quality: str
) -> Iterator[WorkItem]:
    """List the references of tangent space of every fold.

    Parameters
    ----------
    folds : dict of int to People
        By fold.
    scans : dict of str to GroupScans
        By imaging group.
    quality : str
        From `quality_fingerprint`.

    Yields
    ------
    WorkItem
        For `ukb_brain.training.tangents.reference_of_group`.
    """
    for fold, people in folds.items():
        for group, some in scans.items():
            if some.is_volume or not some.tangent:
                continue
            known = (people.record_of(group), people.train[people.has[group]])
            print_of = fingerprint_of(ENGINE, "reference", quality, *known)
            card = about(people) | {"group": group, "scans": _of_whom(people, group, quality)}
            job = ReferenceJob(group, some, people)
            yield WorkItem(gram_name(fold, group), print_of, job, card)


def tangent_items(
    folds: Folds, scans: Mapping[str, GroupScans], references: ModelFolder
) -> Iterator[WorkItem]:
    """List everybody's vectors of tangent space, some thousand people at a time.

    Parameters
    ----------
    folds : dict of int to People
        By fold.
    scans : dict of str to GroupScans
        By imaging group.
    references : ModelFolder
        Of `reference_items`; of one that failed there are no vectors, and stores are read instead.

    Yields
    ------
    WorkItem
        For `ukb_brain.training.tangents.tangents_of_block`.
    """
    for name, card in references.cards().items():
        if card["status"] != "ok":
            continue
        people, group = folds[card["fold"]], card["group"]
        for block in range(blocks_of(people, group)):
            home = references.path.resolve() / name
            job = TangentJob(group, scans[group], people, home, block)
            print_of = fingerprint_of(ENGINE, "tangents", card["hash"], block, BLOCK)
            own = about(people) | {"group": group, "scans": card["scans"], "block": block}
            yield WorkItem(f"{name}-{block}", print_of, job, own)


def _of_whom(people: People, group: str, quality: str) -> str:
    """Tell whose scans, and which, vectors are of."""
    return fingerprint_of(quality, people.record_of(group), people.train[people.has[group]])


def kept_vectors(
    folds: Folds, scans: Mapping[str, GroupScans], tangents: ModelFolder, quality: str
) -> dict[int, dict[str, GroupScans]]:
    """Let each fold read the vectors that were made of it.

    Parameters
    ----------
    folds : dict of int to People
        By fold.
    scans : dict of str to GroupScans
        By imaging group.
    tangents : ModelFolder
        Of `tangent_items`.
    quality : str
        From `quality_fingerprint`.

    Returns
    -------
    dict of int to dict of str to GroupScans
        By fold and group. Where a block failed, or vectors are of other people or scans, or nothing
        is read in tangent space, the group is read from the stores.
    """
    made: dict[tuple[int, str], dict[int, Path]] = {}
    for name, card in tangents.cards().items():
        people = folds.get(card["fold"])
        same = people is not None and card["scans"] == _of_whom(people, card["group"], quality)
        if same and card["status"] == "ok" and card["edges"]:
            blocks = made.setdefault((card["fold"], card["group"]), {})
            blocks[card["block"]] = tangents.path.resolve() / name
    found = {}
    for fold, people in folds.items():
        whole = {
            group: [blocks[k] for k in sorted(blocks)]
            for (own, group), blocks in made.items()
            if own == fold and len(blocks) == blocks_of(people, group)
        }
        found[fold] = with_kept(scans, people, whole)
    return found


def gram_items(
    folds: Folds, scans: Scans, settings: Modelling, quality: str, device: str
) -> Iterator[WorkItem]:
    """List the products of scans of every fold and imaging group.

    Parameters
    ----------
    folds : dict of int to People
        By fold.
    scans : dict of int to dict of str to GroupScans
        By fold and imaging group.
    settings : Modelling
        How scans are pooled.
    quality : str
        From `quality_fingerprint`.
    device : str
        Where to multiply.

    Yields
    ------
    WorkItem
        For `ukb_brain.training.gram.gram_of_group`.
    """
    if LINEAR not in settings.strategies:
        return
    s = settings.kernels
    for fold, people in folds.items():
        for group, some in scans[fold].items():
            job = GramJob(group, some, people, s, device)
            parts = np.unique(people.part, return_inverse=True)[1]
            columns = landmarks_of(people, people.has[group], s)
            known = (people.eid, people.instance, people.has[group], parts, columns)
            seen = _seen({group: some})
            print_of = fingerprint_of(ENGINE, "gram", seen, s.pooling, quality, *known)
            yield WorkItem(gram_name(fold, group), print_of, job, about(people) | {"group": group})


def kernel_items(
    folds: Folds,
    grid: Grid,
    settings: Modelling,
    grams: Path,
    hashes: Mapping[str, str],
    device: str,
) -> Iterator[WorkItem]:
    """List the sets of imaging groups of every fold.

    Parameters
    ----------
    folds : dict of int to People
        By fold.
    grid : Grid
        Its cells.
    settings : Modelling
        Choices.
    grams : Path
        Folder of models.
    hashes : dict of str to str
        Fingerprints of those models, by item.
    device : str
        Where matrices are inverted.

    Yields
    ------
    WorkItem
        For `ukb_brain.training.kernels.fit_kernels`.
    """
    if LINEAR not in settings.strategies:
        return
    strategies = (LINEAR, KERNELS) if KERNELS in settings.strategies else (LINEAR,)
    told = _told(grid)
    sets: dict[tuple[str, ...], list[Cell]] = {}
    for cell in grid.cells:
        sets.setdefault(cell.inputs.groups, []).append(cell)
    kinds = {key: target.kind for key, target in grid.targets.items()}
    dump = settings.kernels.model_dump(mode="json", exclude={"memory_gb"})
    for fold, people in folds.items():
        known = people_fingerprint(people)
        for groups, cells in sets.items():
            used = {g: gram_name(fold, g) for g in groups}
            job = KernelsJob(
                groups,
                tuple(cells),
                kinds,
                people,
                {g: grams / name for g, name in used.items() if name in hashes},
                settings.cross_fits,
                strategies,
                settings.kernels,
                told,
                device,
            )
            names = [(c.target, c.inputs.name, c.inputs.blocks) for c in cells]
            print_of = fingerprint_of(
                ENGINE, strategies, groups, names, list(kinds.items()), dump, settings.cross_fits,
                list(told.items()), known, [hashes.get(name, "") for name in used.values()],
            )  # fmt: skip
            yield WorkItem(
                kernel_name(fold, groups), print_of, job, about(people) | {"settings": dump}
            )


def _told(grid: Grid) -> dict[str, tuple[str, int]]:
    """Where the base block says what may modify effects of images: block and column by trait."""
    base = grid.base_domain
    traits = list(grid.targets_of(base))
    return {t: (base, traits.index(t)) for t in MODIFIERS if t in traits}


def kernel_name(fold: int, groups: tuple[str, ...]) -> str:
    """Name an item.

    Parameters
    ----------
    fold : int
        Of the splits.
    groups : tuple of str
        Imaging groups; may be none.

    Returns
    -------
    str
    """
    return f"fold{fold}-kernels-{joined(groups) or 'traits'}"


def gram_name(fold: int, group: str) -> str:
    """Name an item.

    Parameters
    ----------
    fold : int
        Of the splits.
    group : str
        Imaging group.

    Returns
    -------
    str
    """
    return f"fold{fold}-{group}"


def encoder_items(
    folds: Folds,
    scans: Scans,
    grid: Grid,
    settings: Modelling,
    quality: str,
    seed: int,
    device: str,
) -> Iterator[WorkItem]:
    """List the encoders of every fold, member of the ensemble and part left out.

    Parameters
    ----------
    folds : dict of int to People
        By fold.
    scans : dict of int to dict of str to GroupScans
        By fold and imaging group.
    grid : Grid
        Its targets.
    settings : Modelling
        Network and training.
    quality : str
        From `quality_fingerprint`.
    seed : int
        Of the run.
    device : str
        Where to train.

    Yields
    ------
    WorkItem
        For `ukb_brain.training.encode.train_encoders`.
    """
    s = settings.encoders
    if AMORTISED not in settings.strategies:
        return
    binary = {key: target.kind == "binary" for key, target in grid.targets.items()}
    for fold, people in folds.items():
        parts = people.cross_fits(s.cross_fits)
        known = people_fingerprint(people)
        for member in range(s.seeds):
            for part in range(s.cross_fits):
                own = _seed(seed, fold, member, part)
                job = EncoderJob(part, parts, people, scans[fold], binary, s, own, device)
                dump = s.model_dump(mode="json", exclude={"seeds", "cache_gb"})
                outputs = list(binary.items())
                print_of = fingerprint_of(
                    ENGINE, "encoders", dump, outputs, _seen(scans[fold]), quality, known, part, own
                )
                card = about(people) | {"settings": dump, "member": member, "part": part}
                yield WorkItem(encoder_name(fold, member, part), print_of, job, card)


def encoder_name(fold: int, member: int, part: int) -> str:
    """Name an item.

    Parameters
    ----------
    fold, member, part : int
        Of the splits, of the ensemble, and that is left out.

    Returns
    -------
    str
    """
    return f"fold{fold}-seed{member}-without{part}"


def cell_items(
    folds: Folds,
    grid: Grid,
    settings: Modelling,
    encoders: Path,
    kernels: Path,
    hashes: Mapping[str, str],
) -> Iterator[WorkItem]:
    """List the targets of every fold, each with all its cells.

    Parameters
    ----------
    folds : dict of int to People
        By fold.
    grid : Grid
        Its cells.
    settings : Modelling
        Choices.
    encoders, kernels : Path
        Folders of models.
    hashes : dict of str to str
        Fingerprints of those models, by item.

    Yields
    ------
    WorkItem
        For `ukb_brain.training.target.fit_cells_of_target`.
    """
    groups = tuple(grid.imaging)
    if LINEAR not in settings.strategies:
        return
    amortised = AMORTISED in settings.strategies
    # Networks of single cells are elsewhere.
    strategies = [s for s in (LINEAR, KERNELS, AMORTISED) if s in settings.strategies]
    names = ["cross_fits", *(["heads", "average", "ladder"] if amortised else [])]
    sets = dict.fromkeys(cell.inputs.groups for cell in grid.cells)
    chosen = {name: settings.model_dump(mode="json")[name] for name in names}
    members = settings.encoders.seeds if amortised else 0
    for fold, people in folds.items():
        networks = [
            {p: encoder_name(fold, m, p) for p in range(settings.encoders.cross_fits)}
            for m in range(members)
        ]
        of_sets = {joined(g): kernel_name(fold, g) for g in sets}
        rests_on = [name for each in networks for name in each.values()]
        rests_on += of_sets.values()
        known = people_fingerprint(people)
        for target, cells in cells_by_target(grid).items():
            job = CellsJob(
                target,
                grid.targets[target].kind,
                cells,
                groups,
                people,
                [
                    {p: encoders / name for p, name in each.items() if name in hashes}
                    for each in networks
                ],
                {k: kernels / name for k, name in of_sets.items() if name in hashes},
                settings,
            )
            dump = [(cell.inputs.name, cell.inputs.groups, cell.inputs.blocks) for cell in cells]
            print_of = fingerprint_of(
                ENGINE, "cells", target, job.kind, dump, groups, strategies, chosen, known,
                [hashes.get(name, "") for name in rests_on],
            )  # fmt: skip
            yield WorkItem(
                f"fold{fold}-{target}", print_of, job, about(people) | {"target": target}
            )


def cells_by_target(grid: Grid) -> dict[str, tuple[Cell, ...]]:
    """Group the cells of a grid.

    Parameters
    ----------
    grid : Grid
        Its cells.

    Returns
    -------
    dict of str to tuple of Cell
        By target, in the order of the grid.
    """
    return {t: tuple(c for c in grid.cells if c.target == t) for t in grid.targets}


def dedicated_items(
    folds: Folds,
    scans: Scans,
    grid: Grid,
    settings: Modelling,
    quality: str,
    seed: int,
    device: str,
) -> Iterator[WorkItem]:
    """List the cells that have a network of their own, in every fold.

    Parameters
    ----------
    folds : dict of int to People
        By fold.
    scans : dict of int to dict of str to GroupScans
        By fold and imaging group.
    grid : Grid
        Its cells.
    settings : Modelling
        Network, training, number of cells.
    quality : str
        From `quality_fingerprint`.
    seed : int
        Of the run.
    device : str
        Where to train.

    Yields
    ------
    WorkItem
        For `ukb_brain.training.dedicated.train_dedicated`.
    """
    s = settings.dedicated
    if DEDICATED not in settings.strategies:
        return
    number = {cell: k for k, cell in enumerate(grid.cells)}
    for fold, people in folds.items():
        known = people_fingerprint(people)
        for cell in drawn_cells(grid, s.cells):
            mine = {g: scans[fold][g] for g in cell.inputs.groups}
            for member in range(s.seeds):
                own = _seed(seed, fold, member, number[cell])
                kind = grid.targets[cell.target].kind
                job = DedicatedJob(cell, kind, people, mine, s, member, own, device)
                dump = s.model_dump(mode="json", exclude={"seeds", "cache_gb", "cells"})
                print_of = fingerprint_of(
                    ENGINE,
                    DEDICATED,
                    dump,
                    cell.target,
                    kind,
                    cell.inputs.name,
                    _seen(mine),
                    quality,
                    known,
                    own,
                )
                card = about(people) | {"settings": dump, "member": member}
                card["cell"] = {"target": cell.target, "inputs": cell.inputs.name}
                yield WorkItem(f"fold{fold}-cell{number[cell]}-seed{member}", print_of, job, card)


def check_settings(card: Mapping[str, Any], settings: BaseModel, what: str) -> None:
    """Refuse a model that was made with other settings, such as those of another preset.

    Parameters
    ----------
    card : dict
        Of the model.
    settings : BaseModel
        Of this run.
    what : str
        Name of the model, for the message.

    Raises
    ------
    InputError
        With the names of settings that differ.
    """
    there, asked = card.get("settings", {}), settings.model_dump(mode="json")
    differ = sorted(name for name in there if asked.get(name) != there[name])
    if differ:
        raise InputError(
            f"{what} was made with other settings than this run's ({', '.join(differ)}): repeat "
            "the --params of the run that made it, or run `kedro run` in full."
        )


def check_any_fitted(cell_fits: pd.DataFrame, having: Mapping[str, int]) -> None:
    """Refuse to go on where no cell at all could be fitted.

    Parameters
    ----------
    cell_fits : pandas.DataFrame
        One row a cell, strategy, fold and seed.
    having : dict of str to int
        People in training who have all that an imaging group needs, by group.

    Raises
    ------
    InputError
        With the first reasons, and how many people there are to learn from.
    """
    if (cell_fits["status"] == "ok").any():
        return
    reasons = ", ".join(sorted(cell_fits["status"].unique())[:3])
    counts = ", ".join(f"{group} {n:,}" for group, n in having.items())
    raise InputError(
        f"None of {len(cell_fits):,} cells could be fitted; reasons: {reasons}. People in training "
        f"who have what an imaging group needs: {counts}. Use more people, find the scans that are "
        "missing, or leave the group or the target out (grid.leave_out)."
    )
