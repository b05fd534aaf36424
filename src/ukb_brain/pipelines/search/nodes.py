"""Nodes of the search: check everything, run each study, and write down what was tried."""

from __future__ import annotations

from pathlib import Path

import optuna
import pandas as pd

from ukb_brain.cluster import Compute
from ukb_brain.figures.stamp import notice_of
from ukb_brain.grid import Grid
from ukb_brain.search.plans import plan_encoders, plan_heads, without_test
from ukb_brain.search.record import report, trials_table
from ukb_brain.search.settings import Search
from ukb_brain.search.study import Plan, open_storage, run_study
from ukb_brain.training.people import People
from ukb_brain.training.scans import Scans
from ukb_brain.training.settings import Modelling

DATABASE, ENCODERS, HEADS = "trials.db", "encoders", "heads"
Plans = dict[str, Plan]


def plan_search(
    folder: Path,
    people: dict[int, People],
    scans: Scans,
    quality: pd.DataFrame,
    grid: Grid,
    modelling: Modelling,
    search: Search,
    compute: Compute,
    seed: int,
) -> Plans:
    """Check both studies before anything runs, on the first fold without its test people.

    Parameters
    ----------
    folder : Path
        Of all models.
    people : dict of int to People
        By fold.
    scans : Scans
        Of all of them.
    quality : pandas.DataFrame
        Tells one set of scans from another.
    grid : Grid
        Imaging groups, targets, cells.
    modelling : Modelling
        Settings as they are.
    search : Search
        What is tried.
    compute : Compute
        Device.
    seed : int
        Of the run.

    Returns
    -------
    dict of str to Plan
        Of the studies that are asked for.
    """
    seen = without_test(people[min(people)])
    read = scans.read_as(modelling.encoders.network.pooling, modelling.tangent).groups
    plans = {}
    if search.encoders.trials:
        plans[ENCODERS] = plan_encoders(
            search.encoders, seen, read, quality, grid, modelling, seed, compute.device
        )
    if search.heads.trials:
        plans[HEADS] = plan_heads(search.heads, seen, folder, grid, modelling, seed)
    return plans


def search_encoders(plans: Plans, folder: Path, compute: Compute) -> str:
    """Try settings of the shared encoders.

    Parameters
    ----------
    plans : dict of str to Plan
        From `plan_search`.
    folder : Path
        Of the search.
    compute : Compute
        Workers and device.

    Returns
    -------
    str
        Name of the study; empty where it was left out.
    """
    return _run(plans.get(ENCODERS), folder, compute.for_training())


def search_heads(plans: Plans, folder: Path, compute: Compute) -> str:
    """Try settings of the cells' regressions.

    Parameters
    ----------
    plans : dict of str to Plan
        From `plan_search`.
    folder : Path
        Of the search.
    compute : Compute
        Workers.

    Returns
    -------
    str
        Name of the study; empty where it was left out.
    """
    return _run(plans.get(HEADS), folder, compute)


def _run(plan: Plan | None, folder: Path, compute: Compute) -> str:
    if plan is None:
        return ""
    run_study(plan, open_storage(folder / DATABASE), folder / plan.kind, compute)
    return plan.study


def write_down(
    encoders: str, heads: str, folder: Path, modelling: Modelling, source: str
) -> tuple[pd.DataFrame, str]:
    """List everything that was ever tried here, and say what was best.

    Parameters
    ----------
    encoders, heads : str
        Names of the studies.
    folder : Path
        Of the search.
    modelling : Modelling
        Settings as they are.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    trials : pandas.DataFrame
        One row a trial.
    text : str
        Markdown.
    """
    storage = open_storage(folder / DATABASE)
    studies = {
        kind: optuna.load_study(study_name=name, storage=storage).get_trials() if name else []
        for kind, name in ((ENCODERS, encoders), (HEADS, heads))
    }
    return trials_table(storage), report(studies, modelling, notice_of(source))
