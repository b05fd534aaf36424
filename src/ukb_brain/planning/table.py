"""The plan: a table with one row a size, strategy and number of devices, and the same in words."""

import heapq
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from ukb_brain.planning.case import Case
from ukb_brain.planning.needs import FILED, GATHERED, prediction_rows, store_bytes
from ukb_brain.planning.rehearsal import NETWORKS
from ukb_brain.tables.schemas import STRATEGY
from ukb_brain.tables.table import COUNT, NOT_NEGATIVE, NUMBER, declared, one_of, within
from ukb_brain.training.dedicated import drawn_cells
from ukb_brain.training.items import ON_DEVICE
from ukb_brain.training.settings import AMORTISED, DEDICATED
from ukb_brain.words import markdown_table

STUDY = "published"
# Ruffle et al., NeuroImage 291:120600 (2024): 700 trainings on P100 cards.
OF_STUDY: Mapping[str, object] = {
    "preset": "the study",
    "strategy": DEDICATED,
    "device": "P100",
    "participants": 23_810,
    "folds": 1,
    "cells": 700,
    "networks": 700,
    "epochs": 0,
    "training_hours": 4_526.0,
    "other_hours": 0.0,
    "basis": STUDY,
}
HOUR, GB = 3600.0, 1e9
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


# What settings would cost. A row without devices is the study's own account of itself.
Plan = declared(
    "preset strategy devices device participants folds cells networks epochs hours training_hours "
    "other_hours longest_item_hours training_pflop times_amortised device_gb process_gb gather_gb "
    "models_gb scans_gb basis",
    "preset strategy devices",
    kinds={
        "strategy": STRATEGY,
        "devices": within({"dtype": pd.Int64Dtype, "nullable": True}, ge=1),
        "participants cells networks epochs": COUNT,
        "folds": within(COUNT, ge=1),
        "training_hours other_hours": within(NUMBER, ge=0),
        "hours longest_item_hours training_pflop times_amortised": NOT_NEGATIVE,
        "device_gb process_gb gather_gb models_gb scans_gb": NOT_NEGATIVE,
        "basis": one_of("measured", "scaled", "assumed", "published"),
    },
)


def makespan(seconds: Iterable[float], workers: int) -> float:
    """Seconds until all items are done, each started by whichever worker is free first.

    An item is never split: many workers do few items no faster than the longest of them.
    """
    free = [0.0] * workers
    for each in seconds:
        heapq.heappush(free, heapq.heappop(free) + each)
    return max(free)


def plan_table(
    cases: Sequence[Case], items: Mapping[str, pd.DataFrame], processes: int
) -> pd.DataFrame:
    """Add up hours, memory and disk of each size, strategy and number of devices.

    Parameters
    ----------
    cases : sequence of Case
        One a preset.
    items : dict of str to pandas.DataFrame
        From `foresee`, by preset.
    processes : int
        Of this machine, for work that needs no GPU.

    Returns
    -------
    pandas.DataFrame
        As `Plan`; the last row is the study's.
    """
    rows: list[Mapping[str, object]] = []
    for case in cases:
        all_items = items[case.name]
        seconds = all_items.groupby("strategy")["seconds"].sum()
        base = all_items["process"].min()
        for strategy, own in all_items.groupby("strategy", sort=False):
            about = _about(case, str(strategy), own, base)
            about["times_amortised"] = seconds[strategy] / seconds[AMORTISED]
            rows += [
                about | {"devices": devices, "hours": _hours(own, devices, processes)}
                for devices in sorted(set(case.planning.devices))
            ]
    table = pd.DataFrame([*rows, OF_STUDY], columns=list(Plan.columns))
    return table.astype({"devices": "Int64"})


def _hours(items: pd.DataFrame, devices: int, processes: int) -> float:
    """Kinds follow each other; what needs no GPU has this machine's processes, or more."""
    others = devices if set(items["device"]) == {"cpu"} else max(devices, processes)
    kinds = items.groupby("kind", sort=False)["seconds"]
    return sum(makespan(own, devices if k in ON_DEVICE else others) for k, own in kinds) / HOUR


def _about(case: Case, strategy: str, items: pd.DataFrame, base: float) -> dict[str, object]:
    networks = items[items["kind"].isin(NETWORKS)]
    chosen = case.modelling.dedicated if strategy == DEDICATED else case.modelling.encoders
    cells = drawn_cells(case.grid, case.planning.dedicated_cells * (strategy == DEDICATED))
    bases, predictions = set(items["basis"]), prediction_rows(case, strategy)
    return {
        "preset": case.name,
        "strategy": strategy,
        "device": networks["device"].iloc[0] if len(networks) else "cpu",
        "participants": case.parts.people,
        "folds": case.parts.folds,
        "cells": len(cells),
        "networks": len(networks),
        "epochs": chosen.loop.epochs_for(case.parts.train) if len(networks) else 0,
        "training_hours": networks["seconds"].sum() / HOUR,
        "other_hours": (items["seconds"].sum() - networks["seconds"].sum()) / HOUR,
        "longest_item_hours": items["seconds"].max() / HOUR,
        "training_pflop": items["flops"].sum() / 1e15,
        "device_gb": (networks["card"].max() if len(networks) else 0.0) / GB,
        "process_gb": items["process"].max() / GB,
        "gather_gb": (base + GATHERED * predictions) / GB,
        "models_gb": (items["disk"].sum() + FILED * predictions) / GB,
        "scans_gb": store_bytes(case) / GB,
        "basis": next((b for b in ("assumed", "scaled") if b in bases), "measured"),
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
    ratio = float(rows["times_amortised"][DEDICATED])
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
