"""People and scans of random numbers, on which work is tried: nothing of anybody is needed."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from ukb_brain.grid import Grid
from ukb_brain.imaging.intensity import Code
from ukb_brain.imaging.readers import SHRINKAGE
from ukb_brain.imaging.store import open_store
from ukb_brain.ledger.artifact import Model, write_model
from ukb_brain.planning.case import Parts, Shape
from ukb_brain.training.encode import EncoderJob
from ukb_brain.training.gram import GramJob, landmarks_of
from ukb_brain.training.inputs import subsets
from ukb_brain.training.learners import MODIFIERS
from ukb_brain.training.people import People
from ukb_brain.training.scans import GroupScans, Scans

FIRST_EID, INSTANCE = 9_000_001, 2
# Of volumes in 8 bits: 0 is 0.
CODE = Code(1 / 16, -8.0)
# Standard deviations: of Fisher's z, small enough for covariances of 360 regions; and of what sex
# and age do to a scan, over that of its noise.
OF_Z, OF_TRAITS = 0.02, 0.3


def random_people(parts: Parts, grid: Grid, seed: int = 0) -> People:
    """Invent the people of a fold; they have everything, and are families of one."""
    rng, n = np.random.default_rng(seed), parts.people
    names = ("train", "validation", "test")
    return People(
        fold=0,
        eid=FIRST_EID + np.arange(n),
        instance=np.full(n, INSTANCE),
        family=np.arange(n),
        site=np.zeros(n, dtype=np.int64),
        phase=np.zeros(n, dtype=np.int64),
        part=np.repeat(names, [parts.train, parts.validation, parts.test]),
        targets={
            key: rng.integers(0, 2, n).astype(float)
            if target.kind == "binary"
            else rng.normal(size=n)
            for key, target in grid.targets.items()
        },
        blocks={
            domain: rng.normal(size=(n, 2 * len(grid.targets_of(domain))))
            for domain in grid.domains
        },
        has={group: np.ones(n, dtype=bool) for group in grid.imaging},
    )


def write_scans(scans: GroupScans, shape: Shape, people: People, seed: int = 0) -> None:
    """Write random scans of an imaging group, of people of whom there are none yet.

    ``shape`` is of one person's scans before pooling: modalities and voxels, or edges. Sex and age,
    where they are targets, can be read from scans, so that what is tried only then is tried. Like a
    brain, a half of each volume is empty.
    """
    keys = people.keys(np.ones(len(people.eid), dtype=bool))
    is_volume = len(shape) > 1
    store = open_store(scans.volumes if is_volume else scans.vectors)
    traits = np.array([people.targets[t] for t in MODIFIERS if t in people.targets])
    size = shape[1:] if is_volume else shape
    # Of time series, so that they can be read in tangent space.
    about = {} if is_volume or scans.numbers else {"measures": {SHRINKAGE: 0.5}}
    for modality in scans.modalities:
        there = set(store.keys(modality))
        rng = np.random.default_rng((seed, len(there)))
        maps = OF_TRAITS * rng.standard_normal((len(traits), *size), dtype=np.float32)
        for row, key in enumerate(keys):
            if key in there:
                continue
            scan = rng.standard_normal(size, dtype=np.float32)
            for trait, effect in zip(traits, maps, strict=True):
                scan += np.float32(trait[row]) * effect
            if is_volume:
                scan[: size[0] // 2] = 0
                store.write(modality, key, CODE.encode(scan.clip(-8, 7.9)), about, CODE)
            else:
                store.write(modality, key, OF_Z * scan, about)


def scans_in(folder: Path, grid: Grid, numbers: Collection[str] = ()) -> Scans:
    """Name the scans of a folder that holds both stores; some modalities are numbers."""
    stores = (folder / "volumes.store", folder / "vectors.store")
    groups = {
        name: GroupScans(tuple(of), *stores, numbers={*of} <= {*numbers})
        for name, of in grid.imaging.items()
    }
    return Scans(groups, "invented")


def write_gram(home: Path, job: GramJob, features: int = 50) -> None:
    """Write products of invented scans, from which sex and age can be read."""
    people, rng = job.people, np.random.default_rng(0)
    X = rng.normal(size=(len(people.eid), features))
    for trait in (people.targets[t] for t in MODIFIERS if t in people.targets):
        X += OF_TRAITS * np.outer(trait, rng.normal(size=features))
    has = people.has[job.group]
    columns = landmarks_of(people, has, job.settings)
    gram, norms = X[has] @ X[columns].T, (X[has] ** 2).sum(axis=1)
    arrays = {"gram": gram.astype(np.float32), "norms": norms.astype(np.float32)}
    write_model(home, Model({**arrays, "columns": columns}))


def write_encodings(home: Path, job: EncoderJob) -> None:
    """Write random outputs of encoders."""
    size = (len(subsets(tuple(job.scans))), len(job.people.eid), len(job.binary))
    outputs = np.random.default_rng(0).normal(size=size).astype(np.float32)
    write_model(home, Model({"outputs": outputs}))
