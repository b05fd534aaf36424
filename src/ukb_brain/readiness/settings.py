"""Settings that contradict each other, which else would be found after hours of training."""

from collections.abc import Iterable, Mapping
from typing import Any

from ukb_brain.grid import Grid
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.imaging.readers import READERS, stored_in
from ukb_brain.problems import Problem
from ukb_brain.statistics.claims import claims_of, names_unknown


def problems_of_modalities(imaging: ImagingPreprocess, grid: Grid) -> list[Problem]:
    """Find modalities that nothing can read, and imaging groups that join a vector with others."""
    remedy = f"give it one of the readers {', '.join(READERS)} there, or leave it out"
    problems = []
    for key in dict.fromkeys((*grid.modalities, *imaging.modalities)):
        record = imaging.modalities.get(key)
        reader = record.reader if record else ""
        if reader not in READERS:
            has = f"an unknown reader, {reader}," if reader else "no reader"
            what = f"modality {key} has {has} in imaging_preprocess.modalities"
            out = f" (--params grid.leave_out={key})" if key in grid.modalities else " (null)"
            problems.append(Problem("stop", what, remedy + out))
    vectors = () if problems else stored_in("vectors", imaging)
    for group, held in grid.imaging.items():
        if len(held) > 1 and {*held} & {*vectors}:
            what = f"imaging group {group} joins a vector to others: {', '.join(held)}"
            problems.append(Problem("stop", what, "make it a group of its own in grid.imaging"))
    return problems


def problems_of_map(wanted: Iterable[str], trained: Iterable[str]) -> list[Problem]:
    """Find that none of the strategies of ``reporting.strategy`` is trained."""
    there = list(trained)
    if set(wanted) & set(there):
        return []
    named = ", ".join(wanted)
    return problems_of_strategies({"reporting.strategy": [named]}, there)


def problems_of_strategies(
    wanted: Mapping[str, Iterable[str]], trained: Iterable[str]
) -> list[Problem]:
    """Find settings that name a strategy which is not trained, by strategies of each setting."""
    there = list(trained)
    absent = {
        setting: [name for name in names if name not in there] for setting, names in wanted.items()
    }
    return [
        Problem(
            "stop",
            f"{setting} names {', '.join(names)}, and modelling.strategies are {', '.join(there)}",
            f"name one of these in {setting}, or train it too",
        )
        for setting, names in absent.items()
        if names
    ]


def problems_of_claims(text: Mapping[str, Any], grid: Grid) -> list[Problem]:
    """Find claims that name what nobody knows, or raise `InputError` where one is malformed.

    What was taken out of the grid by name is no mistake: its claims are shown as not in this grid.
    """
    unknown = {name: names_unknown(claim, grid) for name, claim in claims_of(text).items()}
    return [
        Problem(
            "stop",
            f"claim {name!r} names {', '.join(odd)}, which is no target, domain or imaging group "
            "of the grid, nor taken out of it",
            "correct conf/base/parameters/claims.yml, or set the claim to null in your environment",
        )
        for name, odd in unknown.items()
        if odd
    ]
