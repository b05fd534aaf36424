"""The work items of a run of invented people: all to be counted, and some of them to be done."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from ukb_brain.cluster import Compute
from ukb_brain.ledger import WorkItem
from ukb_brain.ledger.artifact import Card, Model, ModelFolder
from ukb_brain.ledger.attempts import Attempts
from ukb_brain.planning.case import Case
from ukb_brain.planning.invented import random_people, scans_in, write_scans
from ukb_brain.training import items
from ukb_brain.training.dedicated import train_dedicated
from ukb_brain.training.encode import EncoderJob, train_encoders
from ukb_brain.training.gram import GramJob, gram_of_group, landmarks_of
from ukb_brain.training.items import Work
from ukb_brain.training.kernels import fit_kernels
from ukb_brain.training.learners import KernelsJob
from ukb_brain.training.network import NetworkJob
from ukb_brain.training.people import Mask, People
from ukb_brain.training.scans import Scans
from ukb_brain.training.target import fit_cells_of_target
from ukb_brain.training.vectors import BLOCK, steps_of_group, vectors_of_block

Terms = tuple[float, ...]
NETWORKS = ("encoders", "dedicated")


class Kind(NamedTuple):
    """A kind of work item.

    Attributes
    ----------
    function : callable
        Does the work of a payload.
    alike : callable
        Payloads for which it gives the same take about as long with as many people.
    terms : callable
        What seconds of a payload are a sum of: one, numbers of people, of pairs, of triples; of a
        network one, people, and people who pass through it in all epochs.
    sizes : int
        So many of the terms are what a model on disk is a sum of.
    """

    function: Callable[[Any, Path], Model]
    alike: Callable[[Any], Hashable]
    terms: Callable[[Any], Terms]
    sizes: int = 2


def fitted_on(job: NetworkJob) -> int:
    """Count the people that a network is trained on."""
    return int(job.fitted.sum())


def epochs_of(job: NetworkJob) -> int:
    """Count the epochs that a network is trained for at most, before and after targets too."""
    shared = job.settings.loop.epochs_for(fitted_on(job))
    if not isinstance(job, EncoderJob):
        return shared
    s = job.settings
    return s.pretrain.epochs + shared + len(job.domains) * s.refine.epochs * bool(s.refine.rank)


def _of_pairs(job: GramJob | KernelsJob, has: Mask) -> Terms:
    n, m = float(has.sum()), float(len(landmarks_of(job.people, has, job.settings)))
    return 1.0, n, n * m, n * m * m


def _of_network(job: NetworkJob) -> Terms:
    fitted = fitted_on(job)
    batch = min(job.settings.loop.batch_size, fitted)
    # A step goes forward and twice as far back, and validation people forward only.
    passed = fitted // batch * batch + (job.people.part == "validation").sum() / 3
    return 1.0, float(len(job.people.eid)), epochs_of(job) * float(passed)


KINDS = {
    "steps": Kind(
        steps_of_group, lambda job: job.group, lambda job: (1.0, float(job.people.train.sum()))
    ),
    "vectors": Kind(
        vectors_of_block,
        lambda job: job.group,
        lambda job: (1.0, float(min(BLOCK, job.people.has[job.group].sum() - job.block * BLOCK))),
    ),
    "grams": Kind(
        gram_of_group,
        lambda job: job.group,
        lambda job: _of_pairs(job, job.people.has[job.group])[:3],
        3,
    ),
    "kernels": Kind(
        fit_kernels,
        lambda job: (job.strategies, len(job.groups)),
        lambda job: _of_pairs(job, job.people.having(job.groups)),
        3,
    ),
    "encoders": Kind(train_encoders, lambda job: tuple(job.scans), _of_network),
    "cells": Kind(
        fit_cells_of_target,
        lambda job: (job.settings.strategies, len(job.cells), job.kind),
        lambda job: (1.0, float(len(job.y))),
    ),
    "dedicated": Kind(train_dedicated, lambda job: job.cell.inputs.groups, _of_network),
}


class Run(NamedTuple):
    """What one item took: its card, and bytes of its model; and what it was done with."""

    case: Case
    payload: Any
    card: Card
    disk: int


@dataclass(frozen=True)
class Rehearsal:
    """A run of invented people, with its stores and models in a folder."""

    case: Case
    device: str
    folder: Path

    @cached_property
    def folds(self) -> dict[int, People]:
        """Everybody, by fold."""
        people = random_people(self.case.parts, self.case.grid)
        return {fold: replace(people, fold=fold) for fold in range(self.case.parts.folds)}

    def write(self, groups: Iterable[str]) -> None:
        """Write everybody's scans of some groups where they are not there yet."""
        scans, shapes = self._scans().groups, self.case.shapes()
        for group in groups:
            write_scans(scans[group], shapes[group], self.folds[0])

    def _scans(self) -> Scans:
        return scans_in(self.folder, self.case.grid, self.case.numbers)

    def items(self, kind: str) -> list[WorkItem]:
        """Build all items of a kind, as modelling does; what they rest on is taken to be there.

        Scans are read from the stores rather than from vectors that were made: about as fast.
        """

        def done(kind: str) -> ModelFolder:
            cards = {
                item.name: {**item.card, "status": "ok", "hash": item.fingerprint}
                for item in self.items(kind)
            }
            return cast(ModelFolder, SimpleNamespace(path=self.folder / kind, cards=lambda: cards))

        compute = Compute(device=cast(Any, self.device))
        scans = self._scans()
        work = Work(self.folder, self.folds, scans, self.case.grid, self.case.modelling, compute, 0)
        plain = self.case.modelling.model_copy(update={"connectivity": "correlation"})
        as_stored = replace(work, settings=plain)
        nothing = cast(ModelFolder, SimpleNamespace(cards=dict))
        builders = {
            "steps": lambda: items.step_items(work),
            "vectors": lambda: items.vector_items(work, done("steps")),
            "grams": lambda: items.gram_items(as_stored, nothing),
            "kernels": lambda: items.kernel_items(work, done("grams")),
            "encoders": lambda: items.encoder_items(as_stored, nothing),
            "cells": lambda: items.cell_items(work, done("encoders"), done("kernels")),
            "dedicated": lambda: items.dedicated_items(work),
        }
        return list(builders[kind]())

    def do(self, kind: str, item: WorkItem) -> Run:
        """Do one item; `RuntimeError` if it fails."""
        models = self.folder / kind
        card = Attempts(KINDS[kind].function, models, self.device, 1, "plan")(item)
        of_cells = [row["status"] for row in card.get("cells", ())] or ["ok"]
        reason = card["reason"] or card.get("diverged") or ("" if "ok" in of_cells else of_cells[0])
        if reason:
            raise RuntimeError(f"{kind} of invented people failed: {reason}")
        disk = sum(path.stat().st_size for path in (models / item.name).iterdir())
        return Run(self.case, item.payload, card, disk)
