"""Search of settings by trials that never see test people."""

from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
from kedro.pipeline import Pipeline

from ukb_brain.cluster import Compute
from ukb_brain.figures.stamp import notice_of
from ukb_brain.pipelines import modelling
from ukb_brain.pipelines.wiring import step
from ukb_brain.search.plans import plan_encoders, plan_heads, without_test
from ukb_brain.search.record import report, trials_table
from ukb_brain.search.settings import Search
from ukb_brain.search.study import StudyPlan, open_storage, run_study
from ukb_brain.training.items import Work
from ukb_brain.training.settings import Modelling

DATABASE, ENCODERS, HEADS = "trials.db", "encoders", "heads"
Plans = dict[str, StudyPlan]


def plan_search(work: Work, quality: pd.DataFrame, search: Search) -> Plans:
    """Check the studies that are asked for, on the first fold without its test people."""
    fold = min(work.people)
    blind = replace(work, people={fold: without_test(work.people[fold])})
    plans = {}
    if search.encoders.trials:
        plans[ENCODERS] = plan_encoders(search.encoders, blind, quality)
    if search.heads.trials:
        plans[HEADS] = plan_heads(search.heads, blind)
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


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes, from stores, blocks, splits and models to a record of what was tried."""
    gathered = modelling.create_pipeline().only_nodes(*modelling.GATHERED)
    steps = [
        step(plan_search, "work primary.quality params:search", "search_plans"),
        step(run_search, "search_plans model.search params:compute", "search_studies"),
        step(
            write_down,
            "search_studies model.search params:modelling params:source",
            "model_output.search_trials reporting.search",
        ),
    ]
    return gathered + Pipeline(steps)
