"""Settings to hours, memory and disk, without any data."""

from functools import partial

import pandas as pd
from kedro.pipeline import Pipeline
from rich.console import Console
from rich.markdown import Markdown

from ukb_brain.cluster import Compute, pick_device, run_items
from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.imaging.readers import stored_in
from ukb_brain.pipelines.wiring import step
from ukb_brain.planning import Case, Planning, foresee, parts_of
from ukb_brain.planning.table import plan_table, write_plan
from ukb_brain.tables.numbers import fields_of
from ukb_brain.tables.splits import Splitting
from ukb_brain.training.settings import Modelling

WIDE = 170
OF_PRESETS = ("kernels", "encoders", "dedicated")


def plan_costs(
    grid: Grid,
    modelling: Modelling,
    imaging: ImagingPreprocess,
    presets: dict,
    preset: str,
    splitting: Splitting,
    planning: Planning,
    compute: Compute,
) -> tuple[pd.DataFrame, str]:
    """Do a little of the work on invented people, foresee the rest, and say so on the console.

    Settings of modelling and imaging are of the run's own preset, the others are in ``presets``.
    Gives one row a preset, strategy and number of devices, and the same in Markdown.
    """
    parts = parts_of(planning.participants, splitting, planning.sites)
    cases = []
    for name in planning.presets:
        if name not in presets:
            raise InputError(
                f"planning.presets has {name!r}, which is not a preset; expected some of "
                f"{', '.join(presets)}."
            )
        own, scans = modelling, imaging
        if name != preset:
            chosen = {key: presets[name][key] for key in OF_PRESETS}
            own = Modelling(**(modelling.model_dump() | chosen))
            changed = presets[name]["imaging_preprocess"]
            scans = ImagingPreprocess(**(imaging.model_dump() | changed))
        vectors = stored_in("vectors", scans)
        numbers = {m: len(of) for m, of in fields_of(scans.numbers).items()}
        about = (scans.shape, parts, planning, vectors, scans.stored, numbers)
        cases.append(Case(name, own, grid, *about))
    # In one worker, one after the other: what is tried must have the machine for itself.
    alone = compute.model_copy(update={"workers": 1})
    items = dict(run_items(partial(_of_case, device=compute.device), cases, alone, "Planning"))
    plan = plan_table(cases, items, compute.processes)
    text = write_plan(plan, items)
    Console(width=WIDE).print(Markdown(text))
    return plan, text


def _of_case(case: Case, device: str) -> tuple[str, pd.DataFrame]:
    return case.name, foresee(case, pick_device(device).type)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the node, from settings to a plan."""
    reads = (
        "params:grid params:modelling params:imaging_preprocess params:presets params:preset "
        "params:splitting params:planning params:compute"
    )
    return Pipeline([step(plan_costs, reads, "reporting.plan reporting.plan_text")])
