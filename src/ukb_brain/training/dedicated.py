"""The study's way: one network for each cell, trained from scratch on that cell alone."""

import hashlib
import time
from collections import Counter
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ukb_brain.cluster import pick_device
from ukb_brain.grid import Cell, Grid, Kind
from ukb_brain.ledger.artifact import Card, Model
from ukb_brain.training.calibrate import calibrate
from ukb_brain.training.cells import why_not
from ukb_brain.training.inputs import NetworkData
from ukb_brain.training.network import NetworkJob, fit_network
from ukb_brain.training.people import Floats, Mask
from ukb_brain.training.results import Result, results_as_model
from ukb_brain.training.settings import DEDICATED
from ukb_brain.training.trainer import Trainer


@dataclass(frozen=True)
class DedicatedJob(NetworkJob):
    """What a worker needs to train the network of one cell."""

    cell: Cell
    member: int

    @property
    def kind(self) -> Kind:
        """Kind of the cell's target."""
        return "binary" if self.binary[self.cell.target] else "continuous"

    @property
    def head(self) -> str:
        """As settings say."""
        return self.settings.network.head

    @property
    def usable(self) -> Mask:
        """People who have the target and all imaging groups."""
        return self.people.usable(self.cell)

    @property
    def fitted(self) -> Mask:
        """Training people."""
        return self.usable & self.people.train

    @property
    def data(self) -> NetworkData:
        """Scans and traits of the cell; nothing is hidden."""
        given = (self.people, self.scans, self.cell.inputs.blocks, self.usable)
        gb, device = self.settings.cache_gb, pick_device(self.device)
        return NetworkData(*given, gb, masked=False, device=device)


def drawn_cells(grid: Grid, number: int) -> tuple[Cell, ...]:
    """Draw cells by a fixed rule that spreads them over domains, targets and imaging groups.

    Returns
    -------
    tuple of Cell
        So many, or all for 0, in the order of the grid. Domains take turns; each takes the cell
        whose target, then whose set of imaging groups, was drawn least, ties broken by a hash of
        the cell's name.
    """
    if not number:
        return grid.cells
    left = {d: [c for c in grid.cells if grid.targets[c.target].domain == d] for d in grid.domains}
    seen: Counter[object] = Counter()
    chosen: set[Cell] = set()

    def order(cell: Cell) -> tuple[int, int, str]:
        name = f"{cell.target}|{cell.inputs.name}".encode()
        return seen[cell.target], seen[cell.inputs.groups], hashlib.sha256(name).hexdigest()

    for cells in cycle(left.values()):
        if len(chosen) == min(number, len(grid.cells)):
            break
        if cells:
            best = min(cells, key=order)
            cells.remove(best)
            chosen.add(best)
            seen.update([best.target, best.inputs.groups])
    return tuple(cell for cell in grid.cells if cell in chosen)


def train_dedicated(job: DedicatedJob, folder: Path) -> Model:
    """Train one cell's network, and predict who was not in its training.

    A training that was killed goes on from the state in ``folder``.

    Returns
    -------
    Model
        As `results_as_model`, with the network's weights. Scores are calibrated on validation
        people, the only ones beside test people whom the network has not seen.
    """
    started = time.perf_counter()
    cell, kind, fitted = job.cell, job.kind, job.fitted
    y, held = job.people.targets[cell.target], job.usable & (job.people.part == "validation")

    def result(status: str, card: Card, **given: Any) -> Model:
        arrays = given.pop("weights", {})
        found = Result(cell, DEDICATED, job.member, status, **given)
        return results_as_model([found], job.people, kind, arrays, card)

    for rows, where in ((fitted, "training"), (held, "validation")):
        # Any two parts: nothing is cross-fitted here.
        status = why_not(y[rows], kind, np.arange(rows.sum()))
        if status != "ok":
            return result(status.replace("training", where), {"curves": {}})
    found = fit_network(job, folder, what=f"Network of {cell.target}, {cell.inputs.name}")
    if found.trained.reason:
        return result(found.trained.reason, found.card)
    scores = _scores(found.trainer, np.flatnonzero(job.usable & ~job.people.train), len(y))
    notes = {
        "seconds": time.perf_counter() - started,
        "device": str(found.trainer.device),
        "flops": found.card["flops"],
    }
    predicted = calibrate(scores, y, held, kind)
    return result("ok", found.card, predicted=predicted, notes=notes, weights=found.weights)


@torch.no_grad()
def _scores(trainer: Trainer, rows: NDArray[np.int64], n: int) -> Floats:
    trainer.network.eval()
    scores = np.full(n, np.nan)
    for inputs, some in trainer.batches(rows):
        scores[some] = trainer.predict(inputs)[:, 0].cpu().numpy()
    return scores
