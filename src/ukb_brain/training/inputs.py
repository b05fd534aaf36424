"""What a network is fed: scans and traits of some people, and which of them it may use."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from ukb_brain import grid
from ukb_brain.training.feed import CodedVolumes, StoredVolumes, in_half
from ukb_brain.training.people import People
from ukb_brain.training.scans import GroupScans
from ukb_brain.training.trainer import MASK, Inputs, Rows, Tensors

TRAITS = "traits"
CPU = torch.device("cpu")
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
        What costs to make, vectors and pooled volumes, is kept in half precision if it takes no
        more than this, and made anew otherwise.
    masked : bool
        Whether training hides a random set of imaging groups of each person.
    device : torch.device
        Where the network is. Volumes are pooled there, and what is read is ready for its copy.

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
        device: torch.device = CPU,
    ) -> None:
        self.device, self.pinned = device, device.type == "cuda"
        self.people, self.masked = people, masked
        self.groups = tuple(scans)
        self.scans = {
            group: some.fitted(people.keys(people.has[group] & people.train))
            for group, some in scans.items()
        }
        keys = np.stack([people.eid, people.instance], axis=1)
        self.volumes = {
            group: StoredVolumes(
                some.volumes, some.modalities, keys, people.has[group], some.pooling, self.pinned
            )
            for group, some in self.scans.items()
            if some.is_volume
        }
        self.shapes: dict[str, tuple[int, ...]] = {
            group: self.volumes[group].pooled_shape
            if group in self.volumes
            else some.read(people.keys(np.flatnonzero(people.has[group])[:1])).shape[1:]
            for group, some in self.scans.items()
        }
        traits = [people.blocks[domain] for domain in blocks]
        self.traits = torch.from_numpy(np.hstack(traits)).float() if traits else None
        if self.traits is not None:
            self.shapes[TRAITS] = (self.traits.shape[1],)
        self.choices = np.array([[g in some for g in self.groups] for some in subsets(self.groups)])
        present = [people.has[g] for g in self.groups]
        self.present = np.array(present, dtype=bool).reshape(len(present), len(people.eid)).T
        made = [g for g in self.groups if g not in self.volumes or self.volumes[g].pooling > 1]
        sizes = [int(rows.sum()) * int(np.prod(self.shapes[g])) * 2 for g in made]
        self.place = np.cumsum(rows) - 1
        self.kept: Tensors = {}
        if sum(sizes) <= cache_gb * 1e9:
            self.kept = {g: self._kept(g, np.flatnonzero(rows)) for g in made}

    def _kept(self, group: str, rows: Rows) -> torch.Tensor:
        held = torch.empty(len(rows), *self.shapes[group], dtype=torch.float16)
        for start in range(0, len(rows), READ):
            some = self._read(group, rows[start : start + READ])
            some = some.values(self.device) if isinstance(some, CodedVolumes) else some
            held[start : start + READ] = some
        return held

    def _read(self, group: str, rows: Rows) -> torch.Tensor | CodedVolumes:
        if group in self.volumes:
            return self.volumes[group][rows]
        held = self._empty(len(rows), group)
        there = np.flatnonzero(self.people.has[group][rows])
        held[~torch.from_numpy(self.people.has[group][rows])] = 0
        if len(there):
            scans = self.scans[group].read(self.people.keys(rows[there]))
            held[there] = in_half(torch.from_numpy(scans))
        return held

    def _empty(self, people: int, group: str) -> torch.Tensor:
        shape = (people, *self.shapes[group])
        return torch.empty(shape, dtype=torch.float16, pin_memory=self.pinned)

    def _picked(self, group: str, rows: Rows) -> torch.Tensor:
        places = torch.from_numpy(self.place[rows])
        return torch.index_select(self.kept[group], 0, places, out=self._empty(len(rows), group))

    def read(self, rows: Rows, rng: np.random.Generator | None) -> Inputs:
        """Read some people's inputs, in training with the random generator of the epoch.

        Returns
        -------
        dict of str to torch.Tensor or CodedVolumes
            Scans by imaging group (zeros for a group that a person lacks), ``traits`` of shape
            (n, columns), and ``used`` of shape (n, inputs): 1 where an input may be used.
        """
        inputs = {
            g: self._picked(g, rows) if g in self.kept else self._read(g, rows) for g in self.groups
        }
        used = self.present[rows]
        if self.masked and rng is not None:
            used = used & self.choices[rng.integers(0, len(self.choices), len(rows))]
        if self.traits is not None:
            inputs[TRAITS] = self.traits[rows]
            used = np.column_stack([used, np.ones(len(rows), dtype=bool)])
        return inputs | {MASK: torch.from_numpy(used).float()}
