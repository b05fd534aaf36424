"""Encoders of volumes side by side at equal cost: each is trained for as many seconds.

On one data root with preprocessed scans, each network learns all targets from the volumes of all
people but one part, as the amortised strategy trains its own. An epoch is timed first, and says how
many fit into the time, so that every learning rate falls to nothing at its end. Loop and grid are
the same for all. Validation people choose the epoch, and score it.

``python -m benchmarks.encoders DATA_ROOT [SECONDS]`` compares them on another cohort than the one
that `make bench ONLY=encoders` makes. Each network is kept when it is done.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.null import people_of
from benchmarks.record import WORK, Figure, kept, record, show
from benchmarks.runs import kedro_run
from benchmarks.skills import parameters, skill, study_grid
from benchmarks.strategies import merged
from ukb_brain.grid import Grid
from ukb_brain.imaging.store import RecordStore
from ukb_brain.ledger import fingerprint_of
from ukb_brain.training.encode import EncoderJob
from ukb_brain.training.items import people_fingerprint
from ukb_brain.training.network import FittedNetwork, fit_network
from ukb_brain.training.scans import gather_scans, quality_fingerprint
from ukb_brain.training.settings import Encoders

# Epochs that are timed, of which the first also warms up.
TIMED = 3
HOME, SECONDS, PRESET, SEED = WORK / "encoders", 600.0, "benchmark", 1
QUALITY = "03_primary/quality.parquet"
# Where there is something that linear models do not see; the truth is not asked.
COHORT = {"participants": 2000, "seed": SEED, "depth": True, "reference_people": 1000}
# Wherever there are such targets; every figure holds the scores of all.
SHOWN = ("age", "sex", "weight", "hypertension", "smoking", "reaction_time")
NETWORKS: dict[str, dict[str, Any]] = {
    "light": {"network": {"volume": "light", "options": {"volume": {"stem": 2, "width": 32}}}},
    "study": {"network": {"volume": "study"}},
    "sfcn": {"network": {"volume": "sfcn"}},
    "sfcn, 40 bins": {"network": {"volume": "sfcn"}, "loop": {"bins": 40}},
    "resnet": {"network": {"volume": "resnet"}},
    "convnext": {"network": {"volume": "convnext"}},
    "convnext, stem 2": {"network": {"volume": "convnext", "options": {"volume": {"stem": 2}}}},
}


def settings_of(changes: dict[str, Any], epochs: int) -> Encoders:
    """Lay one network's settings over the preset's; volumes are not pooled, and no epoch is cut."""
    base = parameters("presets")["presets"][PRESET]["encoders"]
    # What the preset sets for its own encoder is another's business.
    base = base | {"network": base["network"] | {"pooling": 1, "options": {}}}
    rest = {"epochs": epochs, "least_steps": 0, "patience": 0}
    return Encoders(**merged(merged(base, changes), {"loop": rest}))


def job_of(root: Path, grid: Grid) -> EncoderJob:
    """Make the job on all volumes of the first fold, and leave out the first part."""
    stores = [RecordStore(root / f"02_intermediate/{k}.store") for k in ("volumes", "vectors")]
    quality = pd.read_parquet(root / QUALITY)
    people = people_of(root, grid)
    scans = gather_scans(*stores, quality, grid).groups
    volumes = {group: some for group, some in scans.items() if some.is_volume}
    binary = {key: target.kind == "binary" for key, target in grid.targets.items()}
    settings = settings_of({}, 1)
    parts = people.cross_fits(settings.cross_fits)
    return EncoderJob(people, volumes, binary, settings, SEED, "auto", parts, 0)


def trained(job: EncoderJob) -> tuple[FittedNetwork, list[float]]:
    """Train a network, and give the seconds of every epoch with what comes with it."""
    ends = [time.monotonic()]
    with TemporaryDirectory() as folder:
        # The first epoch begins when everything is read and built.
        found = fit_network(job, Path(folder), report=lambda *_: ends.append(time.monotonic()))
    return found, np.diff(ends[1:]).tolist()


def epochs_within(seconds: float, epoch: float) -> int:
    """Count how many epochs fit into some seconds; there is one in any case."""
    return max(1, int(seconds / epoch))


def scores_of(found: FittedNetwork, job: EncoderJob) -> dict[str, float]:
    """Skill of every target on validation people, as the network reads it from all volumes."""
    people, trainer = job.people, found.trainer
    rows = np.flatnonzero((people.part == "validation") & people.having(job.groups))
    trainer.network.eval()
    with torch.no_grad():
        given = trainer.batches(rows)
        predicted = torch.cat([trainer.predict(inputs) for inputs, _ in given]).cpu().double()
    # Standardised, as the network learns them.
    labels, known = trainer.tasks.y[rows].cpu().double(), trainer.tasks.weights[rows].cpu() > 0
    scores = {}
    for column, (target, binary) in enumerate(job.binary.items()):
        y, p = (each[known[:, column], column].numpy() for each in (labels, predicted))
        if len(np.unique(y)) > 1:
            kind = "binary" if binary else "continuous"
            scores[target] = float(skill(kind, y, p, np.ones((1, len(y))))[0])
    return scores


def compared(job: EncoderJob, changes: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Train one kind of network for so many seconds, and judge it by validation people."""
    epoch = min(trained(replace(job, settings=settings_of(changes, TIMED)))[1])
    epochs = epochs_within(seconds, epoch)
    found, each = trained(replace(job, settings=settings_of(changes, epochs)))
    about = {k: found.card[k] for k in ("parameters", "flops_per_sample", "n_fitted", "precision")}
    return about | {
        "why": found.trained.reason,
        "epochs": epochs,
        "best_epoch": found.trained.best_epoch,
        "seconds": sum(each) + epoch,
        "curves": found.trained.curves,
        "scores": {} if found.trained.reason else scores_of(found, job),
    }


def cohort() -> Path:
    """Generate a cohort of the preset's size and preprocess it, unless it is there."""
    params = {"preset": PRESET, "seed": SEED}
    if not (HOME / "cohort/synthetic_truth/truth.parquet").exists():
        kedro_run(HOME / "cohort", "synthetic_cohort", params | {"synthetic_cohort": COHORT})
    if not (HOME / "cohort" / QUALITY).exists():
        pipelines = "data_engineering,feature_tabular,imaging_preprocess"
        kedro_run(HOME / "cohort", pipelines, params)
    return HOME / "cohort"


def measure(
    root: Path | None = None,
    seconds: float = SECONDS,
    grid: Grid | None = None,
    home: Path = HOME,
) -> list[Figure]:
    """Compare all networks.

    Parameters
    ----------
    root : Path, optional
        A data root whose scans are preprocessed; else the benchmark makes a cohort.
    seconds : float
        Of each network's training, validation of every epoch included.
    grid : Grid, optional
        Of that data root; else the study's.
    home : Path
        Where each network's figures are kept.
    """
    root = root or cohort()
    job = job_of(root, grid or study_grid())
    scans = quality_fingerprint(pd.read_parquet(root / QUALITY))
    figures, rows = [], []
    shown = [target for target in SHOWN if target in job.binary]
    for name, changes in NETWORKS.items():
        seen = [(group, list(some.modalities)) for group, some in job.scans.items()]
        settings = settings_of(changes, 1).model_dump(mode="json")
        whole = (people_fingerprint(job.people), seen, scans, settings, seconds)
        saved = home / f"{fingerprint_of(*whole)[:16]}.json"
        print(f"{name} …", flush=True)
        found = kept(saved, lambda changes=changes: compared(job, changes, seconds))
        curve = found.pop("curves")["validation"]
        loss = min(curve, default=float("nan"))
        scores = found["scores"]
        figures.append(Figure(f"encoders: {name}, validation loss", loss, more=found))
        numbers = (
            f"{found['epochs']}",
            f"{found['best_epoch']}",
            f"{found['seconds']:.0f}",
            f"{loss:.3f}",
        )
        rows.append([name, *numbers, *(f"{scores.get(t, float('nan')):.3f}" for t in shown)])
    heads = ("network", "epochs", "best", "seconds", "validation loss", *shown)
    n = int(((job.people.part == "validation") & job.usable).sum())
    people = f"{found['n_fitted']} people, scored on {n} of validation"
    show(f"R², or 2 AUC - 1: trained for {seconds:.0f} s each on {people}", heads, rows)
    return figures


if __name__ == "__main__":
    given = sys.argv[1:] or sys.exit("usage: python -m benchmarks.encoders DATA_ROOT [SECONDS]")
    record(measure(Path(given[0]), *map(float, given[1:2])))
