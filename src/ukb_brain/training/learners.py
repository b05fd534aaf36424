"""Who kernels learn from, what of them, and how they are left out."""

from collections.abc import Iterable, Iterator, Mapping
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
    grams : dict of str to Path
        Models of `ukb_brain.training.gram.gram_of_group`; one that failed is absent.
    cross_fits : int
        Parts of training families that logistic regressions leave out in turn; validation people
        are one more.
    strategies : tuple of str
        ``linear``, and ``kernels`` where those that are not linear may join.
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
    y, known : dict of str to torch.Tensor of shape (n_learnt,)
        By target, standardised by training people and 0 where it is not known.
    status : dict of str to str
        By target.
    """

    def __init__(self, job: KernelsJob) -> None:
        self.job, people = job, job.people
        self.rows = np.flatnonzero(people.having(job.groups))
        mine = learnt_from(people)[self.rows]
        device = pick_device(job.device)
        self.device = torch.device("cpu") if device.type == "mps" else device
        self.learnt = self._put(np.flatnonzero(mine))
        shared = mine.copy()
        for path in job.grams.values():
            shared &= np.isin(self.rows, read_model(path, keys=("columns",)).arrays["columns"])
        self.landmarks = self._put(np.flatnonzero(shared))
        learnt = self.rows[mine]
        parts = people.cross_fits(job.cross_fits)[learnt]
        parts = np.where(parts < 0, job.cross_fits, parts)
        self.families = [some.to(self.device) for some in groups_of(people.family[learnt])]
        self.parts = [self._put(np.flatnonzero(parts == part)) for part in np.unique(parts)]
        self.y: dict[str, torch.Tensor] = {}
        self.known: dict[str, torch.Tensor] = {}
        self.status: dict[str, str] = {}
        for target in job.targets:
            y, kind = people.targets[target][learnt], job.kinds[target]
            known = np.isfinite(y)
            training = known & people.train[learnt]
            self.status[target] = why_not(y[training], kind, parts[training])
            if self.status[target] != "ok":
                continue
            # One inverse serves all targets, so that classes are not weighted.
            centre, spread = KINDS[kind].centre_and_spread(y[training])
            self.y[target] = self._put(np.where(known, (y - centre) / spread, 0.0))
            self.known[target] = self._put(known)

    def _put(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    @property
    def exact(self) -> bool:
        """Whether kernels are with everybody who is learnt from."""
        return len(self.landmarks) == len(self.learnt)

    @property
    def told(self) -> dict[str, Floats]:
        """What the table says of traits that may modify effects of images, standardised."""
        blocks = self.job.people.blocks
        return {t: blocks[block][self.rows, k] for t, (block, k) in self.job.told.items()}

    def alike(
        self, targets: Iterable[str]
    ) -> Iterator[tuple[list[str], torch.Tensor, torch.Tensor]]:
        """Group targets that the same people know and that share a fit, with y side by side."""
        found: dict[bytes, list[str]] = {}
        for target in targets:
            found.setdefault(self.known[target].cpu().numpy().tobytes(), []).append(target)
        for some in found.values():
            yield some, torch.stack([self.y[t] for t in some], 1), self.known[some[0]]
