"""Whether the texture of the rim is strong enough to be read: by oracles, from T1 as it is stored.

Both take the energy of the band over the rim, weighted by the tissue there. The plain one knows the
mean image and what smooth fields do to it. The other is told everything of a person but the
texture's strength and phases: it takes away the image without texture, and compares what is left
with textures of strength one, of other phases, in the same brain, position and grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine
from numpy.typing import NDArray

from benchmarks import record
from benchmarks.depth_runs import COHORT, PRESET
from benchmarks.record import Figure, kept
from benchmarks.skills import parameters
from ukb_brain.cluster import Compute, run_items
from ukb_brain.imaging.affines import common_grid, fsl_mni
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.imaging.quality import template_brain
from ukb_brain.synthetic import brains
from ukb_brain.synthetic.anatomy import Anatomy, cortical_rim
from ukb_brain.synthetic.depth import RIM, Depth, band_of, texture
from ukb_brain.synthetic.linear_reader import REFERENCE_SEED, stored
from ukb_brain.synthetic.people import latents, variates
from ukb_brain.synthetic.scans import PeopleBatch, Session, write_anatomy
from ukb_brain.synthetic.settings import SyntheticCohort

PEOPLE, AT_A_TIME = 500, 25
# Other phases with which a person's texture is compared, and which power of tissue weighs it.
PHASES, POWER = 6, 2
LEAST = 0.95
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Readers:
    """What oracles know of all people: the grid, the rim and what smooth fields do to images."""

    anatomy: Anatomy
    imaging: ImagingPreprocess

    @cached_property
    def brain(self) -> NDArray[np.bool_]:
        """Voxels of the brain."""
        grid = self.imaging
        return template_brain(grid.shape, grid.voxel_mm, grid.centre_mm)

    @cached_property
    def _world(self) -> NDArray[np.float32]:
        grid = self.imaging
        affine = common_grid(grid.shape, grid.voxel_mm, grid.centre_mm)
        return np.asarray(apply_affine(affine, np.argwhere(self.brain)), dtype=np.float32)

    @cached_property
    def _rim(self) -> Floats:
        affine = fsl_mni(float(self.anatomy.voxel_mm))[1]
        grey = brains._sample(self.anatomy.tissues, affine, self._world)[0]
        return np.asarray(grey * cortical_rim(*self._world.T), dtype=np.float64)

    @cached_property
    def _band(self) -> NDArray[np.bool_]:
        low, high = band_of(float(self.anatomy.voxel_mm))
        along = [np.fft.fftfreq(n, self.imaging.voxel_mm) for n in self.imaging.shape]
        squared = sum(f**2 for f in np.meshgrid(*along, indexing="ij"))
        return np.asarray((squared >= high**-2) & (squared <= low**-2))

    def energy(self, images: Floats) -> Floats:
        """Energy of the band over the rim, (n,), of images (n, voxels of the brain)."""
        volumes = np.zeros((len(images), *self.imaging.shape))
        volumes[:, self.brain] = images * self._rim**POWER
        power = np.abs(np.fft.fftn(volumes, axes=(1, 2, 3))) ** 2
        return np.asarray(power[:, self._band].sum(axis=1))

    def without_smooth_fields(self, images: Floats) -> Floats:
        """Take away the mean image, and what effect maps explain to first order."""
        weights = ("structural", "site", "shapes", "textures")
        maps = brains.derivatives(self.anatomy, self._world, weights, "structural")
        mean = brains.mean_brain(self.anatomy)
        average = brains.draw(self.anatomy, mean, self._world)["t1"]
        still = np.zeros((2, 2, 2, 2), np.float32)
        gates = [
            brains.draw(self.anatomy, replace(mean, depth=Depth(k, still, np.eye(4))), self._world)
            for k in np.eye(len(self.anatomy.gates))
        ]
        known = [m[: len(self._world)] for m in maps] + [g["t1"] - average for g in gates]
        basis = np.stack([*known, average, np.ones_like(average), images.mean(axis=0)])
        basis /= np.linalg.norm(basis, axis=1, keepdims=True)
        _, values, axes = np.linalg.svd(basis, full_matrices=False)
        axes = axes[values > 1e-6 * values[0]]
        return np.asarray(images - images @ axes.T @ axes)


class _NoNoise:
    """In place of a generator."""

    def standard_normal(self, size: int, dtype: Any = float) -> NDArray[Any]:
        return np.zeros(size, dtype=dtype)


@dataclass(frozen=True)
class SomePeople:
    """Whom a worker draws."""

    numbers: range
    cohort: SyntheticCohort
    anatomy: Path
    imaging: ImagingPreprocess


def drawn(item: SomePeople) -> pd.DataFrame:
    """Draw people: what is stored of each, and the energies that the told oracle compares.

    A row a person: ``rim`` (what the texture shows), ``energy``, ``expected`` (mean logarithm over
    other phases) and ``image``.
    """
    readers = Readers(Anatomy.load(item.anatomy), item.imaging)
    people = PeopleBatch(tuple(item.numbers), item.cohort, item.anatomy, item.anatomy.parent, {})
    z = latents(variates(item.cohort.seed, item.numbers, item.cohort.deep))["rim"]
    columns = ["energy", "expected", "image"]
    return pd.DataFrame(list(_seen(readers, people)), columns=columns).assign(rim=z)


def _seen(readers: Readers, people: PeopleBatch) -> Iterator[tuple[float, float, Floats]]:
    def shown(number: int, change: Any, *, noise: bool) -> Floats:
        session = Session(people, number, instance=2)
        depth = session.brain.depth
        if depth is None:
            raise ValueError("people without depth have no texture")
        session.brain = replace(session.brain, depth=replace(depth, waves=change(depth)))
        if not noise:
            session._noise_of = lambda *scan: _NoNoise()
        image = stored(session, "t1", readers.imaging)
        return image[readers.brain].astype(np.float64)

    band = band_of(people.cohort.voxel_mm)
    for number in people.numbers:
        image = shown(number, lambda depth: depth.waves, noise=True)
        plain = shown(number, lambda depth: 0 * depth.waves, noise=False)
        slope, offset = np.polyfit(plain, image, 1)
        others = []
        for k in range(PHASES):
            phases = RIM * texture(np.random.default_rng([number, k]), band)[0]
            waves = np.stack([phases, 0 * phases], axis=-1)
            others.append(shown(number, lambda _, waves=waves: waves, noise=False) - plain)
        expected = np.log(readers.energy(np.stack(others))).mean()
        yield float(readers.energy((image - slope * plain - offset)[None])[0]), expected, image


def correlations(
    people: int, cohort: SyntheticCohort, imaging: ImagingPreprocess, home: Path
) -> dict[str, float]:
    """Correlate with what the texture shows what each oracle reads: ``plain`` and ``told``."""
    anatomy = write_anatomy(cohort, home)
    items = [
        SomePeople(range(k, min(k + AT_A_TIME, people + 1)), cohort, anatomy, imaging)
        for k in range(1, people + 1, AT_A_TIME)
    ]
    found = pd.concat(run_items(drawn, items, Compute(), "People whose texture is read"))
    readers = Readers(Anatomy.load(anatomy), imaging)
    left = readers.without_smooth_fields(np.stack(found["image"].to_list()))
    read = {
        "plain": np.log(readers.energy(left)),
        "told": np.log(found["energy"].to_numpy()) - found["expected"].to_numpy(),
    }
    return {name: float(np.corrcoef(each, found["rim"])[0, 1]) for name, each in read.items()}


def cohort_and_grid() -> tuple[SyntheticCohort, ImagingPreprocess]:
    """Give settings of people whom no cohort has, and of the preset's grid."""
    sizes = parameters("synthetic_cohort")["synthetic_cohort"] | COHORT | {"seed": REFERENCE_SEED}
    records = parameters("imaging_preprocess")["imaging_preprocess"]["modalities"]
    preset = parameters("presets")["presets"][PRESET]["imaging_preprocess"]
    return SyntheticCohort(**sizes), ImagingPreprocess(modalities={"t1": records["t1"]}, **preset)


def figure_of_amplitude() -> Figure:
    """Hold what an oracle reads of the texture's strength against its goal."""
    home = record.WORK / "depth_oracle"
    found = kept(home / "read.json", lambda: correlations(PEOPLE, *cohort_and_grid(), home))
    more = {"people": PEOPLE, "by an oracle that knows the mean image alone": found["plain"]}
    name = "depth: texture's strength as an oracle reads it off stored T1, r"
    return Figure.at_least(name, found["told"], LEAST, more=more)
