"""What each imaging group and block contributes to a target's skill: Shapley values.

The players are the imaging groups and the blocks that a target's cells vary in; what a coalition
of players is worth is the skill of its cell. Players share out exactly what the fullest cell has
above the cell without any of them. All of it is linear in the cells' skill, so that the skill of
bootstrap draws gives intervals at once.

Cells of a target have slightly different test people, because imaging is missing here and there.
Skill must be given of the people common to all of the target's cells: otherwise a contribution is
in part a difference between people. Contributions are those of these trained networks and of this
scale of skill (R², or 2·AUC − 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.grid import Grid, Inputs
from ukb_brain.statistics.draws import percentile_interval
from ukb_brain.statistics.inputs.shapley import interactions, shapley
from ukb_brain.statistics.sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of


@dataclass(frozen=True)
class TargetSkill:
    """Skill of a target's cells, as it is and by draw.

    Attributes
    ----------
    skill : ndarray, shape (cells,)
        R², or 2·AUC − 1, on the people common to all cells; NaN where there is none.
    drawn : ndarray, shape (draws, cells)
        The same in each bootstrap draw.
    inputs : sequence of Inputs
        Of the cells, each once.
    """

    skill: Floats
    drawn: Floats
    inputs: Sequence[Inputs]


def players_of(target: str, grid: Grid) -> tuple[str, ...]:
    """List the imaging groups and blocks that a target's cells vary in."""
    domain = grid.targets[target].domain
    if domain == grid.base_domain:
        return tuple(grid.imaging)
    return (*grid.imaging, *(d for d in grid.domains if d not in (grid.base_domain, domain)))


def coalition_matrix(inputs: Sequence[Inputs], players: Sequence[str]) -> NDArray[np.bool_]:
    """Say which players take part in each cell, shape (cells, players)."""
    return np.array([[p in (*i.groups, *i.blocks) for p in players] for i in inputs], dtype=bool)


def contributions_table(
    skill: Floats,
    drawn: Floats,
    inputs: Sequence[Inputs],
    target: str,
    grid: Grid,
    level: float = 0.95,
) -> pd.DataFrame:
    """Share out the skill of a target among imaging groups and blocks, with intervals.

    Parameters
    ----------
    skill : ndarray, shape (cells,)
        R², or 2·AUC − 1, on the test people common to all of the target's cells; NaN where a cell
        has none.
    drawn : ndarray, shape (draws, cells)
        The same in each bootstrap draw of families.
    inputs : sequence of Inputs
        Of the cells, in any order, each once and of the target; others are a ValueError.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`. ``measure`` is ``baseline`` (the cell without any player; no skill,
        where that has no input at all), ``contribution`` (one row a ``part``), ``fullest`` (the
        cell with all players: baseline and contributions add up to it) or ``interaction`` (one row
        a pair, ``part`` and ``other``), whose ``verdict`` is ``synergy`` or ``redundancy`` where
        the interval lies above or below 0, and else ``unknown``: one pair at a time, without
        correction for their number. Where a cell is missing, numbers are NaN and ``note`` says
        why.
    """
    values, drawn_values, missing = _coalition_values(
        TargetSkill(skill, drawn, inputs), target, grid
    )
    rows = _rows(values, drawn_values, players_of(target, grid), level)
    named = rows.assign(domain=grid.targets[target].domain, target=target)
    counted = named.assign(n_targets=int(not missing), note=missing)
    return table_of(reported.contributions, counted)


def domain_contributions(
    targets: dict[str, TargetSkill], domain: str, grid: Grid, level: float = 0.95
) -> pd.DataFrame:
    """Average contributions over the targets of a domain, draw by draw.

    Parameters
    ----------
    targets : dict of str to TargetSkill
        By key; those of other domains are ignored. All share their draws of families: numbers of
        them that differ are a ValueError.

    Returns
    -------
    pandas.DataFrame
        As `contributions_table`, with an empty ``target``. Targets that lack a cell are left out,
        which ``n_targets`` and ``note`` say.
    """
    keys = grid.targets_of(domain)
    found = {key: _coalition_values(targets[key], key, grid) for key in keys if key in targets}
    kept = [values for values in found.values() if not values[2]]
    if len({len(drawn) for _, drawn, _ in kept}) > 1:
        raise ValueError("targets of a domain must share their draws")
    players = players_of(keys[0], grid) if keys else ()
    note = "" if len(kept) == len(keys) else f"{len(kept)} of {len(keys)} targets have all cells"
    empty = np.full(2 ** len(players), np.nan)
    values = np.mean([each for each, _, _ in kept], axis=0) if kept else empty
    drawn = np.mean([each for _, each, _ in kept], axis=0) if kept else empty[None]
    rows = _rows(values, drawn, players, level)
    named = rows.assign(domain=domain, target="", n_targets=len(kept), note=note)
    return table_of(reported.contributions, named)


def _coalition_values(given: TargetSkill, target: str, grid: Grid) -> tuple[Floats, Floats, str]:
    """Skill in the order of `shapley`, as it is and by draw, and what is missing."""
    players = players_of(target, grid)
    allowed = {*players, grid.base_domain} - {grid.targets[target].domain}
    if any(not allowed.issuperset((*i.groups, *i.blocks)) for i in given.inputs):
        raise ValueError(f"cells of {target} have inputs other than {sorted(allowed)}")
    if given.skill.shape != (len(given.inputs),) or given.drawn.shape[1:] != given.skill.shape:
        raise ValueError(
            f"{len(given.inputs)} cells, skill {given.skill.shape}, drawn {given.drawn.shape}"
        )
    place = coalition_matrix(given.inputs, players) @ (1 << np.arange(len(players)))
    if len(set(place.tolist())) < len(place):
        raise ValueError(f"cells of {target} occur more than once")
    values = np.full(2 ** len(players), np.nan)
    drawn = np.full((len(given.drawn), len(values)), np.nan)
    if not grid.blocks_of(target, least=True):
        # Without any input there is no cell: a guess has no skill, in no draw.
        values[0], drawn[:, 0] = 0.0, 0.0
    values[place], drawn[:, place] = given.skill, given.drawn
    lacking = int(np.isnan(values).sum())
    return values, drawn, f"{lacking} of {len(values)} cells have no skill" if lacking else ""


def _rows(values: Floats, drawn: Floats, players: Sequence[str], level: float) -> pd.DataFrame:
    pairs = list(combinations(players, 2))
    names = [
        ("baseline", "", ""),
        *(("contribution", player, "") for player in players),
        ("fullest", "", ""),
        *(("interaction", one, two) for one, two in pairs),
    ]
    measured, by_draw = (
        np.column_stack([v[:, 0], shapley(v), v[:, -1], interactions(v)])
        for v in (values[None], drawn)
    )
    known, rows = np.isfinite(values).all(), []
    for (measure, part, other), estimate, draws in zip(names, measured[0], by_draw.T, strict=True):
        low, high = percentile_interval(draws, level) if known else (np.nan, np.nan)
        signed = "synergy" if low > 0 else "redundancy" if high < 0 else "unknown"
        row = {"measure": measure, "part": part, "other": other, "low": low, "high": high}
        row |= {"estimate": estimate if known else np.nan}
        rows.append(row | {"verdict": signed if measure == "interaction" else ""})
    return pd.DataFrame(rows)
