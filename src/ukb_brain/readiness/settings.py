"""Settings that contradict each other, which else would be found after hours of training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ukb_brain.grid import Grid
from ukb_brain.problems import Problem
from ukb_brain.statistics.claims import claims_of


def problems_of_grid(grid: Grid) -> list[Problem]:
    """Find domains without targets.

    Parameters
    ----------
    grid : Grid
        Of the run.

    Returns
    -------
    list of Problem
    """
    return [
        Problem(
            "stop",
            f"domain {domain!r} of the grid has no target, so that its block would be empty",
            "give it one, or take it out of grid.domains",
        )
        for domain in grid.domains
        if not grid.targets_of(domain)
    ]


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
    """Find claims that name what the grid has not.

    Parameters
    ----------
    text : dict
        As in the file of claims.
    grid : Grid
        Of the run; what it leaves out by name is no mistake, and its claims cannot be tested.

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
        terms = [term for contrast in claim.contrasts for term in contrast.terms]
        odd = [
            *(target for target in claim.targets if target not in grid.targets),
            *(d for d in [claim.domain] if d is not None and d not in grid.domains),
            *(g for t in terms for g in t.groups if g not in {*grid.imaging, *grid.left_out}),
            *(b for t in terms for b in t.blocks if b not in grid.domains),
        ]
        if odd:
            problems.append(
                Problem(
                    "stop",
                    f"claim {name!r} names {', '.join(dict.fromkeys(odd))}, which the grid has not",
                    "correct conf/base/parameters/claims.yml, or set the claim to null in your "
                    "environment",
                )
            )
    return problems
