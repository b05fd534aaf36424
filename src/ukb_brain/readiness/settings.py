"""Settings that contradict each other, which else would be found after hours of training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ukb_brain.grid import Grid
from ukb_brain.problems import Problem
from ukb_brain.statistics.claims import claims_of, names_unknown


def problems_of_map(wanted: Iterable[str], trained: Iterable[str]) -> list[Problem]:
    """Find that the map has no strategy.

    Parameters
    ----------
    wanted, trained : iterable of str
        Of ``reporting.strategy``, of which one is enough, and of ``modelling.strategies``.

    Returns
    -------
    list of Problem
    """
    there = list(trained)
    if set(wanted) & set(there):
        return []
    named = ", ".join(wanted)
    return problems_of_strategies({"reporting.strategy": [named]}, there)


def problems_of_strategies(
    wanted: Mapping[str, Iterable[str]], trained: Iterable[str]
) -> list[Problem]:
    """Find settings that name a strategy that is not trained.

    Parameters
    ----------
    wanted : dict of str to iterable of str
        Strategies by the setting that names them.
    trained : iterable of str
        Of ``modelling.strategies``.

    Returns
    -------
    list of Problem
    """
    there = list(trained)
    problems = []
    for setting, names in wanted.items():
        absent = [name for name in names if name not in there]
        if absent:
            problems.append(
                Problem(
                    "stop",
                    f"{setting} names {', '.join(absent)}, and modelling.strategies are "
                    f"{', '.join(there)}",
                    f"name one of these in {setting}, or train it too",
                )
            )
    return problems


def problems_of_claims(text: Mapping[str, Any], grid: Grid) -> list[Problem]:
    """Find claims that name what nobody knows.

    Parameters
    ----------
    text : dict
        As in the file of claims.
    grid : Grid
        Of the run; what was taken out of it by name is no mistake: its claims are shown as not in
        this grid.

    Returns
    -------
    list of Problem

    Raises
    ------
    InputError
        If a claim is not as it should be, with its name.
    """
    problems = []
    for name, claim in claims_of(text).items():
        odd = names_unknown(claim, grid)
        if odd:
            problems.append(
                Problem(
                    "stop",
                    f"claim {name!r} names {', '.join(odd)}, which is no target, domain or imaging "
                    "group of the grid, nor taken out of it",
                    "correct conf/base/parameters/claims.yml, or set the claim to null in your "
                    "environment",
                )
            )
    return problems
