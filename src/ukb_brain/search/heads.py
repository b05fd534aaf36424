"""A trial of the cells' regressions and their choices, judged by people whom no fit has seen.

Judging by the out-of-fold loss on which penalties and shares are chosen would favour whatever
gives more to choose from. So training families are dealt into parts, and each part is judged once
by cells that were fitted, chosen and calibrated without it, by the same code that makes the map.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.grid import Grid
from ukb_brain.ledger.artifact import Card, Model, write_model
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.training.cells import TargetJob
from ukb_brain.training.encode import cross_fitted, read_outputs
from ukb_brain.training.people import People
from ukb_brain.training.results import predicted_rows
from ukb_brain.training.settings import AMORTISED
from ukb_brain.training.target import fit_cells_of_target

# The part of people who are judged: their predictions are kept, and nothing else looks at them.
JUDGED = "test"


@dataclass(frozen=True)
class HeadTrial:
    """A trial: one job a target with the trial's settings, on people without test people.

    Training families are dealt into parts, each judged once.
    """

    jobs: tuple[TargetJob, ...]
    parts: int


def chosen_targets(grid: Grid, number: int) -> tuple[str, ...]:
    """Take some targets for all (0), in the order of the grid, spread over domains by a fixed rule.

    Domains take turns, each in the order of a hash of names.
    """
    if not number:
        return tuple(grid.targets)
    queues = (
        sorted(grid.targets_of(domain), key=lambda t: hashlib.sha256(t.encode()).digest())
        for domain in grid.domains
    )
    turns = [target for turn in zip_longest(*queues) for target in turn if target]
    return tuple(target for target in grid.targets if target in turns[:number])


def judge_heads(trial: HeadTrial, scratch: Path) -> Card:
    """Fit all cells without each part, and judge them; encodings are kept in the scratch folder.

    Returns
    -------
    dict
        As `attempted` takes it. ``losses`` has for each target the mean over its cells of the loss
        relative to naming the mean of the people who were fitted on, and ``value`` is their mean.
    """
    any_job = trial.jobs[0]
    dealt = judged_parts(any_job.people, trial.parts)
    # Networks left out other parts than those judged here; everybody has the encodings of a
    # network that has not seen them.
    parts = any_job.people.cross_fits(any_job.settings.encoders.cross_fits)
    encoders = []
    for member, paths in enumerate(any_job.encoders):
        home = scratch / f"member{member}"
        combined = cross_fitted(read_outputs(paths), parts).astype(np.float32)
        write_model(home, Model({"outputs": combined}))
        encoders.append(dict.fromkeys(paths, home))
    splits = [
        replace(any_job.people, part=np.where(dealt == k, JUDGED, any_job.people.part))
        for k in range(trial.parts)
    ]
    losses = {}
    for job in trial.jobs:
        known = job.y[np.isfinite(job.y) & (any_job.people.train | job.held)]
        if not len(known) or np.ptp(known) == 0:
            continue
        fits = (replace(job, people=people, encoders=encoders) for people in splits)
        rows = (row for fit in fits for row in _losses(fit, fit_cells_of_target(fit, scratch)))
        cells = (
            pd.DataFrame(rows, columns=["inputs", "ours", "theirs"])
            .groupby("inputs")
            .sum(skipna=False)
        )
        relative = (cells["ours"] / cells["theirs"])[cells["theirs"] > 0]
        if len(relative):
            losses[job.target] = float(relative.mean())
    value = float(np.mean(list(losses.values()))) if losses else float("nan")
    return {"state": "complete", "value": value, "losses": losses}


def judged_parts(people: People, n: int) -> NDArray[np.int64]:
    """Deal training families into parts that are judged; otherwise than cross-fitting deals them.

    Gives 0 to n - 1 by family, of shape (people,); -1 for people who are not in training.
    """
    return people.dealt(n, f"judged:{people.fold}")


def _losses(job: TargetJob, model: Model) -> Iterator[tuple[str, float, float]]:
    """Give each cell's summed loss on judged people, and that of naming the mean."""
    rows = predicted_rows(job.people)
    usable_by_name = {cell.inputs.name: job.people.usable(cell) for cell in job.cells}
    for row in model.card["cells"]:
        if row["strategy"] != AMORTISED:
            continue
        usable = usable_by_name[row["inputs"]]
        judged, fitted = usable & (job.people.part == JUDGED), usable & job.people.train
        if not judged.any() or not fitted.any():
            continue
        mean = np.full(len(job.y), job.y[fitted].mean())
        theirs = KINDS[job.kind].loss(job.y[judged], mean[judged])
        ours = theirs
        # A cell that cannot be fitted can only name the mean.
        if row["status"] == "ok":
            predicted = np.full(len(job.y), np.nan)
            key = "/".join(["predictions", AMORTISED, str(row["seed"]), job.target, row["inputs"]])
            predicted[rows] = model.arrays[key]
            ours = KINDS[job.kind].loss(job.y[judged], predicted[judged])
        yield row["inputs"], ours * judged.sum(), theirs * judged.sum()
