"""The page about depth: a table, and in words when networks are worth their cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from benchmarks import depth_runs as runs
from benchmarks.depth_shares import (
    ADAPTED,
    COLUMNS,
    DEDICATED,
    KERNELS,
    LINEAR,
    MAP,
    SHARED,
    Cohort,
    Key,
    costs,
    estimate,
)
from benchmarks.record import markdown
from benchmarks.skills import with_interval


def _told(value: float, interval: Mapping[str, float], sign: str = "") -> str:
    low, high = interval["low"], interval["high"]
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def table_of(
    cohorts: Sequence[Cohort], truth: pd.DataFrame, keys: Mapping[str, Key]
) -> tuple[list[str], list[list[str]]]:
    """Make the table of the page: a truth a row, then what each reader costs."""
    heads = ["target", "planted", "inputs", "best linear reader", *COLUMNS, "oracle"]
    rows = []
    for target, key in keys.items():
        least, most = truth.loc[key, ["reachable_linear", "reachable"]]
        row = [target, runs.TRUTHS[target], key[1], f"{least:.3f}"]
        for reader in COLUMNS:
            skill = estimate(cohorts, reader, key)
            row.append("" if skill is None else _told(*with_interval(skill)))
        rows.append([*row, f"{most:.3f}"])
    spent = costs(cohorts)
    hours = [f"{spent[r] / 3600:.2f}" if r in spent else "" for r in COLUMNS]
    rows.append(["worker hours of the whole grid", "", "", "", *hours, ""])
    return heads, rows


def verdicts(cohorts: Sequence[Cohort], keys: Mapping[str, Key]) -> dict[str, list[str]]:
    """Sort truths by the least that reads them: ridge, kernels or networks.

    Networks are worth it where the map beats kernels, and kernels do where the map does not beat
    them but beats `linear`, by intervals wholly above 0. Each truth comes with what decided it.
    """
    found: dict[str, list[str]] = {"networks": [], KERNELS: [], LINEAR: []}
    for target, key in keys.items():
        gains = {other: estimate(cohorts, MAP, key, other) for other in (KERNELS, LINEAR)}
        told = {k: with_interval(gain) for k, gain in gains.items() if gain is not None}
        if len(told) < len(gains):
            continue
        above = [other for other in gains if told[other][1]["low"] > 0]
        by, over = ("networks", KERNELS) if KERNELS in above else (KERNELS, LINEAR)
        if not above:
            by, over = LINEAR, LINEAR
        found[by].append(f"{target} ({_told(*told[over], sign='+')})")
    return found


def _beats(cohorts: Sequence[Cohort], keys: Mapping[str, Key], one: str, other: str) -> str:
    """Say where one reader beats another, by an interval wholly above 0; nothing if not known."""
    changes = {t: estimate(cohorts, one, key, other) for t, key in keys.items()}
    told = {t: with_interval(change) for t, change in changes.items() if change is not None}
    if not told:
        return ""
    wins = [f"{t} ({_told(*gain, sign='+')})" for t, gain in told.items() if gain[1]["low"] > 0]
    return ", ".join(wins) or "nowhere"


def lead(cohorts: Sequence[Cohort], keys: Mapping[str, Key]) -> str:
    """Say in words when networks are worth their cost and when ten lines do, by the numbers."""
    least = verdicts(cohorts, keys)
    if not any(least.values()):
        return "No run is complete enough to say when networks are worth their cost."
    parts = []
    if least["networks"]:
        parts.append(
            "Networks are worth training for what no kernel reads: the map beats kernels in "
            f"{', '.join(least['networks'])}."
        )
    else:
        parts.append("Nowhere here are networks worth training: the map beats kernels in nothing.")
    if least[KERNELS]:
        parts.append(
            "Kernels do, and ridge does not, where the map beats `linear` but not kernels: "
            f"{', '.join(least[KERNELS])}."
        )
    if least[LINEAR]:
        parts.append(
            "Ten lines of ridge do where the map does not beat even `linear`: "
            f"{', '.join(least[LINEAR])}."
        )
    if where := _beats(cohorts, keys, ADAPTED, SHARED):
        parts.append(f"Adapting encoders to a domain beats what is shared: {where}.")
    if where := _beats(cohorts, keys, DEDICATED, MAP):
        parts.append(f"A network for each cell beats the map: {where}.")
    spent = costs(cohorts)
    if {MAP, LINEAR, KERNELS} <= {*spent}:
        plain = spent[LINEAR] + spent[KERNELS]
        parts.append(
            f"For the whole grid the map takes {spent[MAP] / 3600:.1f} worker hours, of which "
            f"`linear` and kernels are {plain / 3600:.1f}"
            + (
                f"; a network for each cell takes {spent[DEDICATED] / 3600:.0f}, "
                f"{spent[DEDICATED] / spent[MAP]:.0f} times as much."
                if DEDICATED in spent
                else "."
            )
        )
    return " ".join(parts)


def section(cohorts: Sequence[Cohort], truth: pd.DataFrame, keys: Mapping[str, Key]) -> str:
    """Write the page's section."""
    heads, rows = table_of(cohorts, truth, keys)
    seeds = " and ".join(str(cohort.seed) for cohort in cohorts)
    people = runs.COHORT["participants"]
    about = (
        f"SYNTHETIC. Skill (R², or 2·AUC − 1), averaged over cohorts of {people:,} people at "
        f"{runs.COHORT['voxel_mm']} mm (seeds {seeds}), of whom a fifth is tested; 95 % intervals "
        "over families, wider where cohorts differ by more. The best linear reader learnt from "
        f"{runs.COHORT['reference_people']:,} others, the oracle is told what is planted "
        "(docs/data.md). Shared encoders and adapted ones are heads alone; the map averages them "
        "with `linear` and kernels. Of dedicated networks each has the length that validation "
        "people prefer, and hours are those of its length alone. Differences in brackets are in "
        "skill. Empty: not run yet. Written by `make bench ONLY=depth`.\n"
    )
    return f"## A truth with depth\n\n{lead(cohorts, keys)}\n\n{about}\n{markdown(heads, rows)}"
