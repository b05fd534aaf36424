"""Principal components of an imaging group, fitted on training people a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import IncrementalPCA

from ukb_brain.networks.artifact import Model
from ukb_brain.training.people import Floats, Mask, People
from ukb_brain.training.scans import GroupScans


@dataclass(frozen=True)
class ComponentsJob:
    """What a worker needs for the components of one imaging group.

    Attributes
    ----------
    group : str
        Its name.
    scans : GroupScans
        Of the group.
    people : People
        Of the fold.
    number, batch_size : int
        Components wanted; people in memory at a time.
    """

    group: str
    scans: GroupScans
    people: People
    number: int
    batch_size: int


def components_of_group(job: ComponentsJob, folder: Path) -> Model:
    """Fit the components of an imaging group on training people, and score everybody.

    Parameters
    ----------
    job : ComponentsJob
        Group and people.
    folder : Path
        Not used: there is no state to keep.

    Returns
    -------
    Model
        ``mean``, ``axes`` and ``scores`` of shape (n, n_components), 0 for people without the
        group; all of them empty where fewer than three training people have it.
    """
    has = job.people.has[job.group]
    scans = job.scans.fitted(job.people.keys(has & job.people.train))
    fitted = fit_components(scans, job.people, has, job.number, job.batch_size)
    if fitted is None:
        nothing = np.zeros((len(has), 0), dtype=np.float32)
        return Model({"scores": nothing}, {"components": 0})
    scores = component_scores(fitted, scans, job.people, has, job.batch_size)
    arrays: dict[str, NDArray[np.generic]] = {
        "mean": fitted.mean,
        "axes": fitted.axes,
        "scores": scores.astype(np.float32),
    }
    n, features = int((has & job.people.train).sum()), fitted.axes.shape[1]
    # Of the thin singular value decompositions and of scoring, to leading order.
    flops = 6.0 * n * features * job.number + 2.0 * int(has.sum()) * features * job.number
    return Model(arrays, {"components": len(fitted.axes), "flops": flops})


@dataclass(frozen=True)
class FittedComponents:
    """Components of one imaging group.

    Attributes
    ----------
    mean : ndarray of shape (features,)
        Of training people.
    axes : ndarray of shape (n_components, features)
        Divided by each component's standard deviation, so that scores have unit variance.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]


def fit_components(
    scans: GroupScans, people: People, has: Mask, number: int, batch_size: int
) -> FittedComponents | None:
    """Fit whitened principal components on training people.

    Parameters
    ----------
    scans : GroupScans
        Of the group.
    people : People
        Of the fold.
    has : ndarray of shape (n,)
        Whose scans can be used.
    number : int
        Components wanted.
    batch_size : int
        People in memory at a time; raised to the number of components where it is smaller.

    Returns
    -------
    FittedComponents or None
        None where fewer than three training people have the group.

    Notes
    -----
    Incremental principal component analysis, Ross et al., IJCV 77:125 (2008).
    """
    keys = people.keys(has & people.train)
    if len(keys) < 3:
        return None
    size = max(batch_size, number + 1)
    batches = scans.batches(keys, size)
    batch = next(batches)
    pca = IncrementalPCA(min(number, len(batch) - 1, batch.shape[1])).partial_fit(batch)
    for batch in batches:
        pca.partial_fit(batch)
    sd = np.sqrt(pca.explained_variance_)
    kept = sd > 1e-6 * sd.max(initial=0.0)
    axes = pca.components_[kept] / sd[kept, None]
    return FittedComponents(pca.mean_.astype(np.float32), axes.astype(np.float32))


def component_scores(
    fitted: FittedComponents, scans: GroupScans, people: People, has: Mask, batch_size: int
) -> Floats:
    """Scores of everybody on the components.

    Parameters
    ----------
    fitted : FittedComponents
        From `fit_components`.
    scans : GroupScans
        Of the group.
    people : People
        Of the fold.
    has : ndarray of shape (n,)
        Whose scans can be used.
    batch_size : int
        People in memory at a time.

    Returns
    -------
    ndarray of shape (n, n_components)
        0 for people without the group.
    """
    scores = np.zeros((len(people.eid), len(fitted.axes)))
    rows = np.flatnonzero(has)
    start = 0
    for batch in scans.batches(people.keys(has), batch_size) if len(rows) else ():
        mine = rows[start : start + len(batch)]
        scores[mine] = (batch - fitted.mean) @ fitted.axes.T
        start += len(batch)
    return scores
