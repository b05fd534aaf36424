"""The work items of modelling: what has to be done for every fold, and when it is done already.

An item's fingerprint covers everything that its result depends on, so that what is missing, or was
made with other people, scans or settings, is made anew, and nothing else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from ukb_brain.cluster import Compute
from ukb_brain.errors import InputError
from ukb_brain.grid import Cell, Grid
from ukb_brain.ledger import WorkItem, fingerprint_of
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.tables.splits import check_fitted_on
from ukb_brain.training.cells import TargetJob, joined
from ukb_brain.training.dedicated import DedicatedJob, drawn_cells
from ukb_brain.training.encode import EncoderJob
from ukb_brain.training.gram import GramJob, landmarks_of
from ukb_brain.training.harmonised import check_scanners, scanners_of
from ukb_brain.training.learners import MODIFIERS, KernelsJob
from ukb_brain.training.people import People
from ukb_brain.training.refine import require_affordable
from ukb_brain.training.scans import GroupScans, KeptVectors, Scans
from ukb_brain.training.settings import (
    AMORTISED,
    DEDICATED,
    KERNELS,
    LINEAR,
    Modelling,
    Network,
    Networks,
)
from ukb_brain.training.vectors import BLOCK, StepsJob, VectorsJob, blocks_of
from ukb_brain.training.weights import LEARNT_FROM, digest, read_header

Folds = Mapping[int, People]
Job = StepsJob | VectorsJob | GramJob | KernelsJob | EncoderJob | TargetJob | DedicatedJob
# Kinds of work for an accelerator, where there is one.
ON_DEVICE = ("grams", "kernels", "encoders", "dedicated")
# Raised whenever the same settings would give other results.
ENGINE = 5


@dataclass(frozen=True)
class Work:
    """What all work items of a run rest on.

    Attributes
    ----------
    folder : Path
        Of all models, each kind in a folder of its own.
    people : dict of int to People
        By fold.
    scans : Scans
        Whole and as they are.
    """

    folder: Path
    people: Folds
    scans: Scans
    grid: Grid
    settings: Modelling
    compute: Compute
    seed: int

    def read_as(self, pooling: int, vectors: ModelFolder) -> dict[int, Scans]:
        """Let each fold read scans as settings say, and the vectors that were made of it.

        Where a block failed, vectors are of other people or scans, or nothing is done to them, the
        group is read from the stores.
        """
        found = {
            fold: self.scans.read_as(pooling, self.settings, people)
            for fold, people in self.people.items()
        }
        made: dict[tuple[int, str], dict[int, Path]] = {}
        for name, card in vectors.cards().items():
            fold, group = card["fold"], card["group"]
            same = fold in found and card["scans"] == _of_whom(
                self.people[fold], group, found[fold]
            )
            if same and card["status"] == "ok" and card["edges"]:
                blocks = made.setdefault((fold, group), {})
                blocks[card["block"]] = vectors.path.resolve() / name
        for (fold, group), blocks in made.items():
            if len(blocks) == blocks_of(self.people[fold], group):
                paths = tuple(blocks[k] for k in sorted(blocks))
                kept = KeptVectors(paths, BLOCK, self.people[fold].record_of(group))
                groups = found[fold].groups
                groups = {**groups, group: replace(groups[group], kept=kept)}
                found[fold] = replace(found[fold], groups=groups)
        return found

    @property
    def binary(self) -> dict[str, bool]:
        """Whether each target is."""
        return {key: target.kind == "binary" for key, target in self.grid.targets.items()}

    def does(self, *strategies: str) -> bool:
        """Say whether all of some strategies are asked for."""
        return {*strategies} <= {*self.settings.strategies}


def people_fingerprint(people: People) -> str:
    """Tell one fold's people from another's, by everything that is known of them."""
    tables: list[Mapping[str, np.ndarray]] = [people.targets, people.blocks, people.has]
    keys = (people.eid, people.instance, people.family, _parts(people))
    return fingerprint_of(people.fold, *keys, *tables)


def _parts(people: People) -> np.ndarray:
    return np.unique(people.part, return_inverse=True)[1]


def about(people: People) -> dict[str, Any]:
    """Say in a model's card on whom it was fitted, and that it is restricted."""
    return {
        "restricted": True,
        "fold": people.fold,
        "n_train": int(people.train.sum()),
        "training_people": people.fingerprint,
    }


def _item(name: str, job: Job, *rests_on: Any, **card: Any) -> WorkItem:
    return WorkItem(name, fingerprint_of(ENGINE, *rests_on), job, about(job.people) | card)


def seed_of(*numbers: int) -> int:
    """Draw a seed that depends on all of some numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _seen(groups: Mapping[str, GroupScans]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """List what a model sees: groups in their order, which its outputs keep, and how."""
    return [(group, *some.seen) for group, some in groups.items()]


def _of_cells(cells: tuple[Cell, ...]) -> list[tuple]:
    return [(c.target, c.inputs.name, c.inputs.groups, c.inputs.blocks) for c in cells]


def step_items(work: Work) -> Iterator[WorkItem]:
    """List the imaging groups of every fold whose vectors are made once, for `steps_of_group`."""
    for fold, people in work.people.items():
        scans = work.scans.read_as(1, work.settings, people)
        if work.settings.harmonise.by != "none":
            check_scanners(people, work.settings.harmonise)
        for group, some in scans.groups.items():
            if any(m.costly for m in some.makers) and not some.is_volume:
                whom = _of_whom(people, group, scans)
                job = StepsJob(group, some, people)
                name = gram_name(fold, group)
                yield _item(name, job, "steps", some.seen, whom, group=group, scans=whom)


def vector_items(work: Work, steps: ModelFolder) -> Iterator[WorkItem]:
    """List everybody's vectors, a block of people each, for `vectors_of_block`.

    Of steps that failed there are none, and stores are read instead.
    """
    for name, card in steps.cards().items():
        if card["status"] != "ok":
            continue
        people, group = work.people[card["fold"]], card["group"]
        scans = work.scans.read_as(1, work.settings, people)
        for block in range(blocks_of(people, group)):
            home = steps.path.resolve() / name
            job = VectorsJob(group, scans.groups[group], people, home, block)
            known = ("vectors", card["hash"], block, BLOCK)
            own = {"group": group, "scans": card["scans"], "block": block}
            yield _item(f"{name}-{block}", job, *known, **own)


def _of_whom(people: People, group: str, scans: Scans) -> str:
    """Tell whose scans, and which, vectors are of, and what is done to them."""
    of = (people.record_of(group), people.train[people.has[group]])
    return fingerprint_of(scans.fingerprint, *of, scans.groups[group].seen)


def gram_items(work: Work, vectors: ModelFolder) -> Iterator[WorkItem]:
    """List the products of scans of every fold and imaging group, for `gram_of_group`."""
    if not work.does(LINEAR):
        return
    s = work.settings.kernels
    for fold, scans in work.read_as(s.pooling, vectors).items():
        people = work.people[fold]
        for group, some in scans.groups.items():
            columns = landmarks_of(people, people.has[group], s)
            known = (people.eid, people.instance, people.has[group], _parts(people), columns)
            seen = (_seen({group: some}), s.pooling, scans.fingerprint)
            job = GramJob(group, some, people, s, work.compute.device)
            yield _item(gram_name(fold, group), job, "gram", *seen, *known, group=group)


def kernel_items(work: Work, grams: ModelFolder) -> Iterator[WorkItem]:
    """List the sets of imaging groups of every fold, for `fit_kernels`, on products of scans."""
    hashes, home = checked(grams, work.people), grams.path.resolve()
    if not work.does(LINEAR):
        return
    grid, s, fits = work.grid, work.settings.kernels, work.settings.cross_fits
    strategies = (LINEAR, KERNELS) if work.does(KERNELS) else (LINEAR,)
    # Where the base block says what may modify effects of images: block and column by trait.
    traits = list(grid.targets_of(grid.base_domain))
    told = {t: (grid.base_domain, traits.index(t)) for t in MODIFIERS if t in traits}
    kinds = {key: target.kind for key, target in grid.targets.items()}
    dump = s.model_dump(mode="json", exclude={"memory_gb"})
    shared = (strategies, list(kinds.items()), list(told.items()), dump, fits)
    for fold, people in work.people.items():
        known = people_fingerprint(people)
        for groups in dict.fromkeys(cell.inputs.groups for cell in grid.cells):
            cells = tuple(cell for cell in grid.cells if cell.inputs.groups == groups)
            used = {g: gram_name(fold, g) for g in groups}
            paths = {g: home / name for g, name in used.items() if name in hashes}
            given = (paths, fits, strategies, s, told, work.compute.device)
            job = KernelsJob(groups, cells, kinds, people, *given)
            made = [hashes.get(name, "") for name in used.values()]
            rests_on = (*shared, groups, _of_cells(cells), known, made)
            yield _item(kernel_name(fold, groups), job, "kernels", *rests_on, settings=dump)


def kernel_name(fold: int, groups: tuple[str, ...]) -> str:
    """Name the item of a set of imaging groups, which may be empty."""
    return f"fold{fold}-kernels-{joined(groups) or 'traits'}"


def gram_name(fold: int, group: str) -> str:
    """Name the item of an imaging group."""
    return f"fold{fold}-{group}"


def encoder_name(fold: int, member: int, part: int) -> str:
    """Name the item of a member of the ensemble and the part that it leaves out."""
    return f"fold{fold}-seed{member}-without{part}"


def encoder_items(work: Work, vectors: ModelFolder) -> Iterator[WorkItem]:
    """List the encoders of every fold, member and part left out, for `train_encoders`."""
    if not work.does(AMORTISED):
        return
    s, binary = work.settings.encoders, work.binary
    check_origins(work.people, s.network, "modelling.encoders")
    domains = domains_of(work.grid)
    require_affordable(s, len(domains))
    dump = known_by(s, {"seeds", "cache_gb"})
    # What is not done makes no difference.
    idle = {"pretrain"} if not s.pretrain.epochs else set()
    idle |= {"refine"} if not s.refine.rank else set()
    made_by = {name: value for name, value in dump.items() if name not in idle}
    refined = [list(domains.items())] if s.refine.rank else []
    for fold, scans in work.read_as(s.network.pooling, vectors).items():
        people, groups = work.people[fold], scans.groups
        parts = people.cross_fits(s.cross_fits)
        seen = (_seen(groups), scans.fingerprint, people_fingerprint(people))
        for member, part in np.ndindex(s.seeds, s.cross_fits):
            own = seed_of(work.seed, fold, member, part)
            given = (work.compute.device, parts, part, domains)
            job = EncoderJob(people, groups, binary, s, own, *given)
            rests_on = ("encoders", made_by, list(binary.items()), *seen, part, own, *refined)
            card = {"settings": dump, "member": member, "part": part}
            yield _item(encoder_name(fold, member, part), job, *rests_on, **card)


def domains_of(grid: Grid) -> dict[str, tuple[str, ...]]:
    """Name the targets of each domain that has any."""
    of = {domain: tuple(grid.targets_of(domain)) for domain in grid.domains}
    return {domain: targets for domain, targets in of.items() if targets}


def cell_items(work: Work, encoders: ModelFolder, kernels: ModelFolder) -> Iterator[WorkItem]:
    """List the targets of every fold, each with all its cells, for `fit_cells_of_target`."""
    s, grid = work.settings, work.grid
    hashes = checked(encoders, work.people, s.encoders) | checked(kernels, work.people, s.kernels)
    if not work.does(LINEAR):
        return
    groups, amortised = tuple(grid.imaging), work.does(AMORTISED)
    # Networks of single cells are elsewhere.
    strategies = [name for name in (LINEAR, KERNELS, AMORTISED) if work.does(name)]
    names = {"cross_fits", *(["heads", "average", "ladder"] if amortised else [])}
    chosen = s.model_dump(mode="json", include=names)
    sets = dict.fromkeys(cell.inputs.groups for cell in grid.cells)
    homes = (encoders.path.resolve(), kernels.path.resolve())
    for fold, people in work.people.items():
        networks = [
            {p: encoder_name(fold, m, p) for p in range(s.encoders.cross_fits)}
            for m in range(s.encoders.seeds if amortised else 0)
        ]
        of_sets = {joined(g): kernel_name(fold, g) for g in sets}
        rests_on = [*(name for each in networks for name in each.values()), *of_sets.values()]
        made = [hashes.get(name, "") for name in rests_on]
        known, alike = people_fingerprint(people), []
        if amortised and s.harmonise.by != "none":
            alike = [s.harmonise, scanners_of(people, s.harmonise)]
        of_networks = [
            {p: homes[0] / name for p, name in each.items() if name in hashes} for each in networks
        ]
        of_kernels = {k: homes[1] / name for k, name in of_sets.items() if name in hashes}
        for target, cells in cells_by_target(grid).items():
            kind = grid.targets[target].kind
            job = TargetJob(target, kind, cells, groups, people, of_networks, of_kernels, s)
            of_target = (kind, _of_cells(cells), groups, strategies, chosen, known, made, *alike)
            yield _item(f"fold{fold}-{target}", job, "cells", *of_target, target=target)


def cells_by_target(grid: Grid) -> dict[str, tuple[Cell, ...]]:
    """Group the cells of a grid, in its order."""
    return {t: tuple(c for c in grid.cells if c.target == t) for t in grid.targets}


def dedicated_items(work: Work) -> Iterator[WorkItem]:
    """List the cells that have a network of their own, in every fold, for `train_dedicated`."""
    if not work.does(DEDICATED):
        return
    s = work.settings.dedicated
    number = {cell: k for k, cell in enumerate(work.grid.cells)}
    check_origins(work.people, s.network, "modelling.dedicated")
    dump = known_by(s, {"seeds", "cache_gb", "cells"})
    for fold, people in work.people.items():
        scans = work.scans.read_as(s.network.pooling, work.settings, people, tangent=False)
        known = (scans.fingerprint, people_fingerprint(people))
        for cell in drawn_cells(work.grid, s.cells):
            mine = {g: scans.groups[g] for g in cell.inputs.groups}
            binary, k = {cell.target: work.binary[cell.target]}, number[cell]
            named = {"target": cell.target, "inputs": cell.inputs.name}
            for member in range(s.seeds):
                own = seed_of(work.seed, fold, member, k)
                job = DedicatedJob(people, mine, binary, s, own, work.compute.device, cell, member)
                rests_on = (DEDICATED, dump, named, list(binary.items()), _seen(mine), *known, own)
                card = {"settings": dump, "member": member, "cell": named}
                yield _item(f"fold{fold}-cell{k}-seed{member}", job, *rests_on, **card)


def checked(models: ModelFolder, folds: Folds, settings: BaseModel | None = None) -> dict[str, str]:
    """Give the hashes of models of these folds that did not fail, by name.

    Raises
    ------
    InputError
        If a model is of other people than its fold's, or of other settings where they are given.
    """
    every = models.cards()
    cards = {name: card for name, card in every.items() if card["fold"] in folds}
    for name, card in cards.items():
        check_fitted_on(card["training_people"], folds[card["fold"]].fingerprint, name)
        if settings is not None:
            check_settings(card, settings, f"model {name}")
    return {name: card["hash"] for name, card in cards.items() if card["status"] == "ok"}


def known_by(settings: BaseModel, less: set[str] | None = None) -> dict[str, Any]:
    """Give settings as JSON, but for some; files of weights by what they hold, not where they lie.

    So a file that was replaced counts as another, and one that was moved does not.
    """
    dump = settings.model_dump(mode="json", exclude=less)
    if isinstance(settings, Networks):
        files = dump["network"].pop("start")
        hashes = {name: digest(path, f"network.start.{name}") for name, path in files.items()}
        dump["network"] |= {"start": hashes} if hashes else {}
    return dump


def check_origins(folds: Folds, network: Network, what: str) -> None:
    """Refuse to start from encoders that learnt from this cohort's own people.

    They would have seen people who are left out in another fold or part.

    Raises
    ------
    InputError
        With the file.
    """
    of = {people.fingerprint: fold for fold, people in folds.items()}
    for name, path in network.start.items():
        setting = f"{what}.network.start.{name}"
        fold = of.get(read_header(path, setting).metadata.get(LEARNT_FROM, ""))
        if fold is not None:
            raise InputError(
                f"{setting} names {path}, an encoder that learnt from the training people of fold "
                f"{fold} of this very cohort: it has seen people whom other folds and parts leave "
                "out. Start from weights of other people, or take the setting out."
            )


def check_settings(card: Mapping[str, Any], settings: BaseModel, what: str) -> None:
    """Refuse a model that was made with other settings, such as those of another preset.

    Raises
    ------
    InputError
        With the names of settings that differ.
    """
    there, asked = card.get("settings", {}), known_by(settings)
    differ = sorted(name for name in there if asked.get(name) != there[name])
    if differ:
        raise InputError(
            f"{what} was made with other settings than this run's ({', '.join(differ)}): repeat "
            "the --params of the run that made it, or run `kedro run` in full."
        )


def check_any_fitted(cell_fits: pd.DataFrame, having: Mapping[str, int]) -> None:
    """Refuse to go on where no cell at all could be fitted.

    Raises
    ------
    InputError
        With the first reasons, and how many training people ``having`` counts by imaging group.
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
