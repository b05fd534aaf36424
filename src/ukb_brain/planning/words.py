"""The plan in words, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ukb_brain.planning.table import OF_STUDY, STUDY
from ukb_brain.words import markdown_table

NOTES = """\
For reference, as published and not measured here: the study spent {training_hours:,.0f} GPU hours
on {device} cards for {networks} networks of {participants:,} people.

- Hours are of modelling alone, with nothing else running; stages follow each other, and items of a
  stage run side by side. An item is never split, so more devices than items change nothing.
- Epochs are the most that the loop allows. Early stopping ends sooner; undersampling, where it is
  set, draws fewer people than are counted here.
- `measured`: real work items of invented people, though networks may have had fewer of them.
  `scaled`: on a smaller grid, in a smaller batch, or of fewer people where more may take more than
  in proportion. `assumed`: operations of real items over what a card is said to sustain.
- Amortised holds kernels, with which it is averaged; linear is a part of them. Operations of a
  multiplication and an addition are two; convolutions and products of matrices are counted.
- Memory of a process comes once for each process of a machine. Scans on disk are not compressed
  here; the store takes less.
"""
MEMORY = {
    "device_gb": "memory of a device",
    "process_gb": "of a process",
    "gather_gb": "to gather predictions",
    "models_gb": "models on disk",
    "scans_gb": "scans on disk",
}


def written(hours: float) -> str:
    """Write hours with two figures: ``41 s``, ``12 min``, ``3.4 h`` or ``1,200 h``."""
    if hours < 1 / 60:
        return f"{hours * 3600:.2g} s"
    return f"{_figures(hours * 60)} min" if hours < 1 else f"{_figures(hours)} h"


def _figures(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{float(f'{value:.2g}'):,.0f}"


def write_plan(plan: pd.DataFrame, items: Mapping[str, pd.DataFrame]) -> str:
    """Write a plan as Markdown: for each size hours by number of devices, memory and disk."""
    lines = ["# What it would cost", ""]
    for preset, size in plan[plan["basis"] != STUDY].groupby("preset", sort=False):
        lines += [*_of_preset(str(preset), size, items[str(preset)]), ""]
    return "\n".join([*lines, NOTES.format(**OF_STUDY)])


def _of_preset(preset: str, size: pd.DataFrame, items: pd.DataFrame) -> list[str]:
    first, networks = size.iloc[0], items[items["at"] != ""]
    kind = "processes" if set(items["device"]) == {"cpu"} else "GPUs"
    hours = size.pivot_table("hours", "strategy", "devices")
    rows = size.drop_duplicates("strategy").set_index("strategy")
    heads = ["networks", "epochs", "hours of training", "other hours", "PFLOP"]
    on = [f"on {n} {kind}" for n in hours.columns]
    ratio = rows["times_amortised"].to_dict()["dedicated"]
    costs, needs = [], []
    for strategy, row in rows.to_dict("index").items():
        name = str(strategy)
        cost = [f"{row['networks']}", f"{row['epochs']}", written(row["training_hours"])]
        cost += [written(row["other_hours"]), f"{row['training_pflop']:,.3g}"]
        costs.append([name, *cost, *map(written, hours.loc[name]), str(row["basis"])])
        needs.append([name, *(f"{row[memory]:.2g} GB" for memory in MEMORY)])
    # Of dedicated networks the one that took longest to do.
    longest = networks.sort_values("seconds").drop_duplicates("kind", keep="last")
    tried = [f"{row['kind']} {row['basis']} at {row['at']}" for row in longest.to_dict("records")]
    return [
        f"## {preset}: {first['participants']:,} people, {first['folds']} fold(s)",
        "",
        *markdown_table(["strategy", *heads, *on, ""], costs),
        "",
        f"**Dedicated takes {_figures(ratio)} times the hours of amortised.**",
        "",
        *markdown_table(["strategy", *MEMORY.values()], needs),
        "",
        f"On {'/'.join(networks['device'].unique())}: {'; '.join(tried)}.",
    ]
