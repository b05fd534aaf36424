"""What each imaging group and block adds: the fullest cell against the cell without that part.

Gains are judged on predictions as cells made them, before the ladder: it gives a cell whose own
inputs were not chosen the very predictions of the cell without them, and a difference of exactly 0
that no test person had a say in (`ukb_brain.training.ladder`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid, Inputs
from ukb_brain.statistics.certainty.corrections import adjusted_by_family
from ukb_brain.statistics.certainty.delong import paired_delong
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.inputs.comparisons import difference, verdict
from ukb_brain.statistics.inputs.judged import Pair, judged_pairs
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import headline
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.tested import Tested
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

Row = dict[str, Any]
SAME_SCORES = "both cells score the same in every draw, which is no evidence"
TOO_FEW = "fewer test people than verdicts on gains were measured with"
NO_SCORE = "a cell has no score, or test people in common are too few or of one class"

# Of a class, and of all: benchmarks/gains.py has no fewer.
LEAST_OF_CLASS, LEAST_PEOPLE = 20, 60


def comparison_table(unrefined: Tested, margin: float) -> pd.DataFrame:
    """Say of every imaging group and block whether it adds to all others."""
    rows: list[Row] = []
    for key, table in unrefined.targets.items():
        inputs = [cell.inputs for cell in unrefined.grid.cells if cell.target == key]
        pairs = compare_pairs(table, inputs, unrefined.draws, margin, unrefined.level)
        domain = unrefined.grid.targets[key].domain
        rows += [pair | {"tests": f"{domain}, {pair['part']}"} for pair in pairs]
    return adds_table(rows, margin)


def imaging_gains(comparisons: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Take what all imaging adds to each target's blocks from the comparisons.

    Returns
    -------
    pandas.DataFrame
        ``target, gain, gain_low, gain_high``, one row a target outside the base domain: the cell
        with everything less the one with every block and no imaging.
    """
    bare = {key: grid.without_imaging(key).name for key in grid.targets}
    mine = comparisons[comparisons["target"].map(bare) == comparisons["without"]]
    names = {"difference": "gain", "low": "gain_low", "high": "gain_high"}
    return mine.rename(columns=names)[["target", *names.values()]].reset_index(drop=True)


def compare_pairs(
    table: TargetPredictions,
    inputs: Sequence[Inputs],
    draws: FamilyDraws,
    margin: float,
    level: float = 0.95,
) -> list[Row]:
    """Compare a target's fullest cell with those that lack a part, on the people common to both.

    Parameters
    ----------
    table : TargetPredictions
        Test people of the target; nobody may have been in training.
    inputs : sequence of Inputs
        Of the target's cells, each once. One without scores has its pairs all the same, which then
        say so.

    Returns
    -------
    list of dict
        One a pair: ``target, inputs, without, part, n`` (people in common), ``skill,
        skill_without`` on these people, ``difference, low, high, se, p, upper, p_below,
        p_equivalent, p_delong`` and ``note``: why there is no verdict, or empty.

    Raises
    ------
    InputError
        If the margin is not above 0.
    """
    names, pairs = [one.name for one in inputs], judged_pairs(inputs)
    columns = pd.DataFrame(table.predicted, columns=list(table.inputs)).reindex(columns=names)
    table = replace(table, inputs=tuple(names), predicted=columns.to_numpy(float))
    known = np.isfinite(table.predicted)
    # Pairs of the same people share their scores: a cell is scored once a set of people.
    together: dict[bytes, list[Pair]] = {}
    for pair in pairs:
        common = known[:, pair.larger] & known[:, pair.smaller]
        together.setdefault(common.tobytes(), []).append(pair)
    rows: dict[Pair, Row] = {}
    for mask, mine in together.items():
        people = table.restricted(np.frombuffer(mask, dtype=bool))
        cells = sorted({at for pair in mine for at in (pair.larger, pair.smaller)})
        skills = dict(zip(cells, _skills(people, cells, draws).T, strict=True))
        for pair in mine:
            two = np.stack([skills[pair.larger], skills[pair.smaller]])
            rows[pair] = _row(people, pair, two, margin, level)
    return [rows[pair] for pair in pairs]


def _skills(people: TargetPredictions, cells: list[int], draws: FamilyDraws) -> Floats:
    """Skill of cells on some people: the estimates in the first row, then the draws."""
    if len(people.y) < 2:
        return np.full((3, len(cells)), np.nan)
    kind, weights = KINDS[people.kind], draws.weights(people.family)
    drawn = np.vstack([np.ones(len(people.y)), weights])
    given = (people.kind, people.y, people.predicted[:, cells], drawn, people.fold)
    skills = kind.skill(headline(*given))
    # As in the map: everybody is scored or nobody.
    if min(kind.rarest(people.y[people.fold == one]) for one in np.unique(people.fold)) < 1:
        skills[:] = np.nan
    return skills


def _row(people: TargetPredictions, pair: Pair, skills: Floats, margin: float, level: float) -> Row:
    estimates, drawn = skills[:, 0], skills[:, 1:]
    found = asdict(difference(estimates, drawn, margin, level))
    scored = bool(np.isfinite(estimates).all())
    return {
        "target": people.target,
        "inputs": people.inputs[pair.larger],
        "without": people.inputs[pair.smaller],
        "part": pair.part,
        "n": len(people.y),
        "skill": estimates[0],
        "skill_without": estimates[1],
        "note": _note(people, found),
        "difference": found.pop("estimate"),
        **found,
        "p_delong": _delong_p(people, pair) if scored else np.nan,
    }


def _note(people: TargetPredictions, found: Mapping[str, float]) -> str:
    """Say why there is no verdict on a pair; nothing where there is."""
    if np.isnan(found["estimate"]):
        return NO_SCORE
    if np.isnan(found["low"]):
        return SAME_SCORES
    few = len(people.y) < LEAST_PEOPLE or KINDS[people.kind].rarest(people.y) < LEAST_OF_CLASS
    return TOO_FEW if few else ""


def _delong_p(people: TargetPredictions, pair: Pair) -> float:
    """Test equal areas, where skill is made of them: an opinion independent of the bootstrap's."""
    if KINDS[people.kind].headline != "roc_auc":
        return np.nan
    larger, smaller = (people.predicted[:, at] for at in (pair.larger, pair.smaller))
    return paired_delong(people.y, larger, smaller, people.family, people.fold).p


def adds_table(rows: Sequence[Row], margin: float) -> pd.DataFrame:
    """Put pairs into one table, correct them by family, and give verdicts.

    Parameters
    ----------
    rows : sequence of dict
        From `compare_pairs`, each with ``tests``, its declared family of tests, such as its domain
        and part.

    Returns
    -------
    pandas.DataFrame
        With ``p_adjusted`` (Holm's), ``margin`` and ``verdict``. No row where no target has two
        such cells, as with a single part.
    """
    table = table_of(reported.comparisons, rows)
    table["p_adjusted"] = adjusted_by_family(table["p"], table["tests"], "holm")
    table["verdict"] = [
        "unknown"
        if row["note"]
        else verdict(row["difference"], row["p_adjusted"], row["upper"], margin)
        for row in table.to_dict("records")
    ]
    return table_of(reported.comparisons, table.assign(margin=float(margin)))
