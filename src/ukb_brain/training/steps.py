"""Steps between the vectors of a store and models, each fitted on a fold's training people."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ukb_brain.imaging.partial import partial_z
from ukb_brain.imaging.readers import SHRINKAGE
from ukb_brain.imaging.store import INCOMPLETE, Key, open_store
from ukb_brain.imaging.tangent import (
    completed,
    covariances,
    logarithms,
    regions_lacking,
    tangents,
    whitening,
)

Vectors = NDArray[np.float32]
FILL_BATCH = 512
# People with all regions whose mean is the reference; where there are fewer, gaps are filled.
LEAST_WHOLE = 10
# Matrices whose logarithms are taken at a time.
LOGARITHMS = 64


class Source(Protocol):
    """An imaging group's vectors, as the steps before leave them."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """The one that the vectors are of."""

    @property
    def vectors(self) -> Path:
        """Their store."""

    def read(self, keys: Sequence[Key]) -> Vectors:
        """Read vectors, one a row."""

    def batches(self, keys: Sequence[Key], size: int) -> Iterator[Vectors]:
        """Read about ``size`` people's at a time."""


class Step(Protocol):
    """A step that was fitted."""

    def apply(self, values: Vectors, keys: Sequence[Key]) -> Vectors:
        """Change vectors, one a row, of people who are in the store."""

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give all that was fitted, to be kept in a model."""


class Maker(Protocol):
    """What makes a step: a frozen dataclass, whose representation tells it from others.

    Attributes
    ----------
    name : str
        Of its step among those of an imaging group.
    costly : bool
        Whether what it gives is worth a place on disk: it is then made once for all strategies.
    """

    name: ClassVar[str]
    costly: ClassVar[bool]

    def fit(self, scans: Source, training: Sequence[Key]) -> Step | None:
        """Fit on training people's vectors as the steps before leave them; None changes nothing."""

    def restore(self, scans: Source, arrays: Mapping[str, NDArray[np.generic]]) -> Step | None:
        """Make the step again of its arrays; None of none."""


@dataclass(frozen=True)
class Filled:
    """Gaps filled with ``fill``, of shape (edges,)."""

    fill: Vectors

    def apply(self, values: Vectors, keys: Sequence[Key]) -> Vectors:
        """Fill gaps."""
        return np.where(np.isnan(values), self.fill, values)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give ``fill``."""
        return {"fill": self.fill}


@dataclass(frozen=True)
class Fill:
    """Fill gaps with the mean of training people, where anybody has gaps."""

    name: ClassVar[str] = "fill"
    costly: ClassVar[bool] = False

    def fit(self, scans: Source, training: Sequence[Key]) -> Filled | None:
        """Take the means of what is known."""
        if not open_store(scans.vectors).marked(INCOMPLETE.format(scans.modalities[0])):
            return None
        total, there = 0.0, 0.0
        for batch in scans.batches(training, FILL_BATCH):
            known = np.isfinite(batch)
            total = total + np.where(known, batch, 0).sum(axis=0, dtype=np.float64)
            there = there + known.sum(axis=0)
        # An edge that nobody in training has says nothing of anybody.
        mean = np.divide(total, there, out=np.zeros(np.shape(total)), where=np.asarray(there) > 0)
        return Filled(mean.astype(np.float32))

    def restore(self, scans: Source, arrays: Mapping[str, NDArray[np.generic]]) -> Filled | None:
        """Make it again."""
        return Filled(arrays["fill"].astype(np.float32)) if "fill" in arrays else None


@dataclass(frozen=True)
class Zeros:
    """Gaps filled with 0: of normal scores the median."""

    name: ClassVar[str] = "zeros"
    costly: ClassVar[bool] = False

    def fit(self, scans: Source, training: Sequence[Key]) -> Self:
        """Fit nothing."""
        return self

    def restore(self, scans: Source, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """Make it again."""
        return self

    def apply(self, values: Vectors, keys: Sequence[Key]) -> Vectors:
        """Fill gaps."""
        return np.nan_to_num(values, nan=0.0)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give nothing."""
        return {}


@dataclass(frozen=True)
class OfCovariances:
    """Vectors of shrunk covariances, which a reference completes where people lack regions.

    Attributes
    ----------
    store : Path
        Tells how far each person's correlations are to be shrunk.
    white : ndarray of shape (regions, regions)
        Of the reference, from `ukb_brain.imaging.tangent.whitening`.
    filled : Filled, optional
        Where anybody has gaps.
    partial : bool
        Whether vectors are of partial correlations, rather than of tangent space at the reference.
    """

    store: Path
    modality: str
    white: NDArray[np.float64]
    filled: Filled | None
    partial: bool

    def apply(self, values: Vectors, keys: Sequence[Key]) -> Vectors:
        """Take Fisher's z, with gaps, to such vectors."""
        root = np.linalg.inv(self.white)
        found = []
        for some in range(0, len(keys), LOGARITHMS):
            rows = slice(some, some + LOGARITHMS)
            matrices = shrunk(self.store, self.modality, self.filled, values[rows], keys[rows])
            if self.filled is not None:
                matrices = completed(matrices, regions_lacking(values[rows]), root @ root)
            found.append(partial_z(matrices) if self.partial else tangents(matrices, self.white))
        return np.concatenate(found)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give ``white``, and ``fill`` where gaps are filled."""
        return {"white": self.white} | (self.filled.arrays() if self.filled else {})


def shrunk(
    store: Path, modality: str, filled: Filled | None, values: Vectors, keys: Sequence[Key]
) -> NDArray[np.float64]:
    """Make covariances of Fisher's z, shrunk as their time series told."""
    shrinkage = np.array([measures(store, modality, key)[SHRINKAGE] for key in keys])
    return covariances(filled.apply(values, keys) if filled else values, shrinkage)


def measures(store: Path, modality: str, key: Key) -> Mapping[str, float]:
    """Read what was measured of a record; nothing where there is none."""
    return (open_store(store).about(modality, key) or {}).get("measures", {})


@dataclass(frozen=True)
class Covariances:
    """Take vectors to tangent space, or to partial correlations, if time series told how to shrink.

    The reference of tangent space completes people who lack regions. UK Biobank's own matrices stay
    as they are, but for their gaps.
    """

    name: ClassVar[str] = "covariances"
    costly: ClassVar[bool] = True

    partial: bool = False

    def fit(self, scans: Source, training: Sequence[Key]) -> Filled | OfCovariances | None:
        """Find the reference; people with all regions are preferred to those whose gaps are."""
        filled = Fill().fit(scans, training)
        store, modality = scans.vectors, scans.modalities[0]
        if SHRINKAGE not in measures(store, modality, training[0]):
            return filled
        batches = [training[k : k + LOGARITHMS] for k in range(0, len(training), LOGARITHMS)]
        used = training
        if filled is not None:
            whole = [key for keys in batches for key in _with_all_regions(scans, keys)]
            # Whoever lacks a region says less of the mean than they would blur it.
            if len(whole) >= min(LEAST_WHOLE, len(training) / 2):
                used = whole
        total = 0.0
        for start in range(0, len(used), LOGARITHMS):
            keys = used[start : start + LOGARITHMS]
            matrices = shrunk(store, modality, filled, scans.read(keys), keys)
            total = total + logarithms(matrices).sum(axis=0)
        white = whitening(np.asarray(total) / len(used))
        return OfCovariances(store, modality, white, filled, self.partial)

    def restore(
        self, scans: Source, arrays: Mapping[str, NDArray[np.generic]]
    ) -> Filled | OfCovariances | None:
        """Make it again."""
        filled = Fill().restore(scans, arrays)
        if "white" not in arrays:
            return filled
        white = arrays["white"].astype(np.float64)
        return OfCovariances(scans.vectors, scans.modalities[0], white, filled, self.partial)


def _with_all_regions(scans: Source, keys: Sequence[Key]) -> Iterator[Key]:
    lacking = regions_lacking(scans.read(keys))
    return (key for key, lacks in zip(keys, lacking, strict=True) if not lacks.any())
