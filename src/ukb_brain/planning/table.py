"""The plan as a table: one row a size, strategy and number of devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ukb_brain.planning.case import Case
from ukb_brain.planning.measure import Rates
from ukb_brain.planning.memory import prediction_rows, store_bytes
from ukb_brain.planning.work import Stage, makespan, stages_of
from ukb_brain.tables.schemas import STRATEGY
from ukb_brain.tables.table import COUNT, NOT_NEGATIVE, NUMBER, declared, one_of, within
from ukb_brain.training.dedicated import DEDICATED
from ukb_brain.training.target import AMORTISED

# Ruffle et al., NeuroImage 291:120600 (2024): 700 trainings on P100 cards.
STUDY, STUDY_HOURS, STUDY_CARD, STUDY_PEOPLE, STUDY_CELLS = (
    "published",
    4_526.0,
    "P100",
    23_810,
    700,
)
# A row of predictions in its file, and while all of them are gathered; both were measured.
FILED, GATHERED = 9.0, 165.0
HOUR, GB = 3600.0, 1e9


# What settings would cost. A row without devices is the study's own account of itself.
Plan = declared(
    "preset strategy devices device participants folds cells networks epochs hours training_hours "
    "other_hours longest_item_hours training_pflop times_amortised device_gb process_gb gather_gb "
    "models_gb scans_gb basis",
    "preset strategy devices",
    kinds={
        "strategy": STRATEGY,
        "devices": within({"dtype": pd.Int64Dtype, "nullable": True}, ge=1),
        "participants cells networks epochs": COUNT,
        "folds": within(COUNT, ge=1),
        "training_hours other_hours": within(NUMBER, ge=0),
        "hours longest_item_hours training_pflop times_amortised": NOT_NEGATIVE,
        "device_gb process_gb gather_gb models_gb scans_gb": NOT_NEGATIVE,
        "basis": one_of("measured", "scaled", "assumed", "published"),
    },
)


def plan_table(cases: Sequence[Case], rates: Mapping[str, Rates], processes: int) -> pd.DataFrame:
    """Predict hours, memory and disk of each size, strategy and number of devices.

    Parameters
    ----------
    cases : sequence of Case
        One a preset.
    rates : dict of str to Rates
        What was measured, by preset.
    processes : int
        Of this machine, for work that needs no GPU.

    Returns
    -------
    pandas.DataFrame
        As `Plan`; the last row is the study's.
    """
    rows = []
    for case in cases:
        work = stages_of(case, rates[case.name])
        amortised = sum(sum(stage.seconds) for stage in work[AMORTISED])
        for strategy, stages in work.items():
            seconds = sum(sum(stage.seconds) for stage in stages)
            common = _about(case, rates[case.name], strategy, stages)
            common["times_amortised"] = seconds / amortised
            rows += [
                common | {"devices": devices, "hours": _hours(stages, devices, common, processes)}
                for devices in sorted(set(case.planning.devices))
            ]
    table = pd.DataFrame([*rows, _published()])
    return table[list(Plan.columns)].astype({"devices": "Int64"})


def _hours(
    stages: Sequence[Stage], devices: int, about: Mapping[str, object], processes: int
) -> float:
    """Stages follow each other; what needs no GPU has this machine's processes, or more."""
    others = devices if about["device"] == "cpu" else max(devices, processes)
    return sum(makespan(s.seconds, devices if s.trains else others) for s in stages) / HOUR


def _about(case: Case, rates: Rates, strategy: str, stages: Sequence[Stage]) -> dict[str, object]:
    networks = [stage for stage in stages if stage.trains]
    chosen = case.modelling.dedicated if strategy == DEDICATED else case.modelling.encoders
    bases = [stage.basis for stage in stages]
    disk = sum(s.disk_bytes for s in stages) + FILED * prediction_rows(case, strategy)
    return {
        "preset": case.name,
        "strategy": strategy,
        "device": rates.encoders.device if networks else "cpu",
        "participants": case.planning.participants,
        "folds": case.parts.folds,
        "cells": len(case.cells) if strategy == DEDICATED else len(case.grid.cells),
        "networks": sum(len(stage.seconds) for stage in networks),
        "epochs": chosen.loop.epochs_for(case.parts.train) if networks else 0,
        "training_hours": sum(sum(stage.seconds) for stage in networks) / HOUR,
        "other_hours": sum(sum(s.seconds) for s in stages if not s.trains) / HOUR,
        "longest_item_hours": max(max(stage.seconds) for stage in stages) / HOUR,
        "training_pflop": sum(stage.flops for stage in stages) / 1e15,
        "device_gb": max((stage.device_bytes for stage in networks), default=0.0) / GB,
        "process_gb": (rates.process_bytes + max(s.process_bytes for s in stages)) / GB,
        "gather_gb": (rates.process_bytes + GATHERED * prediction_rows(case, strategy)) / GB,
        "models_gb": disk / GB,
        "scans_gb": store_bytes(case) / GB,
        "basis": next((b for b in ("assumed", "scaled") if b in bases), "measured"),
    }


def _published() -> dict[str, object]:
    nothing = ("hours", "longest_item_hours", "training_pflop", "times_amortised")
    unknown = ("device_gb", "process_gb", "gather_gb", "models_gb", "scans_gb")
    return dict.fromkeys([*nothing, *unknown], float("nan")) | {
        "preset": "the study",
        "strategy": DEDICATED,
        "devices": None,
        "device": STUDY_CARD,
        "participants": STUDY_PEOPLE,
        "folds": 1,
        "cells": STUDY_CELLS,
        "networks": STUDY_CELLS,
        "epochs": 0,
        "training_hours": STUDY_HOURS,
        "other_hours": 0.0,
        "basis": STUDY,
    }
