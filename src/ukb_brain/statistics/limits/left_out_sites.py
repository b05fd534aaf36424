"""Table of scores on sites that were not learned from: each site, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.limits.learning_curves import CELL, described, draw_skills
from ukb_brain.statistics.scores.performance import score_map
from ukb_brain.statistics.scores.skill import with_skill
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

ALL_SITES = "all"


def score_left_out_sites(
    predictions: pd.DataFrame,
    fits: pd.DataFrame,
    participants: pd.DataFrame,
    sites: Mapping[int, str],
    strategies: Sequence[str],
    grid: Grid,
    draws: int,
    level: float,
    seed: int,
) -> pd.DataFrame:
    """Score models on the site that each has not seen.

    Parameters
    ----------
    predictions, fits : pandas.DataFrame
        Of a fold a site, as those of the map.
    sites : dict of int to str
        Names of the left-out sites, by fold.
    strategies : sequence of str
        Those that were run.

    Returns
    -------
    pandas.DataFrame
        One row a cell, strategy and site, scored as learning curves are, and one for `ALL_SITES`,
        as the map is: of the areas of all sites the mean by people, of R² that of everybody's
        predictions together, about their common mean. A site without a score leaves that row
        without one; its status says how many.
    """
    place = {key: k for k, key in enumerate(grid.targets)}
    skills = draw_skills(predictions, fits, participants, grid, draws, seed)
    rows: list[dict[Any, Any]] = [
        described(key, drawn, grid, level) | {"site": sites[key[3]]}
        for key, drawn in skills.items()
    ]
    chosen = {key[:3] for key in skills}
    families = FamilyDraws(participants["family"], draws, seed)
    for strategy in strategies if skills else ():
        tables = (predictions, fits, participants)
        together = with_skill(score_map(*tables, grid, strategy, families, level))
        rows += [
            row
            for row in together.assign(site=ALL_SITES).to_dict("records")
            if tuple(row[name] for name in CELL) in chosen
        ]
    rows.sort(key=lambda r: (place[r["target"]], r["inputs"], r["strategy"], r["site"]))
    return table_of(reported.left_out_sites, rows)
