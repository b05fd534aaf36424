"""Who kernels learn from, what of them, and how they are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ukb_brain.cluster import pick_device
from ukb_brain.grid import Cell, Kind
from ukb_brain.ledger.artifact import read_model
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.training.cells import why_not
from ukb_brain.training.gram import learnt_from
from ukb_brain.training.kernel_ridge import groups_of
from ukb_brain.training.people import Floats, People
from ukb_brain.training.settings import Kernels

# Traits by which effects of images may differ, as they are read from the same images.
MODIFIERS = ("sex", "age")


@dataclass(frozen=True)
class KernelsJob:
    """What a worker needs for all cells of one set of imaging groups.

    Attributes
    ----------
    groups : tuple of str
        In the order of the grid; empty for cells of traits alone.
    cells : tuple of Cell
        All cells with these groups.
    kinds : dict of str to {"binary", "continuous"}
        Of every target.
    people : People
        Of the fold.
    grams : dict of str to Path
        Models of `ukb_brain.training.gram.gram_of_group`; one that failed is absent.
    cross_fits : int
        Parts of training families that logistic regressions leave out in turn; validation people
        are one more.
    strategies : tuple of str
        ``linear``, and ``kernels`` where those that are not linear may join.
    settings : Kernels
        Choices.
    told : dict of str to (str, int)
        Of each trait that may modify effects of images, block and column with what the table says.
    device : str
        Where matrices are inverted, in double precision: the CPU in place of MPS, which has none.
    """

    groups: tuple[str, ...]
    cells: tuple[Cell, ...]
    kinds: Mapping[str, Kind]
    people: People
    grams: Mapping[str, Path]
    cross_fits: int
    strategies: tuple[str, ...]
    settings: Kernels
    told: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    device: str = "cpu"

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets of the cells, and those that may modify effects of images."""
        wanted = dict.fromkeys(cell.target for cell in self.cells)
        return (*wanted, *(m for m in MODIFIERS if m in self.kinds and m not in wanted))


class Learners:
    """People that kernels learn from, their targets, and who is left out together.

    Parameters
    ----------
    job : KernelsJob
        People and targets.

    Attributes
    ----------
    rows : ndarray of shape (n_has,)
        Everybody who has all groups.
    learnt : torch.Tensor of shape (n_learnt,)
        Places among these of those whose labels are used.
    landmarks : torch.Tensor of shape (m,)
        Places of those whom kernels are with: all who are learnt from, or some of many.
    families : list of torch.Tensor
        Places among those of families, from `ukb_brain.training.kernel_ridge.groups_of`.
    parts : list of torch.Tensor
        Places of parts of families, for fits without closed form; validation people are one.
    y, weights : dict of str to torch.Tensor of shape (n_learnt,)
        By target, standardised by training people; weights are 0 for whoever is not known.
    status : dict of str to str
        By target.
    """

    def __init__(self, job: KernelsJob) -> None:
        self.job, people = job, job.people
        has = people.having(job.groups)
        self.rows = np.flatnonzero(has)
        mine = learnt_from(people)[self.rows]
        device = pick_device(job.device)
        self.device = torch.device("cpu") if device.type == "mps" else device
        self.learnt = torch.from_numpy(np.flatnonzero(mine)).to(self.device)
        shared = mine.copy()
        for path in job.grams.values():
            shared &= np.isin(self.rows, read_model(path, keys=("columns",)).arrays["columns"])
        self.landmarks = torch.from_numpy(np.flatnonzero(shared)).to(self.device)
        parts = people.cross_fits(job.cross_fits)
        parts = np.where(parts < 0, job.cross_fits, parts)[self.rows][mine]
        family = people.family[self.rows][mine]
        self.families = [some.to(self.device) for some in groups_of(family)]
        places = [np.flatnonzero(parts == part) for part in np.unique(parts)]
        self.parts = [torch.from_numpy(some).to(self.device) for some in places]
        train = people.train[self.rows][mine]
        self.y: dict[str, torch.Tensor] = {}
        self.weights: dict[str, torch.Tensor] = {}
        self.status: dict[str, str] = {}
        for target in job.targets:
            y = people.targets[target][self.rows][mine]
            known = np.isfinite(y)
            kind, training = job.kinds[target], y[known & train]
            self.status[target] = why_not(training, kind, parts[known & train])
            if self.status[target] != "ok":
                continue
            centre, spread = KINDS[kind].centre_and_spread(training)
            # One inverse serves all targets, so that classes are not weighted.
            weights = known.astype(np.float64)
            standard = np.where(known, (y - centre) / spread, 0.0)
            self.y[target] = torch.from_numpy(standard).to(self.device)
            self.weights[target] = torch.from_numpy(weights).to(self.device)

    @property
    def exact(self) -> bool:
        """Whether kernels are with everybody who is learnt from."""
        return len(self.landmarks) == len(self.learnt)

    @property
    def told(self) -> dict[str, Floats]:
        """What the table says of traits that may modify effects of images, standardised."""
        blocks = self.job.people.blocks
        return {t: blocks[block][self.rows, k] for t, (block, k) in self.job.told.items()}

    def alike(self, targets: list[str]) -> Iterator[tuple[list[str], torch.Tensor]]:
        """Group targets that the same people know: they share a fit."""
        found: dict[bytes, list[str]] = {}
        for target in targets:
            found.setdefault((self.weights[target] > 0).cpu().numpy().tobytes(), []).append(target)
        for some in found.values():
            yield some, self.weights[some[0]] > 0

    def of(self, targets: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets and weights, side by side."""
        return (
            torch.stack([self.y[t] for t in targets], 1),
            torch.stack([self.weights[t] for t in targets], 1),
        )
