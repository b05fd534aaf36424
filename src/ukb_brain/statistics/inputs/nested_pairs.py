"""What each imaging group and block adds: the fullest cell against the cell without that part.

Gains are judged on predictions as cells made them, before the ladder: it gives a cell whose own
inputs were not chosen the very predictions of the cell without them, and a difference of exactly 0
that no test person had a say in (`ukb_brain.training.ladder`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.grid import Inputs
from ukb_brain.statistics.certainty.corrections import Method, adjusted_by_family
from ukb_brain.statistics.certainty.delong import paired_delong
from ukb_brain.statistics.inputs.comparisons import difference, equivalence, verdict
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import headline
from ukb_brain.statistics.sums import Floats
from ukb_brain.tables import reported
from ukb_brain.tables.table import table_of

# The part of the pair that differs by every imaging group.
ALL_IMAGES = "all images"
SAME_SCORES = "both cells score the same in every draw, which is no evidence"
TOO_FEW = "fewer test people than verdicts on gains were measured with"
NO_SCORE = "a cell has no score, or test people in common are too few or of one class"

# Of a class, and of all: benchmarks/gains.py has no fewer.
LEAST_OF_CLASS, LEAST_PEOPLE = 20, 60


@dataclass(frozen=True)
class Pair:
    """Two cells of a target that differ by one part, or by all images.

    Attributes
    ----------
    part : str
        The imaging group or block that only the larger has, or `ALL_IMAGES`.
    """

    larger: int
    smaller: int
    part: str


@dataclass(frozen=True, eq=False)
class PairInput:
    """Test people of one target and what its cells predict for them.

    Attributes
    ----------
    kind : str
        ``binary`` or ``continuous``.
    inputs : tuple of Inputs
        Of the cells, each once.
    y : ndarray, shape (n,)
        0 or 1, or in the target's own units.
    predicted : ndarray, shape (n, cells)
        NaN where a cell lacks the person.
    fold, family : ndarray of int, shape (n,)
        The fold that tested each person; relatives have the same family.
    """

    kind: str
    inputs: tuple[Inputs, ...]
    y: Floats
    predicted: Floats
    fold: NDArray[np.int64]
    family: NDArray[np.int64]


def judged_pairs(inputs: Sequence[Inputs]) -> list[Pair]:
    """Pair a target's fullest cell with the cells that lack one part of it, or all its images.

    Returns
    -------
    list of Pair
        In the order of the parts, then of all images together (`ALL_IMAGES`), where those are
        several groups; a pair whose smaller cell is not given is left out.
    """
    if not inputs:
        return []
    place = {(one.groups, one.blocks): at for at, one in enumerate(inputs)}
    full = max(inputs, key=lambda one: len(one.groups) + len(one.blocks))
    without = {
        part: tuple(tuple(one for one in of if one != part) for of in (full.groups, full.blocks))
        for part in (*full.groups, *full.blocks)
    }
    if len(full.groups) > 1:
        without[ALL_IMAGES] = ((), full.blocks)
    at = place[full.groups, full.blocks]
    return [Pair(at, place[rest], part) for part, rest in without.items() if rest in place]


def judged_inputs(inputs: Sequence[Inputs]) -> list[Inputs]:
    """List the cells of a target whose predictions before the ladder are kept.

    Returns
    -------
    list of Inputs
        In the given order: those of `judged_pairs`, and those with as few blocks as may be, with
        all images and with none, on which the gain beyond confounds is judged.
    """
    pairs = judged_pairs(inputs)
    used = {at for pair in pairs for at in (pair.larger, pair.smaller)}
    groups = max((one.groups for one in inputs), key=len, default=())
    for some in (groups, ()):
        mine = [at for at, one in enumerate(inputs) if one.groups == some]
        used |= set(sorted(mine, key=lambda at: len(inputs[at].blocks))[:1])
    return [one for at, one in enumerate(inputs) if at in used]


def compare_pairs(
    tested: PairInput,
    weights: Callable[[NDArray[np.int64]], Floats],
    margin: float,
    level: float = 0.95,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Compare a target's fullest cell with those that lack a part, on the people common to both.

    Parameters
    ----------
    tested : PairInput
        Test people of the target; nobody may have been in training.
    weights : callable
        From families, shape (n,), to bootstrap weights, shape (draws, n); `FamilyDraws.weights`.

    Returns
    -------
    pandas.DataFrame
        One row a pair: ``inputs, without, part, n`` (people in common), ``skill, skill_without``
        on these people, ``difference, low, high, se, p, upper, p_below, p_equivalent, p_delong``
        and ``note``: why there is no verdict, or empty.

    Raises
    ------
    InputError
        If the margin is not above 0.
    """
    known = np.isfinite(tested.predicted)
    pairs = judged_pairs(tested.inputs)
    # Pairs of the same people share their scores: a cell is scored once a set of people.
    together: dict[bytes, list[Pair]] = {}
    for pair in pairs:
        common = known[:, pair.larger] & known[:, pair.smaller]
        together.setdefault(common.tobytes(), []).append(pair)
    rows: dict[Pair, dict[str, object]] = {}
    for mask, mine in together.items():
        people = np.frombuffer(mask, dtype=bool)
        cells = sorted({at for pair in mine for at in (pair.larger, pair.smaller)})
        column = {cell: at for at, cell in enumerate(cells)}
        skills = _skills(tested, people, cells, weights)
        for pair in mine:
            two = skills[:, [column[pair.larger], column[pair.smaller]]].T
            rows[pair] = _row(tested, pair, people, two, margin, level, alpha)
    return pd.DataFrame([rows[pair] for pair in pairs])


def _skills(
    tested: PairInput,
    people: NDArray[np.bool_],
    cells: list[int],
    weights: Callable[[NDArray[np.int64]], Floats],
) -> Floats:
    """Skill of cells on some people: the estimates in the first row, then the draws."""
    if people.sum() < 2:
        return np.full((3, len(cells)), np.nan)
    drawn = np.vstack([np.ones(people.sum()), weights(tested.family[people])])
    y, fold, predicted = tested.y[people], tested.fold[people], tested.predicted[people][:, cells]
    kind = KINDS[tested.kind]
    skills = kind.skill(headline(tested.kind, y, predicted, drawn, fold))
    # As in the map: everybody is scored or nobody.
    if min(kind.rarest(y[fold == one]) for one in np.unique(fold)) < 1:
        skills[:] = np.nan
    return skills


def _row(
    tested: PairInput,
    pair: Pair,
    people: NDArray[np.bool_],
    skills: Floats,
    margin: float,
    level: float,
    alpha: float,
) -> dict[str, object]:
    estimates, drawn = skills[:, 0], skills[:, 1:]
    found = asdict(difference(estimates, drawn, level))
    note = _note(tested, people, found)
    return {
        "inputs": tested.inputs[pair.larger].name,
        "without": tested.inputs[pair.smaller].name,
        "part": pair.part,
        "n": int(people.sum()),
        "skill": estimates[0],
        "skill_without": estimates[1],
        "difference": found.pop("estimate"),
        **found,
        **asdict(equivalence(estimates, drawn, margin, alpha)),
        "p_delong": _delong_p(tested, pair, people) if np.isfinite(estimates).all() else np.nan,
        "note": note,
    }


def _note(tested: PairInput, people: NDArray[np.bool_], found: Mapping[str, float]) -> str:
    """Say why there is no verdict on a pair; nothing where there is."""
    if np.isnan(found["estimate"]):
        return NO_SCORE
    if np.isnan(found["low"]):
        return SAME_SCORES
    rarest = KINDS[tested.kind].rarest(tested.y[people])
    return TOO_FEW if people.sum() < LEAST_PEOPLE or rarest < LEAST_OF_CLASS else ""


def _delong_p(tested: PairInput, pair: Pair, people: NDArray[np.bool_]) -> float:
    """Test equal areas, where skill is made of them: an opinion independent of the bootstrap's."""
    if KINDS[tested.kind].headline != "roc_auc":
        return np.nan
    larger, smaller = (tested.predicted[people, at] for at in (pair.larger, pair.smaller))
    of = (tested.family[people], tested.fold[people])
    return paired_delong(tested.y[people], larger, smaller, *of).p


def adds_table(
    compared: Mapping[str, pd.DataFrame],
    declared: Mapping[str, Sequence[str]],
    margin: float,
    method: Method = "holm",
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Put the pairs of all targets into one table, correct them by family, and give verdicts.

    Parameters
    ----------
    declared : dict of str to sequence of str
        For each target the declared family of each of its pairs, such as its domain and part.
    method : str
        ``holm`` or ``bh``, of `ukb_brain.statistics.certainty.corrections.adjusted_by_family`.

    Returns
    -------
    pandas.DataFrame
        The rows of all, after ``target`` and ``tests`` (the declared family of tests), and with
        ``p_adjusted, margin, verdict``.
        No row where no target has two such cells, as with a single part.
    """
    parts = [f.assign(target=key, tests=[*declared[key]]) for key, f in compared.items() if len(f)]
    table = table_of(reported.comparisons, pd.concat(parts, ignore_index=True) if parts else ())
    table["p_adjusted"] = adjusted_by_family(table["p"], table["tests"], method)
    table["verdict"] = [
        "unknown"
        if row["note"]
        else verdict(row["difference"], row["p_adjusted"], row["upper"], margin, alpha)
        for row in table.to_dict("records")
    ]
    return table_of(reported.comparisons, table.assign(margin=float(margin)))
