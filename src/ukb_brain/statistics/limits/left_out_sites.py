"""Table of scores on sites that were not learned from: each site, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.statistics.limits.learning_curves import SCORE, described, draw_skills
from ukb_brain.statistics.scores.legibility_map import score_map
from ukb_brain.statistics.scores.skill import with_skill

ALL_SITES = "all"
COLUMNS = ["target", "kind", "inputs", "strategy", "site", "n_train", "n_test", "status", *SCORE]


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
        `COLUMNS`, one row a cell, strategy and site, scored as learning curves are, and one for
        `ALL_SITES`, as the map is: of the areas of all sites the mean by people, of R² that of
        everybody's predictions together, about their common mean. A site without a score leaves
        that row without one; its status says how many.
    """
    place = {key: k for k, key in enumerate(grid.targets)}
    rows: list[dict[str, Any]] = []
    skills = draw_skills(predictions, fits, participants, grid, draws, seed)
    for (target, inputs, strategy, fold), drawn in skills.items():
        kind = grid.targets[target].kind
        about = {"target": target, "kind": kind, "inputs": inputs, "strategy": strategy}
        rows.append(about | {"site": sites[fold]} | described(drawn, kind, level))
    chosen = {key[:3] for key in skills}
    for strategy in strategies if skills else ():
        together = with_skill(
            score_map(predictions, fits, participants, grid, strategy, draws, level, seed)
        )
        for row in together.assign(site=ALL_SITES).to_dict("records"):
            if (row["target"], row["inputs"], row["strategy"]) in chosen:
                rows.append({column: row[column] for column in COLUMNS})
    rows.sort(key=lambda r: (place[r["target"]], r["inputs"], r["strategy"], r["site"]))
    texts = {"target", "kind", "inputs", "strategy", "site", "status", "metric"}
    counts = {"n_train", "n_test"}
    kinds = {c: "str" if c in texts else "int64" if c in counts else "float64" for c in COLUMNS}
    return pd.DataFrame(rows).reindex(columns=COLUMNS).astype(kinds)
