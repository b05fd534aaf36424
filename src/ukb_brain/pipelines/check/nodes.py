"""Nodes of the check: look at everything, show it, and say whether a run can go on."""

import logging
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from ukb_brain.cluster import Compute
from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.imaging.readers import stored_in
from ukb_brain.planning import Case, Planning, parts_of
from ukb_brain.readiness.findings import PROBLEMS, SECTIONS, Readiness
from ukb_brain.readiness.machine import check_machine, check_needs
from ukb_brain.readiness.page import MATRICES, build_check, shown_counts
from ukb_brain.statistics.settings import Reporting
from ukb_brain.tables.numbers import fields_of
from ukb_brain.tables.splits import Splitting
from ukb_brain.training.settings import Modelling

logger = logging.getLogger(__name__)


def foresee(
    ready: Readiness,
    grid: Grid,
    imaging: ImagingPreprocess,
    splitting: Splitting,
    compute: Compute,
    stores: Path,
    modelling: Modelling,
    planning: Planning,
    preset: str,
) -> pd.DataFrame:
    """Look at the machine, say what a run will need, and tabulate all that was found.

    ``stores`` is a folder under the data root, whose disk is looked at.
    """
    check_machine(ready, stores, compute)
    if ready.people:
        parts = parts_of(max(50, ready.people), splitting, planning.sites)
        plan = planning.model_copy(update={"dedicated_cells": modelling.dedicated.cells})
        vectors = stored_in("vectors", imaging)
        numbers = {m: len(of) for m, of in fields_of(imaging.numbers).items()}
        about = (imaging.shape, parts, plan, vectors, imaging.stored, numbers)
        case = Case(preset, modelling, grid, *about)
        check_needs(ready, case, compute, stores)
    return ready.table()


def show(found: pd.DataFrame, reporting: Reporting, source: str) -> str:
    """Print what was found, and make its page as HTML."""
    console = Console()
    shown = found.assign(shown=shown_counts(found, reporting.suppress_below))
    for section, title in {**SECTIONS, PROBLEMS: "Problems"}.items():
        rows = shown[shown["section"] == section]
        if rows.empty:
            continue
        printed = Table(title=title, title_justify="left", show_header=False, box=None)
        if section in MATRICES:
            for item, own in rows.groupby("item", sort=False):
                printed.add_row(*_in_a_line(str(item), own))
        else:
            problem = ["severity", "finding", "remedy"]
            told = problem if section == PROBLEMS else ["item", "finding", "shown"]
            for row in rows[told].itertuples(index=False):
                printed.add_row(*row)
        console.print(printed)
    return build_check(found, source, reporting.suppress_below)


def _in_a_line(item: str, own: pd.DataFrame) -> tuple[str, str]:
    counted = own[own["n"].notna()]
    if counted.empty:
        return item, "no answers"
    if len(counted) < len(own):
        named = zip(counted["finding"], counted["shown"], strict=True)
        return item, ", ".join(f"{finding}: {n}" for finding, n in named)
    ends = counted.sort_values("n")["shown"].iloc[[0, -1]].tolist()
    return item, f"{' to '.join(dict.fromkeys(ends))} people, by the imaging groups of a cell"


def decide(found: pd.DataFrame, page: str) -> None:
    """End with an `InputError` where a run could not go on, once the page is there."""
    stops = int((found["severity"] == "stop").sum())
    if stops:
        raise InputError(
            f"A run cannot go on: {stops} problem(s) stand in the way, each with its remedy above "
            "and in check.html."
        )
    logger.info("A run can go on. The same as a page: check.html.")
