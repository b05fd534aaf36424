"""What every cell cost: seconds, device and FLOPs, with its share of what cells train together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ukb_brain.grid import Cell, Grid
from ukb_brain.training.dedicated import DEDICATED
from ukb_brain.training.items import cells_by_target
from ukb_brain.training.kernels import KERNELS, LINEAR
from ukb_brain.training.target import AMORTISED

# Strategies that rest on what cells share; the average rests on what its members do.
ENCODERS = "encoders"
USED_BY = {
    "grams": (LINEAR, KERNELS, AMORTISED),
    ENCODERS: (AMORTISED,),
}
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


class Cards(Protocol):
    """A folder of models, of which only cards are read."""

    def cards(self) -> Mapping[str, Mapping[str, Any]]:
        """Read all cards, by name."""
        ...


def _shared(folders: Mapping[str, Cards], grid: Grid) -> pd.DataFrame:
    """Seconds and FLOPs of what cells train together, by kind, fold, member and group."""
    rows = []
    for kind, folder in folders.items():
        for card in folder.cards().values():
            groups = [card["group"]] if "group" in card else list(grid.imaging)
            for group in groups:
                cost = {
                    what: (card.get(what) or 0.0) / len(groups) for what in ("seconds", "flops")
                }
                own = {
                    "kind": kind,
                    "fold": card["fold"],
                    "member": card.get("member", 0),
                }
                rows.append(own | {"group": group, "device": card.get("device", "cpu")} | cost)
    columns = ["kind", "fold", "member", "group", "device", "seconds", "flops"]
    return pd.DataFrame(rows, columns=columns)


def _share(
    shared: pd.DataFrame, row: Mapping[str, Any], cell: Cell, users: Mapping[str, int]
) -> dict:
    """Divide what all cells of a strategy, fold and member train together; one cell's part."""
    if row["strategy"] == DEDICATED or not cell.inputs.groups:
        return {"shared_seconds": 0.0, "shared_flops": 0.0, "devices": set()}
    mine = shared["group"].isin(cell.inputs.groups) & (shared["fold"] == row["fold"])
    mine &= shared["kind"].isin([k for k, used in USED_BY.items() if row["strategy"] in used])
    # Each member of the ensemble has encoders of its own.
    mine &= (shared["kind"] != ENCODERS) | (shared["member"] == row["seed"])
    each = 1 / shared.loc[mine, "group"].map(users).astype(np.float64)
    return {
        "shared_seconds": float((shared.loc[mine, "seconds"] * each).sum()),
        "shared_flops": float((shared.loc[mine, "flops"] * each).sum()),
        "devices": set(shared.loc[mine, "device"]),
    }


def cell_fits(
    cards: Sequence[Mapping[str, Any]], folders: Mapping[str, Cards], grid: Grid, seed: int
) -> pd.DataFrame:
    """List how each cell was fitted, and what it cost.

    Parameters
    ----------
    cards : sequence of dict
        Of the work items that hold cells; a failed one holds none.
    folders : dict of str to Cards
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
    users = {g: sum(g in cell.inputs.groups for cell in grid.cells) for g in grid.imaging}
    place = {(cell.target, cell.inputs.name): cell for cell in grid.cells}
    shared, rows = _shared(folders, grid), []
    shares: dict[tuple, dict] = {}
    for card in cards:
        for row in card.get("cells", ()):
            cell = place.get((row["target"], row["inputs"]))
            if cell is None:
                continue
            like = (cell.inputs.groups, row["strategy"], row["fold"], row["seed"])
            if like not in shares:
                shares[like] = _share(shared, row, cell, users)
            share = shares[like]
            devices = share["devices"] | {row.get("device") or "cpu"}
            own = {name: row.get(name) or 0.0 for name in ("seconds", "flops")}
            more = {
                "train_seconds": own["seconds"] + share["shared_seconds"],
                "shared_seconds": share["shared_seconds"],
                "flops": own["flops"] + share["shared_flops"],
                "device": "+".join(sorted(devices)),
                "attempts": int(card.get("attempts", 1)),
                "seed": seed + row["seed"],
            }
            kept = {name: row.get(name) for name in OPTIONAL}
            names = ("target", "inputs", "strategy", "fold", "n_train", "n_val", "n_test", "status")
            rows.append({name: row[name] for name in names} | kept | more)
    rows += _lost(cards, rows, grid, seed)
    table = pd.DataFrame(rows)
    numbers = [*OPTIONAL, "train_seconds", "shared_seconds", "flops"]
    table[numbers] = table[numbers].astype(np.float64)
    images = table["image_penalty"]
    table["penalty"] = images.where(images.notna(), table["trait_penalty"])
    at = {key: k for k, key in enumerate(place)}
    order = [at[key] for key in zip(table["target"], table["inputs"], strict=True)]
    ordered = table.assign(place=order).sort_values(["strategy", "fold", "seed", "place"])
    return ordered.drop(columns="place").reset_index(drop=True)


def _lost(
    cards: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], grid: Grid, seed: int
) -> list[dict[str, Any]]:
    """Rows for the cells of work items that failed as a whole: nothing is dropped silently."""
    lost, by_target = [], cells_by_target(grid)
    known = sorted({(row["strategy"], row["seed"]) for row in rows if row["strategy"] != DEDICATED})
    known = known or [(LINEAR, seed)]
    for card in cards:
        if card["status"] == "ok":
            continue
        single = card.get("cell")
        named = (
            [(single["target"], single["inputs"])]
            if single
            else [(card["target"], cell.inputs.name) for cell in by_target[card["target"]]]
        )
        members = [(DEDICATED, seed + card.get("member", 0))] if single else known
        lost += [
            {
                "target": target, "inputs": inputs, "strategy": strategy, "fold": card["fold"],
                "n_train": 0, "n_val": 0, "n_test": 0, "status": card["reason"],
                "train_seconds": np.nan, "shared_seconds": np.nan, "flops": np.nan,
                "device": card.get("device", ""), "attempts": int(card.get("attempts", 1)),
                "seed": member, **dict.fromkeys(OPTIONAL),
            }
            for target, inputs in named
            for strategy, member in members
        ]  # fmt: skip
    return lost
