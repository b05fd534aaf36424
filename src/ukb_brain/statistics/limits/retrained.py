"""Tables of models that were trained once more: learning curves, left-out sites, model scale."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import FamilyDraws, bounded, percentile_interval
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.limits.power_law import average_repeats, extrapolate
from ukb_brain.statistics.scores.engine import headline
from ukb_brain.statistics.scores.performance import score_map
from ukb_brain.statistics.scores.skill import with_skill
from ukb_brain.statistics.scores.target_predictions import in_grid, people_in_test, side_by_side
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

CELL = ["target", "inputs", "strategy"]
SCORED = [*CELL, "fold", "kind", "metric", "n_train", "n_test", "status", "skill", "draws"]
ALL_SITES = "all"
# The settings as they are, with which other sizes of model are compared.
AS_IT_IS = "as it is"


def draw_skills(
    predictions: pd.DataFrame,
    fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    draws: int,
    level: float,
    seed: int,
) -> pd.DataFrame:
    """Score every fit, or the ensemble of its seeds, on its test people, in draws that all share.

    Returns
    -------
    pandas.DataFrame
        ``target, inputs, strategy, fold, kind, n_train, n_test, status, metric`` (AUC or R²),
        ``score`` and ``skill``, each with ``_low`` and ``_high``, NaN where the status says why
        there is none; and ``draws``, an array of the skill in every draw.
    """
    families, rows = FamilyDraws(participants["family"], draws, seed), []
    tested = people_in_test(predictions, participants)
    nothing = np.full(1 + draws, np.nan)
    for _, mine in in_grid(fits, grid).groupby(["strategy", "fold"], observed=True):
        targets, status = side_by_side(mine, tested, grid)
        skills: dict[tuple[str, str], Floats] = {}
        for table in targets.values():
            weights = np.vstack([np.ones((1, len(table.y))), families.weights(table.family)])
            scores = headline(table.kind, table.y, table.predicted, weights)
            of_cells = zip(table.inputs, KINDS[table.kind].skill(scores).T, strict=True)
            skills |= {(table.target, inputs): skill for inputs, skill in of_cells}
        cells = mine.drop(columns="status").drop_duplicates(["target", "inputs"])
        for row in cells.merge(status, on=["target", "inputs"]).to_dict("records"):
            kind = KINDS[grid.targets[row["target"]].kind]
            skill = skills.get((row["target"], row["inputs"]), nothing)
            low, high = percentile_interval(skill[1:], level)
            row |= {"kind": kind.name, "metric": kind.label, "draws": skill[1:]}
            for end, value in (("", float(skill[0])), ("_low", low), ("_high", high)):
                row |= {f"skill{end}": value, f"score{end}": kind.score(value)}
            rows.append(row)
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=SCORED)


def _in_order(table: pd.DataFrame, grid: Grid, *by: str) -> pd.DataFrame:
    """Sort by target, in the order of the grid, and by inputs and more."""
    place = {key: at for at, key in enumerate(grid.targets)}
    targets = table.assign(place=table["target"].map(place))
    return targets.sort_values(["place", "inputs", *by], kind="stable", ignore_index=True)


def score_learning_curves(
    skills: pd.DataFrame,
    subsets: Mapping[int, tuple[float, int]],
    grid: Grid,
    level: float,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Arrange skills by number of training people, and fit a power law to each cell's.

    Parameters
    ----------
    skills : pandas.DataFrame
        From `draw_skills`.
    subsets : dict of int to (float, int)
        Share and repeat of each number that stands in the place of a fold.

    Returns
    -------
    curves : pandas.DataFrame
        One row a cell, strategy, share and repeat.
    fits : pandas.DataFrame
        One row a cell and strategy: ``target, kind, inputs, strategy``, what
        `ukb_brain.statistics.limits.power_law.extrapolate` gives, and ``training_sd``.
    """
    share, repeat = ([subsets[fold][at] for fold in skills["fold"]] for at in (0, 1))
    some = skills.assign(share=share, repeat=repeat)
    curves = _in_order(some, grid, "strategy", "share", "repeat")
    fits = [
        {name: mine[name].iloc[0] for name in (*CELL, "kind")} | _fit(mine, level, seed)
        for _, mine in curves.groupby(CELL, sort=False)
    ]
    return (
        table_of(reported.learning_curves, curves),
        table_of(reported.learning_curve_fits, pd.DataFrame(fits)),
    )


def _fit(mine: pd.DataFrame, level: float, seed: int) -> dict[str, Any]:
    scored = mine[np.isfinite(mine["skill"])]
    if scored.empty:
        return extrapolate([], np.empty(0), np.empty((2, 0)), level) | {"training_sd": np.nan}
    skills = scored.pivot_table(index="share", columns="repeat", values="skill")
    by_draw = np.stack(scored["draws"].tolist(), axis=1)
    drawn = np.full((len(by_draw), *skills.shape), np.nan)
    rows = skills.index.get_indexer(scored["share"])
    drawn[:, rows, skills.columns.get_indexer(scored["repeat"])] = by_draw
    sizes = scored.groupby("share")["n_train"].mean().to_numpy(float)
    means, noisy, spread = average_repeats(sizes, skills.to_numpy(float), drawn, seed)
    return extrapolate(sizes.tolist(), means, noisy, level) | {"training_sd": spread}


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
    skills = draw_skills(predictions, fits, participants, grid, draws, level, seed)
    tables = [skills.assign(site=skills["fold"].map(sites))]
    families, given = FamilyDraws(participants["family"], draws, seed), (predictions, fits)
    for strategy in strategies if len(skills) else ():
        together = score_map(*given, participants, grid, strategy, families, level)
        chosen = with_skill(together).merge(skills[CELL].drop_duplicates(), on=CELL)
        tables.append(chosen.assign(site=ALL_SITES))
    table = _in_order(pd.concat(tables), grid, "strategy", "site")
    return table_of(reported.left_out_sites, table)


def score_model_scale(
    skills: Mapping[str, pd.DataFrame],
    parameters: Mapping[str, float],
    compared_with: str,
    grid: Grid,
    level: float,
) -> pd.DataFrame:
    """Compare variants and strategies with the map's, draw by draw.

    Differences of shared draws are a paired bootstrap (Efron & Tibshirani 1993, chapter 8). They
    say nothing of chance in training, which another seed would show.

    Parameters
    ----------
    skills : dict of str to pandas.DataFrame
        By variant, from `draw_skills` with one seed of the bootstrap; `AS_IT_IS` is among them.
        All variants test the same people.
    parameters : dict of str to float
        Of a variant's network; NaN where it trains none.
    compared_with : str
        Strategy of `AS_IT_IS` over which gains are counted.

    Returns
    -------
    pandas.DataFrame
        One row a target, inputs, variant and strategy. ``gain`` is the difference of skills on
        the same test people, ``gain_se`` its standard deviation over draws. That there are several
        variants is for a reader to allow for, as `ukb_brain.statistics.limits.verdicts` does.
    """
    if not skills:
        return table_of(reported.model_scale)
    every = pd.concat([found.assign(variant=name) for name, found in skills.items()])
    base, keys = skills[AS_IT_IS], ["target", "inputs", "fold"]
    base = base.loc[base["strategy"] == compared_with, [*keys, "status", "skill", "draws"]]
    both = _in_order(every.merge(base, on=keys, how="left", suffixes=("", "_base")), grid)
    sizes = both["variant"].map(parameters).where(both["strategy"] != "linear")
    gains = pd.DataFrame(
        [_gain(row, level) for row in both.to_dict("records")], dtype=float, index=both.index
    )
    return table_of(reported.model_scale, both.assign(parameters=sizes).join(gains))


def _gain(row: Mapping[Any, Any], level: float) -> dict[str, float]:
    if not row["status"] == row["status_base"] == "ok":
        return {}
    differences = row["draws"] - row["draws_base"]
    gain = bounded("gain", row["skill"] - row["skill_base"], differences, level)
    return gain | {"gain_se": float(np.nanstd(differences))}
