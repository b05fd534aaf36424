"""The plan in words, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ukb_brain.planning.measure import Rates
from ukb_brain.planning.table import STUDY

DEVICES = {"cpu": "processes", "cuda": "GPUs", "mps": "GPUs", "card": "GPUs"}
NOTES = """\
- Hours are of modelling alone, with nothing else running; stages follow each other, and items of a
  stage run side by side. An item is never split, so more {devices} than items change nothing:
  {items}.
- Epochs are the most that the loop allows. Early stopping ends sooner; undersampling, where it is
  set, draws fewer people than are counted here.
- `measured`: a few steps at the configured grid and batch. `scaled`: a smaller grid, batch or
  matrix, times operations. `assumed`: operations over what a card is said to sustain.
- Amortised holds kernels, with which it is averaged; linear is a part of them. Operations of a
  multiplication and an addition are two; convolutions and products of matrices are counted.
- Memory of a process comes once for each process of a machine. Scans on disk are not compressed
  here; the store takes less.
"""


def written(hours: float) -> str:
    """Write hours with two figures, and short ones in minutes or seconds.

    Parameters
    ----------
    hours : float
        Any.

    Returns
    -------
    str
        Such as ``41 s``, ``12 min``, ``3.4 h`` or ``1,200 h``.
    """
    if hours < 1 / 60:
        return f"{hours * 3600:.2g} s"
    if hours < 1:
        return f"{_figures(hours * 60)} min"
    return f"{_figures(hours)} h"


def _figures(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{float(f'{value:.2g}'):,.0f}"


def write_plan(plan: pd.DataFrame, rates: Mapping[str, Rates]) -> str:
    """Write a plan.

    Parameters
    ----------
    plan : pandas.DataFrame
        As `ukb_brain.planning.table.Plan`.
    rates : dict of str to Rates
        What was measured, by preset.

    Returns
    -------
    str
        Markdown: for each size hours by number of devices, memory and disk.
    """
    lines = ["# What it would cost", ""]
    ours = plan[plan["basis"] != STUDY]
    for preset, size in ours.groupby("preset", sort=False):
        lines += [*_of_preset(str(preset), size, rates[str(preset)]), ""]
    study = plan[plan["basis"] == STUDY].iloc[0]
    lines += [
        f"For reference, as published and not measured here: the study spent "
        f"{study['training_hours']:,.0f} GPU hours on {study['device']} cards for "
        f"{study['networks']} networks of {study['participants']:,} people.",
        "",
    ]
    device = ours["device"].iloc[ours["networks"].argmax()]
    amortised = ours[ours["strategy"] == "amortised"].iloc[0]
    items = f"{amortised['networks']} networks of the amortised strategy in {amortised['preset']}"
    return "\n".join([*lines, NOTES.format(devices=DEVICES[device], items=items)])


def _of_preset(preset: str, size: pd.DataFrame, rates: Rates) -> list[str]:
    first = size.iloc[0]
    devices = sorted(size["devices"].unique())
    kind = DEVICES[rates.encoders.device]
    lines = [
        f"## {preset}: {first['participants']:,} people, {first['folds']} fold(s)",
        "",
        f"| strategy | networks | epochs | hours of training | other hours | PFLOP "
        f"| {' | '.join(f'on {n} {kind}' for n in devices)} | |",
        "|" + " --- |" * (7 + len(devices)),
    ]
    by_strategy = dict(list(size.groupby("strategy", sort=False)))
    for strategy, rows in by_strategy.items():
        row, hours = rows.iloc[0], rows.set_index("devices")["hours"]
        cells = [
            str(strategy),
            f"{row['networks']:,}",
            f"{row['epochs']}",
            written(row["training_hours"]),
            written(row["other_hours"]),
            f"{row['training_pflop']:,.3g}",
            *(written(hours[n]) for n in devices),
            row["basis"],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    ratio = by_strategy["dedicated"]["times_amortised"].iloc[0]
    lines += ["", f"**Dedicated takes {_figures(ratio)} times the hours of amortised.**", ""]
    lines += [
        "| strategy | memory of a device | of a process | to gather predictions | models on disk "
        "| scans on disk |",
        "|" + " --- |" * 6,
    ]
    for strategy, rows in by_strategy.items():
        row = rows.iloc[0]
        names = ("device_gb", "process_gb", "gather_gb", "models_gb", "scans_gb")
        lines.append(f"| {strategy!s} | {' | '.join(f'{row[name]:.2g} GB' for name in names)} |")
    measured = [f"shared encoders {rates.encoders.basis} at {rates.encoders.at}"]
    if rates.dedicated:
        full = rates.dedicated[max(rates.dedicated, key=len)]
        measured.append(f"dedicated networks {full.basis} at {full.at}")
    return [*lines, "", f"On {rates.encoders.device}: {'; '.join(measured)}."]
