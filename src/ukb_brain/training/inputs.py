"""What a network is fed: scans and traits of some people, and which of them it may use."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from ukb_brain import grid
from ukb_brain.training.people import People
from ukb_brain.training.scans import GroupScans
from ukb_brain.training.trainer import MASK, Rows, Tensors

# Scans are held in half precision; one absurd connectivity must not become infinite in it.
LARGEST_HALF = torch.finfo(torch.float16).max
TRAITS = "traits"
# People whose scans are read at a time.
READ = 32


def subsets(groups: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """List all non-empty sets of imaging groups, small sets first."""
    return tuple(grid.subsets(groups)[1:])


class NetworkData:
    """What one network is fed, by row of `People`.

    Parameters
    ----------
    people : People
        Of the fold.
    scans : dict of str to GroupScans
        By imaging group that the network sees.
    blocks : tuple of str
        Domains whose traits it sees; may be none.
    rows : ndarray of shape (n,)
        True for people who may ever be asked for; nobody else's scans are kept.
    cache_gb : float
        Scans are kept in memory if they take no more than this, and read anew otherwise.
    masked : bool
        Whether training hides a random set of imaging groups of each person.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        Of one person's inputs, by name.
    """

    def __init__(
        self,
        people: People,
        scans: Mapping[str, GroupScans],
        blocks: tuple[str, ...],
        rows: NDArray[np.bool_],
        cache_gb: float,
        masked: bool,
    ) -> None:
        self.people, self.masked = people, masked
        self.groups = tuple(scans)
        self.scans = {
            group: some.fitted(people.keys(people.has[group] & people.train))
            for group, some in scans.items()
        }
        self.shapes: dict[str, tuple[int, ...]] = {
            group: some.read(people.keys(np.flatnonzero(people.has[group])[:1])).shape[1:]
            for group, some in self.scans.items()
        }
        traits = [people.blocks[domain] for domain in blocks]
        self.traits = torch.from_numpy(np.hstack(traits)).float() if traits else None
        if self.traits is not None:
            self.shapes[TRAITS] = (self.traits.shape[1],)
        self.choices = np.array([[g in some for g in self.groups] for some in subsets(self.groups)])
        present = [people.has[g] for g in self.groups]
        self.present = np.array(present, dtype=bool).reshape(len(present), len(people.eid)).T
        sizes = [int(rows.sum()) * int(np.prod(self.shapes[g])) * 2 for g in self.groups]
        self.place = np.cumsum(rows) - 1
        self.kept: Tensors = {}
        if sum(sizes) <= cache_gb * 1e9:
            self.kept = {g: self._read(g, np.flatnonzero(rows)) for g in self.groups}

    def _read(self, group: str, rows: Rows) -> torch.Tensor:
        held = torch.zeros(len(rows), *self.shapes[group], dtype=torch.float16)
        there = np.flatnonzero(self.people.has[group][rows])
        for start in range(0, len(there), READ):
            some = there[start : start + READ]
            scans = torch.from_numpy(self.scans[group].read(self.people.keys(rows[some])))
            held[some] = scans.clamp(-LARGEST_HALF, LARGEST_HALF).half()
        return held

    def read(self, rows: Rows, rng: np.random.Generator | None) -> Tensors:
        """Read some people's inputs, in training with the random generator of the epoch.

        Returns
        -------
        dict of str to torch.Tensor
            Scans by imaging group (zeros for a group that a person lacks), ``traits`` of shape
            (n, columns), and ``used`` of shape (n, inputs): 1 where an input may be used.
        """
        if self.kept:
            inputs = {g: held[self.place[rows]] for g, held in self.kept.items()}
        else:
            inputs = {g: self._read(g, rows) for g in self.groups}
        used = self.present[rows]
        if self.masked and rng is not None:
            used = used & self.choices[rng.integers(0, len(self.choices), len(rows))]
        if self.traits is not None:
            inputs[TRAITS] = self.traits[rows]
            used = np.column_stack([used, np.ones(len(rows), dtype=bool)])
        return inputs | {MASK: torch.from_numpy(used).float()}
