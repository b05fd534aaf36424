"""What every cell cost: seconds, device and FLOPs, with its share of what cells train together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.training.items import cells_by_target
from ukb_brain.training.results import COUNTED
from ukb_brain.training.settings import AMORTISED, DEDICATED, KERNELS, LINEAR

# Strategies that rest on what cells share; the average rests on what its members do.
ENCODERS = "encoders"
USED_BY = {"grams": (LINEAR, KERNELS, AMORTISED), ENCODERS: (AMORTISED,)}
# A value that no strategy but one has, or that a failed cell lacks.
OPTIONAL = (
    "decision_threshold",
    "train_median",
    "loss",
    "image_penalty",
    "trait_penalty",
    "cross_fit_loss",
    "head_share",
    "linear_share",
    "kernels_share",
    "own_share",
)
COST = ("seconds", "flops")
SPENT = ("train_seconds", "shared_seconds", "flops")
COLUMNS = ["target", "inputs", "strategy", "fold", *COUNTED.values(), "status", *OPTIONAL, *SPENT]
COLUMNS += ["device", "attempts", "seed"]
Card = Mapping[str, Any]


def _shared(folders: Mapping[str, ModelFolder], grid: Grid) -> dict[tuple, list[dict[str, Any]]]:
    """Seconds, FLOPs and device of what cells train together, a cell's part of it.

    By strategy, fold, imaging group, and member of the ensemble or None where members share it.
    """
    users = {g: sum(g in cell.inputs.groups for cell in grid.cells) for g in grid.imaging}
    shared: dict[tuple, list[dict[str, Any]]] = {}
    for kind, folder in folders.items():
        for card in folder.cards().values():
            groups = [card["group"]] if "group" in card else list(grid.imaging)
            # Each member of the ensemble has encoders of its own.
            member = card.get("member", 0) if kind == ENCODERS else None
            for group in groups:
                each = len(groups) * users[group]
                part = {name: (card.get(name) or 0.0) / each for name in COST}
                part["device"] = card.get("device", "cpu")
                for strategy in USED_BY[kind]:
                    at = (strategy, card["fold"], group, member)
                    shared.setdefault(at, []).append(part)
    return shared


def cell_fits(
    cards: Sequence[Card], folders: Mapping[str, ModelFolder], grid: Grid, seed: int
) -> pd.DataFrame:
    """List how each cell was fitted, and what it cost.

    Parameters
    ----------
    cards : sequence of dict
        Of the work items that hold cells; a failed one holds none.
    folders : dict of str to ModelFolder
        Of the models that cells share, by kind: keys of `USED_BY`.
    grid : Grid
        Its cells.
    seed : int
        Of the run; a member of an ensemble has the seed so many above it.

    Returns
    -------
    pandas.DataFrame
        One row a cell, strategy, fold and seed. ``train_seconds`` and ``flops`` hold the cell's own
        and its share of what is trained together, spread evenly over the cells that use an imaging
        group; ``shared_seconds`` is that share alone.
    """
    place = {(cell.target, cell.inputs.name): k for k, cell in enumerate(grid.cells)}
    shared, rows = _shared(folders, grid), []
    for card in cards:
        for row in card.get("cells", ()):
            at = place.get((row["target"], row["inputs"]))
            if at is None:
                continue
            parts = [
                part
                for group in grid.cells[at].inputs.groups
                for member in (None, row["seed"])
                for part in shared.get((row["strategy"], row["fold"], group, member), ())
            ]
            seconds, flops = (sum(part[name] for part in parts) for name in COST)
            devices = {row.get("device") or "cpu", *(part["device"] for part in parts)}
            rows.append(
                row
                | {
                    "train_seconds": (row.get("seconds") or 0.0) + seconds,
                    "shared_seconds": seconds,
                    "flops": (row.get("flops") or 0.0) + flops,
                    "device": "+".join(sorted(devices)),
                    "attempts": int(card.get("attempts", 1)),
                    "seed": seed + row["seed"],
                }
            )
    table = pd.DataFrame([*rows, *_lost(cards, rows, grid, seed)], columns=COLUMNS)
    numbers = [*OPTIONAL, *SPENT]
    table[numbers] = table[numbers].astype(np.float64)
    table["penalty"] = table["image_penalty"].fillna(table["trait_penalty"])
    order = [place[key] for key in zip(table["target"], table["inputs"], strict=True)]
    ordered = table.assign(place=order).sort_values(["strategy", "fold", "seed", "place"])
    return ordered.drop(columns="place").reset_index(drop=True)


def _lost(
    cards: Sequence[Card], rows: Iterable[Card], grid: Grid, seed: int
) -> Iterator[dict[str, Any]]:
    """Rows for the cells of work items that failed as a whole: nothing is dropped silently."""
    by_target = cells_by_target(grid)
    known = sorted({(row["strategy"], row["seed"]) for row in rows if row["strategy"] != DEDICATED})
    for card in (card for card in cards if card["status"] != "ok"):
        if "cell" in card:
            named = [(card["cell"]["target"], card["cell"]["inputs"])]
            members = [(DEDICATED, seed + card.get("member", 0))]
        else:
            named = [(card["target"], cell.inputs.name) for cell in by_target[card["target"]]]
            members = known or [(LINEAR, seed)]
        about = {
            "fold": card["fold"],
            **dict.fromkeys(COUNTED.values(), 0),
            "status": card["reason"],
            "device": card.get("device", ""),
            "attempts": int(card.get("attempts", 1)),
        }
        for target, inputs in named:
            for strategy, member in members:
                names = {"target": target, "inputs": inputs, "strategy": strategy}
                yield names | about | {"seed": member}
