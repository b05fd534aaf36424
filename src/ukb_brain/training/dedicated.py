"""The study's way: one network for each cell, trained from scratch on that cell alone."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ukb_brain.cluster import pick_device
from ukb_brain.cluster.progress import told_by_epoch, told_of_failure
from ukb_brain.grid import Cell, Grid, Kind
from ukb_brain.ledger.artifact import Model
from ukb_brain.networks.fusion import FusedNetwork
from ukb_brain.training.calibrate import calibrate
from ukb_brain.training.cells import why_not
from ukb_brain.training.encode import build_encoders, cost_card, training_card
from ukb_brain.training.inputs import Inputs
from ukb_brain.training.loop import train
from ukb_brain.training.people import Floats, Mask, People
from ukb_brain.training.results import Result, results_as_model
from ukb_brain.training.scans import GroupScans
from ukb_brain.training.settings import Dedicated
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.trainer import Trainer

DEDICATED = "dedicated"


@dataclass(frozen=True)
class DedicatedJob:
    """What a worker needs to train one cell.

    Attributes
    ----------
    cell : Cell
        Of the grid.
    kind : {"binary", "continuous"}
        Of its target.
    people : People
        Of the fold.
    scans : dict of str to GroupScans
        Of the cell's own imaging groups: those of no other reach the network.
    settings : Dedicated
        Network and training.
    member : int
        Of the ensemble.
    seed : int
        Of this network.
    device : str
        Where it is trained.
    """

    cell: Cell
    kind: Kind
    people: People
    scans: Mapping[str, GroupScans]
    settings: Dedicated
    member: int
    seed: int
    device: str


def drawn_cells(grid: Grid, number: int) -> tuple[Cell, ...]:
    """Draw cells by a fixed rule that spreads them over domains, targets and imaging groups.

    Parameters
    ----------
    grid : Grid
        Its cells.
    number : int
        How many; 0 is all.

    Returns
    -------
    tuple of Cell
        In the order of the grid. Domains take turns; each takes the cell whose target, then whose
        set of imaging groups, was drawn least, ties broken by a hash of the cell's name.
    """
    if not number:
        return grid.cells
    left = {d: [c for c in grid.cells if grid.targets[c.target].domain == d] for d in grid.domains}
    seen: Counter[object] = Counter()
    chosen: set[Cell] = set()
    while len(chosen) < min(number, len(grid.cells)):
        for cells in left.values():
            if not cells or len(chosen) == number:
                continue

            def order(cell: Cell) -> tuple[int, int, str]:
                name = f"{cell.target}|{cell.inputs.name}".encode()
                groups = seen[cell.inputs.groups]
                return seen[cell.target], groups, hashlib.sha256(name).hexdigest()

            best = min(cells, key=order)
            cells.remove(best)
            chosen.add(best)
            seen.update([best.target, best.inputs.groups])
    return tuple(cell for cell in grid.cells if cell in chosen)


def train_dedicated(job: DedicatedJob, folder: Path) -> Model:
    """Train one cell's network, and predict who was not in its training.

    Parameters
    ----------
    job : DedicatedJob
        Cell, people, scans, settings.
    folder : Path
        Of its state; a training that was killed goes on from there.

    Returns
    -------
    Model
        As `results_as_model`, with the network's weights. Scores are calibrated on validation
        people, the only ones beside test people whom the network has not seen.
    """
    started = time.perf_counter()
    usable = job.people.usable(job.cell)
    fitted, held = usable & job.people.train, usable & (job.people.part == "validation")
    y = job.people.targets[job.cell.target]
    status = _status(y, fitted, held, job.kind)
    if status != "ok":
        result = Result(job.cell, DEDICATED, job.member, status)
        return results_as_model([result], job.people, job.kind, {}, {"curves": {}})
    device = pick_device(job.device)
    data = Inputs(
        job.people, job.scans, job.cell.inputs.blocks, usable, job.settings.cache_gb, masked=False
    )
    torch.manual_seed(job.seed)
    encoders = build_encoders(job.settings.network, data.shapes)
    chosen = job.settings.network
    network = FusedNetwork(encoders, 1, chosen.head, chosen.embedding, chosen.dropout)
    tasks = Tasks(
        {job.cell.target: y}, {job.cell.target: job.kind == "binary"}, fitted, job.settings.loop
    )
    cost = cost_card(network, data.shapes)
    trainer = Trainer(network, data, tasks, job.settings.loop, device, job.seed)
    what = f"Network of {job.cell.target}, {job.cell.inputs.name}"
    tell = told_by_epoch(what, job.settings.loop.epochs_for(int(fitted.sum())))
    trained = train(trainer, np.flatnonzero(fitted), np.flatnonzero(held), folder, tell)
    card = training_card(trained, trainer, cost, int(fitted.sum()))
    if trained.reason:
        told_of_failure(what, trained.reason)
        result = Result(job.cell, DEDICATED, job.member, trained.reason)
        return results_as_model([result], job.people, job.kind, {}, card)
    network.load_state_dict(trained.state)
    scores = _scores(trainer, np.flatnonzero(usable & ~job.people.train), len(y))
    predicted = calibrate(scores, y, held, job.kind)
    notes = {
        "seconds": time.perf_counter() - started,
        "device": str(device),
        "flops": card["flops"],
    }
    arrays = {f"weights/{k}": v.cpu().numpy().copy() for k, v in trained.state.items()}
    result = Result(job.cell, DEDICATED, job.member, "ok", predicted, notes)
    return results_as_model([result], job.people, job.kind, arrays, card)


def _status(y: Floats, fitted: Mask, held: Mask, kind: Kind) -> str:
    for rows, where in ((fitted, "training"), (held, "validation")):
        # Any two parts: nothing is cross-fitted here.
        status = why_not(y[rows], kind, np.arange(rows.sum()))
        if status != "ok":
            return status.replace("training", where)
    return "ok"


@torch.no_grad()
def _scores(trainer: Trainer, rows: NDArray[np.int64], n: int) -> Floats:
    trainer.network.eval()
    scores = np.full(n, np.nan)
    for start in range(0, len(rows), trainer.settings.batch_size):
        some = rows[start : start + trainer.settings.batch_size]
        scores[some] = trainer.forward(trainer.data.read(some, None))[:, 0].cpu().numpy()
    return scores
