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
from ukb_brain.search.study import StudyPlan, open_storage, run_study
from ukb_brain.training.people import People
from ukb_brain.training.scans import Scans
from ukb_brain.training.settings import Modelling

DATABASE, ENCODERS, HEADS = "trials.db", "encoders", "heads"
Plans = dict[str, StudyPlan]


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
    """Check the studies that are asked for, on the first fold without its test people."""
    seen = without_test(people[min(people)])
    read = scans.read_as(modelling.encoders.network.pooling, modelling).groups
    plans = {}
    if search.encoders.trials:
        plans[ENCODERS] = plan_encoders(
            search.encoders, seen, read, quality, grid, modelling, seed, compute.device
        )
    if search.heads.trials:
        plans[HEADS] = plan_heads(search.heads, seen, folder, grid, modelling, seed)
    return plans


def run_search(plans: Plans, folder: Path, compute: Compute) -> dict[str, str]:
    """Try settings of each study; gives their names in the database of the folder."""
    for kind, plan in plans.items():
        workers = compute.for_training() if kind == ENCODERS else compute
        run_study(plan, open_storage(folder / DATABASE), folder / kind, workers)
    return {kind: plan.study for kind, plan in plans.items()}


def write_down(
    names: dict[str, str], folder: Path, modelling: Modelling, source: str
) -> tuple[pd.DataFrame, str]:
    """List everything that was ever tried here, one row a trial, and say what was best."""
    storage = open_storage(folder / DATABASE)
    studies = {
        kind: optuna.load_study(study_name=names[kind], storage=storage).get_trials()
        if kind in names
        else []
        for kind in (ENCODERS, HEADS)
    }
    return trials_table(storage), report(studies, modelling, notice_of(source))
