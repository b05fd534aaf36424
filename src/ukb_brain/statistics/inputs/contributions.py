"""What each imaging group and block contributes to a target's skill: Shapley values.

The players are the imaging groups and the blocks that a target's cells vary in; what a coalition
of players is worth is the skill of its cell. Players share out exactly what the fullest cell has
above the cell without any of them. All of it is linear in the cells' skill, so that the skill of
bootstrap draws gives intervals at once.

Cells of a target have slightly different test people, because imaging is missing here and there.
Skill is that of the people common to all of the target's cells: otherwise a contribution would be
in part a difference between people. Contributions are those of these trained networks and of this
scale of skill (R², or 2·AUC − 1).
"""

from collections.abc import Sequence
from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import percentile_interval
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of


def players_of(target: str, grid: Grid) -> tuple[str, ...]:
    """List the imaging groups and blocks that a target's cells vary in."""
    blocks = (block for block in grid.blocks_of(target) if block != grid.base_domain)
    return (*grid.imaging, *blocks)


def coalitions(target: str, grid: Grid) -> list[str]:
    """Name the inputs of every coalition of a target's players, in the order of `shapley`."""
    players, least = players_of(target, grid), grid.blocks_of(target, least=True)
    names = []
    for coalition in range(2 ** len(players)):
        there = [player for at, player in enumerate(players) if coalition >> at & 1]
        groups = tuple(part for part in there if part in grid.imaging)
        blocks = (part for part in there if part not in grid.imaging)
        names.append(grid.inputs(groups, (*least, *blocks)).name)
    return names


def contribution_table(skill: pd.DataFrame, grid: Grid, level: float = 0.95) -> pd.DataFrame:
    """Share out each target's skill, then each domain's, among imaging groups and blocks.

    Of a domain it is the mean over its targets, draw by draw.

    Parameters
    ----------
    skill : pandas.DataFrame
        From `ukb_brain.statistics.scores.cell_scores.common_scores`.

    Returns
    -------
    pandas.DataFrame
        Columns of `reported.contributions`, ``target`` being empty in rows of domains. ``measure``
        is ``baseline`` (the cell without any player; no skill, where that has no input at all),
        ``contribution`` (one row a ``part``), ``fullest`` (the cell with all players: baseline and
        contributions add up to it) or ``interaction`` (one row a pair, ``part`` and ``other``),
        whose ``verdict`` is ``synergy`` or ``redundancy`` where the interval lies above or below 0,
        and else ``unknown``: one pair at a time, without correction for their number. Where a cell
        is missing, a target's numbers are NaN, and a domain is without it; ``note`` says so, and
        ``n_targets`` counts those that are there.
    """
    worth = {
        str(key): _worth(mine.droplevel("target"), str(key), grid)
        for key, mine in skill.groupby(level="target", sort=False)
    }
    tables = []
    for key, values in worth.items():
        lacking = int(np.isnan(values[0]).sum())
        note = f"{lacking} of {values.shape[1]} cells have no skill" if lacking else ""
        rows = _rows(values, players_of(key, grid), level)
        about = {"domain": grid.targets[key].domain, "target": key}
        tables.append(rows.assign(**about, n_targets=int(not lacking), note=note))
    for domain in grid.domains:
        keys = grid.targets_of(domain)
        kept = [worth[key] for key in keys if key in worth and np.isfinite(worth[key][0]).all()]
        players = players_of(keys[0], grid) if keys else ()
        note = f"{len(kept)} of {len(keys)} targets have all cells"
        values = np.mean(kept, axis=0) if kept else np.full((2, 2 ** len(players)), np.nan)
        rows = _rows(values, players, level).assign(domain=domain, target="")
        note = "" if len(kept) == len(keys) else note
        tables.append(rows.assign(n_targets=len(kept), note=note))
    return table_of(reported.contributions, pd.concat(tables, ignore_index=True))


def _worth(cells: pd.DataFrame, target: str, grid: Grid) -> Floats:
    """Skill of each coalition, shape (1 + draws, coalitions); NaN where there is no such cell."""
    values = np.array(cells.reindex(coalitions(target, grid)).T, dtype=float)
    if not grid.blocks_of(target, least=True):
        # Without any input there is no cell: a guess has no skill, in no draw.
        values[:, 0] = 0.0
    return values


def _rows(values: Floats, players: Sequence[str], level: float) -> pd.DataFrame:
    names = [
        ("baseline", "", ""),
        *(("contribution", player, "") for player in players),
        ("fullest", "", ""),
        *(("interaction", *pair) for pair in combinations(players, 2)),
    ]
    found = np.column_stack([values[:, 0], shapley(values), values[:, -1], interactions(values)])
    if np.isnan(values[0]).any():
        found[:] = np.nan
    low, high = np.transpose([percentile_interval(drawn, level) for drawn in found[1:].T])
    signed = np.select([low > 0, high < 0], ["synergy", "redundancy"], "unknown")
    table = pd.DataFrame(names, columns=["measure", "part", "other"])
    verdict = np.where(table["measure"] == "interaction", signed, "")
    return table.assign(estimate=found[0], low=low, high=high, verdict=verdict)


def shapley(values: Floats) -> Floats:
    """Share out what all players together are worth above none of them.

    Exact, by one matrix product.

    Shapley LS (1953). A value for n-person games. Contributions to the theory of games 2:307.

    Parameters
    ----------
    values : ndarray, shape (..., 2**k)
        Worth of each coalition, in any unit: that of entry c holds player i if bit i of c is 1.

    Returns
    -------
    ndarray, shape (..., k)
        A player's mean worth to those before it, over all orders of the players. They sum to the
        last value less the first.
    """
    k = _players(values)
    matrix = np.zeros((k, 2**k))
    for player in range(k):
        for others, size in _coalitions(k, (player,)):
            weight = factorial(size) * factorial(k - size - 1) / factorial(k)
            matrix[player, others | 1 << player] += weight
            matrix[player, others] -= weight
    return np.asarray(values @ matrix.T)


def interactions(values: Floats) -> Floats:
    """Measure what pairs of players are worth together beyond what each is worth by itself.

    Exact, by one matrix product.

    Grabisch M, Roubens M (1999). An axiomatic approach to the concept of interaction among players
    in cooperative games. International Journal of Game Theory 28:547.

    Parameters
    ----------
    values : ndarray, shape (..., 2**k)
        As for `shapley`.

    Returns
    -------
    ndarray, shape (..., k·(k − 1)/2)
        The Shapley interaction index of each pair, in the order of ``itertools.combinations``:
        above 0 where two complement each other, below 0 where they tell the same.
    """
    k = _players(values)
    pairs = list(combinations(range(k), 2))
    matrix = np.zeros((len(pairs), 2**k))
    for row, (one, two) in enumerate(pairs):
        for others, size in _coalitions(k, (one, two)):
            weight = factorial(size) * factorial(k - size - 2) / factorial(k - 1)
            matrix[row, [others, others | 1 << one | 1 << two]] += weight
            matrix[row, [others | 1 << one, others | 1 << two]] -= weight
    return np.asarray(values @ matrix.T)


def _players(values: Floats) -> int:
    k = int(values.shape[-1]).bit_length() - 1
    if values.shape[-1] != 2**k:
        raise ValueError(f"{values.shape[-1]} coalitions are not those of any number of players")
    return k


def _coalitions(k: int, without: tuple[int, ...]) -> list[tuple[int, int]]:
    """Coalitions of k players that lack some, each with its size."""
    barred = sum(1 << player for player in without)
    return [(c, c.bit_count()) for c in range(2**k) if not c & barred]
