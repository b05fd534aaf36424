"""What was tried beside the default of the amortised strategy: gain and cost of each.

On the cohort of benchmark `strategies`: other settings (longer training, fewer cross-fits, an
ensemble of seeds), and trainings that go on from the shared encoders: with the tasks that still
improve, and with one target at a time. Each is kept when it is done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks import null, strategies
from benchmarks.record import WORK, Figure, kept, show
from benchmarks.runs import kedro_run, linked
from benchmarks.skills import skill_draws, study_grid, test_predictions, with_interval
from ukb_brain.cluster import Compute, run_items
from ukb_brain.imaging.store import RecordStore
from ukb_brain.ledger.artifact import Model, ModelFolder, read_model, write_model
from ukb_brain.training.encode import EncoderJob, predict_unseen
from ukb_brain.training.inputs import NetworkData, subsets
from ukb_brain.training.items import Work, encoder_name
from ukb_brain.training.scans import gather_scans
from ukb_brain.training.target import fit_cells_of_target
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.trainer import Trainer

ROOT = WORK / "tried"
DEFAULT = "as it is"
# Of the demo's preset: found by `kedro run --pipelines search` on the people of this cohort, of
# whom nobody tested took part; docs/search.md.
FOUND: dict[str, object] = {
    "network": {"dropout": 0.5, "options": {"volume": {"stem": 2, "width": 16}}},
    "loop": {"learning_rate": 0.0003, "weight_decay": 0.008, "ema": 0.98},
}
SETTINGS: dict[str, dict[str, object]] = {
    "settings found by search": FOUND,
    "20 epochs": {"loop": {"epochs": 20}},
    "3 cross-fits": {"cross_fits": 3},
    "2 seeds": {"seeds": 2},
}
# A second training has a lower rate than the first began with, and is short.
RATE, PROBE, MORE, TUNED = 3e-4, 2, 4, 3
TUNED_TARGETS = ("hypertension", "smoking")
GOES_ON = f"{MORE} more epochs of tasks that still improve"
Attempt = Callable[[], tuple[pd.DataFrame, float]]
ALONE = f"{TUNED} more epochs of one target at a time"


@dataclass(frozen=True)
class Further:
    """A training that goes on from a shared encoder, whose job and model are given.

    ``targets`` are learned further; none: those whose loss `PROBE` epochs of all of them make
    lower.
    """

    job: EncoderJob
    start: Path
    home: Path
    targets: tuple[str, ...]


def go_on(item: Further) -> tuple[str, float]:
    """Train further, predict everybody whom the network has not seen; give name and seconds."""
    started, job = time.monotonic(), item.job
    has = job.usable
    fitted = np.flatnonzero(job.fitted & has)
    judges = np.flatnonzero(has & ((job.people.part == "validation") | (job.parts == job.part)))
    data = job.data
    network = job.network(data.shapes)
    weights = read_model(item.start).arrays
    network.load_state_dict(
        {
            name.removeprefix("weights/"): torch.from_numpy(array.copy())
            for name, array in weights.items()
            if name.startswith("weights/")
        }
    )
    targets = item.targets
    if not targets:
        trainer = _trainer(job, network, data, tuple(job.binary), PROBE)
        before = _losses(trainer, judges)
        _epochs(trainer, fitted, PROBE)
        after = _losses(trainer, judges)
        targets = tuple(np.array(list(job.binary))[after < before])
    if targets:
        trainer = _trainer(job, network, data, targets, TUNED if item.targets else MORE)
        _epochs(trainer, fitted, trainer.settings.epochs)
    shape = (len(subsets(tuple(job.scans))), len(has), len(job.binary))
    outputs = np.full(shape, np.nan, dtype=np.float32)
    predict_unseen(trainer, job, np.flatnonzero(~job.fitted & has), outputs)
    seconds = time.monotonic() - started
    write_model(item.home, Model({"outputs": outputs}, {"targets": targets, "seconds": seconds}))
    return item.home.name, seconds


def _trainer(
    job: EncoderJob,
    network: torch.nn.Module,
    data: NetworkData,
    targets: tuple[str, ...],
    epochs: int,
) -> Trainer:
    nothing = np.full(len(job.people.eid), np.nan)
    known = {t: y if t in targets else nothing for t, y in job.people.targets.items()}
    loop = job.settings.loop.model_copy(update={"epochs": epochs, "learning_rate": RATE})
    tasks = Tasks(known, job.binary, job.fitted, loop)
    return Trainer(network, data, tasks, loop, torch.device("cpu"), job.seed + 1)


def _epochs(trainer: Trainer, fitted: NDArray[np.int64], epochs: int) -> None:
    steps = epochs * max(1, len(fitted) // trainer.settings.batch_size)
    for epoch in range(epochs):
        trainer.run_epoch(fitted, epoch, steps)


@torch.no_grad()
def _losses(trainer: Trainer, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Loss of each target on people who were not trained on."""
    trainer.network.eval()
    sums = weights = torch.zeros(len(trainer.tasks.binary))
    for some in np.array_split(rows, max(1, len(rows) // trainer.settings.batch_size)):
        inputs = trainer.data.read(some, None)
        more = trainer.tasks.losses(
            trainer.forward(inputs), torch.from_numpy(some), inputs["used"].amax(1)
        )
        sums, weights = sums + more[0], weights + more[1]
    return (sums / weights.clamp(min=1)).double().numpy()


def _further(targets: tuple[str, ...], folder: Path) -> Iterator[Further]:
    """List the shared encoders of the default, each to be trained further."""
    root, grid = strategies.ROOT, study_grid()
    people, settings = null.people_of(root, grid), null.settings_of(root)
    s = settings.encoders
    stores = [RecordStore(root / f"02_intermediate/{k}.store") for k in ("volumes", "connectivity")]
    quality = pd.read_parquet(root / "03_primary/quality.parquet")
    in_stores, models = gather_scans(*stores, quality, grid), root / "06_models"
    work = Work(models, {0: people}, in_stores, grid, settings, Compute(), 0)
    scans = work.read_as(s.network.pooling, ModelFolder(models / "vectors"))[0].groups
    parts = people.cross_fits(s.cross_fits)
    for part in range(s.cross_fits):
        job = EncoderJob(people, scans, work.binary, s, part, "cpu", parts, part)
        name = encoder_name(0, 0, part)
        home = folder / name
        if not (home / "card.json").exists():
            yield Further(job, models / "encoders" / name, home, targets)


def _cells(encoders: Mapping[str, Path]) -> pd.DataFrame:
    """Fit all cells of some targets on other encoders, and list test people's predictions."""
    rows = []
    jobs = null.jobs_of(strategies.ROOT, every=True)
    for target, folder in encoders.items():
        own = [{part: folder / path.name for part, path in jobs[target].encoders[0].items()}]
        job = replace(jobs[target], encoders=own)
        rows += list(null.rows_of_test(fit_cells_of_target(job, Path()), job))
    return pd.concat(rows, ignore_index=True)


def _settled(name: str) -> tuple[pd.DataFrame, float]:
    """Predictions of one setting by the pipeline itself, and worker seconds of its encoders."""
    root, s = ROOT / name.replace(" ", "_"), strategies.params()
    linked(root, strategies.ROOT, strategies.SHARED)
    changed = strategies.merged(strategies.ENCODERS, SETTINGS[name])
    s["modelling"] = {"strategies": ["linear", "amortised"], "encoders": changed}
    kedro_run(root, "modelling", s)
    return test_predictions(root, "amortised")[0], _seconds(root / "06_models/encoders")


def _seconds(folder: Path) -> float:
    return sum(json.loads(card.read_text())["seconds"] for card in folder.glob("*/card.json"))


def _went_on() -> tuple[pd.DataFrame, float]:
    folder = ROOT / "improving"
    list(run_items(go_on, _further((), folder), Compute(), GOES_ON))
    every = dict.fromkeys(study_grid().targets, folder)
    return _cells(every), _seconds(folder)


def _went_on_alone() -> tuple[pd.DataFrame, float]:
    folders = {target: ROOT / "alone" / target for target in TUNED_TARGETS}
    work = [item for target, own in folders.items() for item in _further((target,), own)]
    list(run_items(go_on, work, Compute(), ALONE))
    return _cells(folders), sum(_seconds(own) for own in folders.values())


def measure() -> list[Figure]:
    """Try each, and compare its cells with those of the default on the same test people."""
    strategies.prepare()
    grid = study_grid()
    base, families = test_predictions(strategies.ROOT, "amortised")
    default = skill_draws(base, families, grid, draws=500)
    imaged = [(c.target, c.inputs.name) for c in grid.cells if c.inputs.groups]
    before = _seconds(strategies.ROOT / "06_models/encoders")
    tries = {name: lambda name=name: _settled(name) for name in SETTINGS}
    tries |= {GOES_ON: _went_on, ALONE: _went_on_alone}
    figures, rows = [Figure(f"tried: {DEFAULT}, encoders", before, "worker s")], []
    ROOT.mkdir(parents=True, exist_ok=True)
    for name, attempt in tries.items():

        def tried(attempt: Attempt = attempt) -> dict[str, float]:
            predictions, seconds = attempt()
            found = skill_draws(predictions, families, grid, draws=500)
            return _compared(found, default, imaged) | {"seconds": seconds}

        print(f"{name} …", flush=True)
        found = kept(ROOT / f"{name.replace(' ', '_')}.json", tried)
        gain = f"{found['gain']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
        numbers = (gain, f"{found['weak']:+.4f}", f"{found['seconds']:.0f}")
        rows.append([name, str(found["cells"]), *numbers])
        value = found.pop("gain")
        figures.append(Figure(f"tried: {name}, gain in mean skill", value, more=found))
    heads = ("tried", "cells", "gain in mean skill", "weakest third", "worker seconds")
    show("SYNTHETIC: what was tried, against the default on the same test people", heads, rows)
    return figures


def _compared(
    found: pd.DataFrame, default: pd.DataFrame, imaged: list[tuple[str, str]]
) -> dict[str, float]:
    cells = [cell for cell in imaged if cell in found.index and cell in default.index]
    change = found.loc[cells] - default.loc[cells]
    # Which cells are weak is read off the default alone.
    weak = default.loc[cells, 0] <= default.loc[cells, 0].quantile(1 / 3)
    gain, interval = with_interval(change.mean())
    return {"gain": gain, "weak": change.loc[weak, 0].mean(), "cells": len(cells), **interval}
