"""Connectivity in tangent space, made once a fold for every strategy that reads it.

First the reference of each fold, then everybody's vectors about it, some thousand people a work
item: so that neither memory nor the longest item grows with the cohort.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ukb_brain.ledger.artifact import Model, read_model
from ukb_brain.training.people import People
from ukb_brain.training.scans import GroupScans

# People of a work item.
BLOCK = 4096


@dataclass(frozen=True)
class ReferenceJob:
    """What a worker needs for the reference of an imaging group."""

    group: str
    scans: GroupScans
    people: People


@dataclass(frozen=True)
class TangentJob(ReferenceJob):
    """What a worker needs for the vectors of some people.

    Attributes
    ----------
    reference : Path
        Model of `reference_of_group`.
    block : int
        Which people, in the order of those who have the group.
    """

    reference: Path
    block: int


def reference_of_group(job: ReferenceJob, folder: Path) -> Model:
    """Fit what reading a group's connectivity rests on, on training people; ``folder`` is not used.

    Returns
    -------
    Model
        ``white`` of shape (regions, regions), and ``fill`` of shape (edges,) where gaps are filled;
        nothing where vectors are not read in tangent space.
    """
    training = job.people.has[job.group] & job.people.train
    scans = job.scans.fitted(job.people.keys(training))
    found = {"white": scans.white, "fill": scans.fill}
    return Model({name: array for name, array in found.items() if array is not None})


def tangents_of_block(job: TangentJob, folder: Path) -> Model:
    """Write some people's connectivity as vectors of tangent space; ``folder`` is not used.

    Returns
    -------
    Model
        ``vectors`` of shape (people, edges with the diagonal); without rows where the reference is
        of nothing.
    """
    arrays = read_model(job.reference).arrays
    if "white" not in arrays:
        return Model({"vectors": np.zeros((0, 0), dtype=np.float32)}, {"edges": 0})
    fill = arrays["fill"].astype(np.float32) if "fill" in arrays else None
    scans = replace(job.scans, white=arrays["white"].astype(np.float64), fill=fill)
    keys = job.people.keys(job.people.has[job.group])
    vectors = scans.read(keys[job.block * BLOCK : (job.block + 1) * BLOCK])
    return Model({"vectors": vectors}, {"edges": vectors.shape[1]})


def blocks_of(people: People, group: str) -> int:
    """Count the work items of a group."""
    return -(-int(people.has[group].sum()) // BLOCK)
