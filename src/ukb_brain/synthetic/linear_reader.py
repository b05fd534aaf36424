"""What the best linear reader reads of images, learnt from people who were drawn for it alone.

A z-score divides an image by its own spread, so that a linear reader sees more than was planted
linearly. So it is not derived but measured: on images as they are stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ukb_brain.atomic import atomic_path
from ukb_brain.imaging.affines import Affine
from ukb_brain.imaging.intensity import scaled
from ukb_brain.imaging.modalities import MNI, ImagingPreprocess
from ukb_brain.imaging.quality import template_brain
from ukb_brain.imaging.readers import to_common_grid
from ukb_brain.synthetic.anatomy import contrasts_of
from ukb_brain.synthetic.brains import Brain
from ukb_brain.synthetic.people import FAMILY_BLOCK
from ukb_brain.synthetic.scans import PeopleBatch, Session
from ukb_brain.synthetic.settings import SyntheticCohort

Floats = NDArray[np.float64]
# Of everybody who is drawn for the truth; no cohort of a user has their seed.
REFERENCE_SEED = 2_000_000_001
# Raised whenever people with depth are drawn otherwise than before.
DRAWN_AS = 2
PEOPLE_PER_BATCH = 200
# Parts that are left out in turn, and ridge penalties to choose from, as shares of the mean square
# of voxels.
PARTS, PENALTIES = 4, (0.03, 0.5, 8.0, 100.0)


@dataclass(frozen=True)
class ReferenceBatch:
    """Some people of whom one worker draws what the structural group stores."""

    numbers: range
    cohort: SyntheticCohort
    anatomy: Path
    imaging: ImagingPreprocess
    folder: Path

    @property
    def path(self) -> Path:
        """File of their images."""
        return self.folder / f"people-{self.numbers.start:06d}.npy"


def reference_batches(
    cohort: SyntheticCohort,
    anatomy: Path,
    imaging: ImagingPreprocess,
    folder: Path,
    size: int = PEOPLE_PER_BATCH,
) -> list[ReferenceBatch]:
    """Divide the people of the truth; those that a run before drew are kept in the folder.

    Families are in twenties: ``size`` is a multiple of that. Of few people there are smaller
    batches, so that each can be left out in turn.
    """
    fewest = cohort.reference_people // PARTS // FAMILY_BLOCK * FAMILY_BLOCK
    size = min(size, max(fewest, FAMILY_BLOCK))
    cohort = cohort.model_copy(
        update={"seed": REFERENCE_SEED, "participants": cohort.reference_people}
    )
    everybody = range(1, cohort.participants + 1)
    return [
        ReferenceBatch(everybody[k : k + size], cohort, anatomy, imaging, folder)
        for k in range(0, len(everybody), size)
    ]


def draw_reference(batch: ReferenceBatch) -> Path:
    """Draw and keep images of some people, (n, voxels), unless they are there already."""
    if batch.path.exists():
        return batch.path
    keys = [k for k in contrasts_of("structural") if k in batch.imaging.modalities]
    grid = batch.imaging
    brain = template_brain(grid.shape, grid.voxel_mm, grid.centre_mm)
    rows = np.empty((len(batch.numbers), len(keys) * int(brain.sum())), dtype=np.float16)
    people = PeopleBatch(tuple(batch.numbers), batch.cohort, batch.anatomy, batch.folder, {})
    for row, number in zip(rows, batch.numbers, strict=True):
        session = Session(people, number, instance=2)
        session.brain = in_single(session.brain)
        row[:] = np.concatenate([stored(session, key, grid)[brain] for key in keys])
    with atomic_path(batch.path) as part, part.open("wb") as file:
        np.save(file, rows)
    return batch.path


def in_single(brain: Brain) -> Brain:
    """Give weights in single precision, in which a brain is drawn in half the time."""
    names = ("structural", "diffusion", "site", "shapes", "textures")
    return replace(brain, **{name: getattr(brain, name).astype(np.float32) for name in names})


def stored(session: Session, key: str, grid: ImagingPreprocess) -> NDArray[np.float32]:
    """Give an image as the store would have it, but for its 8 bits."""
    record = grid.modalities[key]
    image = session.image(key, record, 0)
    world: Affine = np.eye(4)
    if record.space != MNI:
        world = np.asarray(np.linalg.inv(session.head_position()))
    volume, inside = to_common_grid(image, world, grid, record.interpolation, only_inside=True)
    values, outside = scaled(volume[inside], record.intensity, grid.clamp_percentiles)
    out = np.full(volume.shape, outside, dtype=np.float32)
    out[inside] = values
    return out


def read_linearly(images: Sequence[Path], outputs: Floats) -> Floats:
    """Read outputs from images by ridge regression, each person by those of other files.

    Parameters
    ----------
    images : sequence of Path
        Files of arrays (people, voxels), in the order of people, families whole.
    outputs : ndarray of shape (n, k)

    Returns
    -------
    ndarray of shape (n, k)
        Standardised, each output with the penalty that reads it best; 0 throughout where the mean
        is nearer than any.
    """
    held = [np.load(path, mmap_mode="r") for path in images]
    centre = sum(some.sum(axis=0, dtype=np.float64) for some in held) / len(outputs)
    files = [torch.from_numpy((some - centre).astype(np.float16)) for some in held]
    y = torch.from_numpy((outputs - outputs.mean(0)) / outputs.std(0)).float()
    by_file = list(y.split([len(some) for some in files]))
    way = _by_voxels if len(outputs) > held[0].shape[1] else _by_people
    read = way(files, by_file)
    lost = ((read - y) ** 2).sum(1)
    chosen = read[lost.argmin(0), :, torch.arange(y.shape[1])].T
    nothing = lost.amin(0) >= (y**2).sum(0)
    return chosen.masked_fill(nothing, 0.0).double().numpy()


def _by_voxels(files: list[Tensor], y: list[Tensor]) -> Tensor:
    """Read with each penalty, (penalties, n, k), by products of voxels: more people than those."""
    voxels = files[0].shape[1]
    grams = torch.zeros(PARTS, voxels, voxels)
    moments = torch.zeros(PARTS, voxels, y[0].shape[1])
    for k, (some, known) in enumerate(zip(files, y, strict=True)):
        x = some.float()
        grams[k % PARTS].addmm_(x.T, x)
        moments[k % PARTS].addmm_(x.T, known)
    whole, moment = grams.sum(0), moments.sum(0)
    read = [torch.empty(len(PENALTIES), *known.shape) for known in y]
    for part in range(PARTS):
        for at, penalty in enumerate(PENALTIES):
            inner = whole - grams[part]
            inner.diagonal().add_(penalty * inner.diagonal().mean())
            factor = torch.linalg.cholesky(inner, out=inner)
            weights = torch.cholesky_solve(moment - moments[part], factor)
            for k in range(part, len(files), PARTS):
                read[k][at] = files[k].float() @ weights
    return torch.cat(read, 1)


def _by_people(files: list[Tensor], y: list[Tensor]) -> Tensor:
    """Read with each penalty, (penalties, n, k), by products of people: more voxels than those."""
    gram = torch.cat(
        [torch.cat([one.float() @ other.float().T for other in files], 1) for one in files]
    )
    known = torch.cat(y)
    sizes = torch.tensor([len(some) for some in files])
    parts = (torch.arange(len(files)) % PARTS).repeat_interleave(sizes)
    read = torch.empty(len(PENALTIES), *known.shape)
    for part in parts.unique():
        learnt, left = (parts != part).nonzero()[:, 0], (parts == part).nonzero()[:, 0]
        # Of both ways the same penalty: voxels' mean square is the trace over their number.
        inner = gram[learnt][:, learnt]
        scale = inner.diagonal().sum() / files[0].shape[1]
        for at, penalty in enumerate(PENALTIES):
            factor = torch.linalg.cholesky(inner + penalty * scale * torch.eye(len(inner)))
            weights = torch.cholesky_solve(known[learnt], factor)
            read[at, left] = gram[left][:, learnt] @ weights
    return read
