"""Vectors as models read them, made once a fold for every strategy.

First the steps of each fold are fitted, then everybody's vectors are taken through them, some
thousand people a work item: so that neither memory nor the longest item grows with the cohort.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ukb_brain.ledger.artifact import Model, read_model
from ukb_brain.training.people import People
from ukb_brain.training.scans import GroupScans

# People of a work item.
BLOCK = 4096


@dataclass(frozen=True)
class StepsJob:
    """What a worker needs to fit the steps of an imaging group."""

    group: str
    scans: GroupScans
    people: People


@dataclass(frozen=True)
class VectorsJob(StepsJob):
    """What a worker needs for the vectors of some people.

    Attributes
    ----------
    steps : Path
        Model of `steps_of_group`.
    block : int
        Which people, in the order of those who have the group.
    """

    steps: Path
    block: int


def steps_of_group(job: StepsJob, folder: Path) -> Model:
    """Fit the steps of a group on training people; ``folder`` is not used.

    Returns
    -------
    Model
        Arrays of all steps by their names; none where there is nothing to do.
    """
    training = job.people.has[job.group] & job.people.train
    return Model(job.scans.fitted(job.people.keys(training)).arrays())


def vectors_of_block(job: VectorsJob, folder: Path) -> Model:
    """Take some people's vectors through all steps; ``folder`` is not used.

    Returns
    -------
    Model
        ``vectors`` of shape (people, numbers); without rows where nothing is done to them.
    """
    arrays = read_model(job.steps).arrays
    if not arrays:
        return Model({"vectors": np.zeros((0, 0), dtype=np.float32)}, {"edges": 0})
    keys = job.people.keys(job.people.has[job.group])
    vectors = job.scans.restored(arrays).read(keys[job.block * BLOCK : (job.block + 1) * BLOCK])
    return Model({"vectors": vectors}, {"edges": vectors.shape[1]})


def blocks_of(people: People, group: str) -> int:
    """Count the work items of a group."""
    return -(-int(people.has[group].sum()) // BLOCK)
