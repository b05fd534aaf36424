"""The demo's raw files and their truth."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from kedro.pipeline import Pipeline
from numpy.typing import NDArray

from ukb_brain.cluster import Compute, run_items
from ukb_brain.grid import Grid
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.ledger import fingerprint_of
from ukb_brain.pipelines.wiring import step
from ukb_brain.synthetic.folder import bulk_folder, claim
from ukb_brain.synthetic.linear_reader import (
    DRAWN_AS,
    ReferenceBatch,
    draw_reference,
    reference_batches,
)
from ukb_brain.synthetic.scans import PeopleBatch, missing_files, write_anatomy, write_batch
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.table import main_table, write_lists
from ukb_brain.synthetic.table_styles import write_table
from ukb_brain.synthetic.truth import build_truth, kept_linear_reading
from ukb_brain.tables.dictionary import Codings

logger = logging.getLogger(__name__)

PEOPLE_PER_BATCH = 12


def write_tables(claimed: SyntheticCohort, raw_folder: Path, codings: Codings) -> Path:
    """Write the main table, withdrawal lists and the relatedness file into the raw folder."""
    write_table(main_table(claimed), raw_folder, claimed.style, codings)
    write_lists(claimed, raw_folder)
    return raw_folder


def write_scans(
    claimed: SyntheticCohort,
    raw_folder: Path,
    truth_folder: Path,
    grid: Grid,
    imaging: ImagingPreprocess,
    compute: Compute,
) -> Path:
    """Write the bulk files that are not there yet, and the shared anatomy beside the truth.

    What the grid only offers is drawn where it was added to it.
    """
    bulk = bulk_folder(raw_folder, claimed.arrangement)
    offered = {modality for held in grid.offered.values() for modality in held}
    drawn = {k: r for k, r in imaging.modalities.items() if k not in offered - {*grid.modalities}}
    people = range(1, claimed.participants + 1)
    todo = [n for n in people if missing_files(claimed, n, bulk, drawn)]
    if not todo:
        logger.info("All bulk files are there.")
        return raw_folder
    anatomy = write_anatomy(claimed, truth_folder)
    shared = (claimed, anatomy, bulk, drawn)
    batches = [
        PeopleBatch(tuple(todo[start : start + PEOPLE_PER_BATCH]), *shared)
        for start in range(0, len(todo), PEOPLE_PER_BATCH)
    ]
    written = sum(run_items(write_batch, batches, compute, "Scans, in batches of people"))
    logger.info("Bulk files written: %s, of %s people.", written, len(todo))
    return raw_folder


def learn_linear_reader(
    claimed: SyntheticCohort,
    truth_folder: Path,
    grid: Grid,
    imaging: ImagingPreprocess,
    compute: Compute,
) -> NDArray[np.float64]:
    """Measure what the best linear reader reads of images with depth; nothing without depth.

    What was measured is kept, since it costs minutes and depends on neither seed nor people.
    """
    if not claimed.depth or "structural" not in grid.imaging:
        return np.empty((0, 0))
    sizes = claimed.model_dump(include={"voxel_mm", "reference_people"})
    how = imaging.taking(grid.imaging["structural"]).model_dump(mode="json", exclude={"quality"})
    name = fingerprint_of("linear reader", DRAWN_AS, sizes, how)[:12]
    kept = truth_folder / f"linear_reader_{name}.npy"
    anatomy = write_anatomy(claimed, truth_folder)
    batches = reference_batches(claimed, anatomy, imaging, truth_folder / f"people_{name}")
    label = "Images that the best linear reader learns"

    def draw(some: Sequence[ReferenceBatch]) -> Iterable[Path]:
        return run_items(draw_reference, some, compute, label)

    return kept_linear_reading(claimed, batches, draw, kept)


def tabulate_truth(
    claimed: SyntheticCohort,
    truth_folder: Path,
    grid: Grid,
    imaging: ImagingPreprocess,
    compute: Compute,
) -> pd.DataFrame:
    """Tabulate what is truly readable in each cell."""
    read = learn_linear_reader(claimed, truth_folder, grid, imaging, compute)
    return build_truth(grid, claimed, read)


def create_pipeline(**kwargs: object) -> Pipeline:
    """Wire the nodes, from settings to raw files and their truth."""
    steps = [
        step(
            claim,
            "synthetic.raw_folder params:synthetic_cohort params:source",
            "claimed",
            name="claim_raw_folder",
        ),
        step(write_tables, "claimed synthetic.raw_folder params:codings", "synthetic.tables"),
        step(
            write_scans,
            "claimed synthetic.raw_folder synthetic.truth_folder params:grid "
            "params:imaging_preprocess params:compute",
            "synthetic.bulk",
        ),
        step(
            tabulate_truth,
            "claimed synthetic.truth_folder params:grid params:imaging_preprocess params:compute",
            "synthetic.truth",
        ),
    ]
    return Pipeline(steps)
