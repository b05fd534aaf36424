"""The node of the cost planner."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markdown import Markdown

from ukb_brain.cluster import Compute, in_worker, pick_device, run_items
from ukb_brain.cluster.start import open_client
from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.imaging.readers import stored_in
from ukb_brain.planning import Case, Planning, Rates, measure, plan_table, write_plan
from ukb_brain.tables.splits import Splitting
from ukb_brain.training.settings import Modelling

logger = logging.getLogger(__name__)

WIDE = 170
OF_PRESETS = ("kernels", "encoders", "dedicated")


def plan_costs(
    stored: Path,
    grid: Grid,
    modelling: Modelling,
    imaging: ImagingPreprocess,
    presets: dict,
    preset: str,
    splitting: Splitting,
    planning: Planning,
    compute: Compute,
) -> tuple[pd.DataFrame, str]:
    """Measure a little, predict hours, memory and disk, and say so on the console.

    Parameters
    ----------
    stored : Path
        Folder of the stores; may be empty.
    grid : Grid
        Targets and cells.
    modelling : Modelling
        Of the run's own preset.
    imaging : ImagingPreprocess
        Of the run's own preset.
    presets : dict
        All presets.
    preset : str
        The run's own.
    splitting : Splitting
        Scheme of the split.
    planning : Planning
        What is asked.
    compute : Compute
        Where the work would be done: there it is measured.

    Returns
    -------
    plan : pandas.DataFrame
        One row a preset, strategy and number of devices.
    text : str
        The same in Markdown.
    """
    cases = [
        _case(name, grid, modelling, imaging, presets, preset, splitting, planning)
        for name in planning.presets
    ]
    there = stored if stored.exists() else None
    rates = _measured(cases, there, compute)
    plan = plan_table(cases, rates, compute.processes)
    text = write_plan(plan, rates)
    Console(width=WIDE).print(Markdown(text))
    return plan, text


def _case(
    name: str,
    grid: Grid,
    modelling: Modelling,
    imaging: ImagingPreprocess,
    presets: dict[str, Any],
    preset: str,
    splitting: Splitting,
    planning: Planning,
) -> Case:
    if name not in presets:
        raise InputError(
            f"planning.presets has {name!r}, which is not a preset; expected some of "
            f"{', '.join(presets)}."
        )
    if name != preset:
        chosen = {key: presets[name][key] for key in OF_PRESETS}
        modelling = Modelling(**(modelling.model_dump() | chosen))
        imaging = ImagingPreprocess(**(imaging.model_dump() | presets[name]["imaging_preprocess"]))
    vectors = stored_in("connectivity", imaging)
    return Case(name, modelling, grid, imaging.shape, splitting, planning, vectors)


def _measured(cases: list[Case], stored: Path | None, compute: Compute) -> dict[str, Rates]:
    """Measure in one worker, which is set up like those that do the work."""
    named = partial(_measure, device=pick_device(compute.device).type, stored=stored)
    alone = compute.model_copy(update={"workers": 1, "backend": "local"})
    if compute.backend == "local" and compute.for_training().processes == 1:
        return dict(run_items(named, cases, alone, "Measuring"))
    rates = {}
    with open_client(compute.for_training(), 1, 0) as client:
        # One after the other: what is measured must have the machine for itself.
        for case in cases:
            logger.info("Measuring for preset %s", case.name)
            once = client.submit(in_worker, named, case, alone.threads_per_item, pure=False)
            rates[case.name] = once.result()[1]
    return rates


def _measure(case: Case, device: str, stored: Path | None) -> tuple[str, Rates]:
    return case.name, measure(case, device, stored)
