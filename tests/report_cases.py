"""A few targets' worth of invented evidence tables, in the columns of the real ones."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from reporting_cases import study_grid

from ukb_brain.grid import Grid
from ukb_brain.reports.page import build_report
from ukb_brain.statistics.inputs.contributions import players_of
from ukb_brain.statistics.limits.power_law import extrapolate

TARGETS = ("sex", "age", "smoking", "body_fat", "hb", "mood_swings", "guilty")
ENDS = ("", "_low", "_high")


def few_targets() -> Grid:
    grid = study_grid()
    kept = {key: grid.targets[key] for key in TARGETS}
    return Grid(**grid.model_dump(exclude={"targets"}), targets=kept)


def around(value: float, half: float = 0.03, name: str = "estimate") -> dict[str, float]:
    """An estimate with bounds on both sides; plain bounds where it is not named."""
    low, high = ("low", "high") if name == "estimate" else (f"{name}_low", f"{name}_high")
    return {name: value, low: value - half, high: value + half}


def contributions(grid: Grid) -> pd.DataFrame:
    rows = []
    for domain in grid.domains:
        keys = grid.targets_of(domain)
        for at, key in enumerate((*keys, "")):
            parts = players_of(keys[0], grid)
            about = {"domain": domain, "target": key, "other": "", "verdict": "", "note": ""}
            about["n_targets"] = 1 if key else len(keys)
            rows.append(about | {"measure": "baseline", "part": ""} | around(0.1))
            rows += [
                about
                | {"measure": "contribution", "part": part}
                | around(0.02 * place - 0.01 * at, 0.015)
                for place, part in enumerate(parts)
            ]
            rows.append(about | {"measure": "fullest", "part": ""} | around(0.4))
            pair = {"measure": "interaction", "part": parts[0], "other": parts[1]}
            rows.append(about | pair | around(-0.1) | {"verdict": "redundancy"})
    return pd.DataFrame(rows)


def calibration_curves(grid: Grid) -> pd.DataFrame:
    rows = []
    for key, target in grid.targets.items():
        for bin_ in range(5):
            binary = target.kind == "binary"
            middle = 0.1 + 0.15 * bin_ if binary else 50.0 + 3 * bin_
            row = {"bin": bin_, "n": 400, "predicted": middle, "target": key}
            row |= {"events": round(400 * middle) if binary else None}
            rows.append(row | around(middle, 0.02, "observed"))
    table = pd.DataFrame(rows).rename(columns={"observed_low": "low", "observed_high": "high"})
    return table.assign(inputs="all", events=table["events"].astype("Int64"))


def confounds(grid: Grid) -> pd.DataFrame:
    rows = []
    for at, (key, target) in enumerate(grid.targets.items()):
        row = {"target": key, "inputs": "DWI", "n": 4000 + at, "status": "ok"}
        row["metric"] = "roc_auc" if target.kind == "binary" else "r2"
        for name, value in (("score", 0.7), ("within_site", 0.65), ("confounds", 0.6)):
            row |= around(value + at / 100, 0.02, name)
        rows.append(row | around(0.05 * (at % 2), 0.02, "gain"))
    return pd.DataFrame(rows)


def reliability(grid: Grid) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"target": key, "n": 500.0 + at, "status": "ok", "inputs": "all"}
            | around(0.8 + at / 50, 0.03, "ceiling")
            | around(0.3 + at / 20, 0.03, "share")
            for at, key in enumerate(grid.targets)
        ]
    )


@cache
def learning_curves() -> tuple[pd.DataFrame, pd.DataFrame]:
    grid, rng = few_targets(), np.random.default_rng(3)
    sizes = np.array([400.0, 800, 1600, 3200])
    curves, fits = [], []
    for at, key in enumerate(grid.targets):
        about = {"target": key, "inputs": grid.fullest(key).name, "strategy": "linear"}
        skill = 0.6 - 0.1 * at * (sizes / 3200) ** -0.5
        drawn = skill + rng.normal(0, 0.02, (100, 1)) + rng.normal(0, 0.01, (100, 4))
        for n, value in zip(sizes, skill, strict=True):
            point = {"n_train": int(n), "n_test": 800, "status": "ok"}
            curves.append(about | point | around(value, 0.04, "skill"))
        fits.append(about | extrapolate(sizes.tolist(), skill, drawn))
    return pd.DataFrame(curves), pd.DataFrame(fits)


def evidence_tables() -> dict[str, pd.DataFrame]:
    """Every table of the report, of the few targets."""
    grid = few_targets()
    cells = [(c.target, c.inputs.name) for c in grid.cells]
    names = pd.DataFrame(cells, columns=["target", "inputs"])
    small = np.arange(len(names)) % 3 == 0
    p = np.where(small, 0.001, 0.3)
    subgroups = pd.DataFrame(
        [
            {"target": "smoking", "inputs": "all", "subgroup_of": "age_band", "subgroup": name}
            | {"n": n, "status": "ok", "p_adjusted": 0.01, "differs": differs}
            | around(0.6, 0.05, "score")
            | around(0.1, 0.04, "difference")
            for name, n, differs in (("under 55", 9, True), ("65 and over", 741, True))
        ]
    )
    pairs = [("sex", "age"), ("hb", "sex"), ("guilty", "mood_swings")]
    curves, fits = learning_curves()
    models = [(d, "t1", 0.02 + 0.01 * k) for k, d in enumerate(grid.domains)]
    return {
        "intervals": names.assign(metric="roc_auc", low=0.5, high=0.6),
        "permutations": names.assign(skill=0.3, p=p, p_bh=p, p_max=p * 10),
        "comparisons": pd.DataFrame(
            {
                "target": ["smoking"] * 3 + ["age"],
                "part": ["diffusion", "serology", "all images", "diffusion"],
                "difference": [0.1, 0.0, 0.0, -0.001],
                "low": [0.05, -0.03, np.nan, -0.01],
                "high": [0.15, 0.03, np.nan, 0.008],
                "verdict": ["adds", "unknown", "unknown", "no gain"],
                "note": ["", "", "both cells score the same", ""],
                "margin": 0.02,
            }
        ),
        "contributions": contributions(grid),
        "mixed_models": pd.DataFrame(
            [
                {"domain": d, "term": t, "model": "m", "n": 28, "p": 0.041} | around(v, 0.01)
                for d, t, v in models
            ]
        ),
        "mixed_models_resampled": pd.DataFrame(
            [
                {"domain": d, "outcome": o, "weighting": w, "term": t} | around(v + more, 0.02)
                for d, t, v in models
                for o, w, more in (
                    ("balanced_accuracy", "equal", 0.001),
                    ("balanced_accuracy", "precision", 0.1),
                    ("skill", "equal", 0.2),
                )
            ]
        ),
        "claims": pd.DataFrame(
            [
                {"claim": "a", "text": "Sex is legible.", "part": part, "basis": "test people"}
                | {"statistic": 0.9, "low": 0.87, "high": 0.93}
                | {"bound": 0.5, "p": 0.001, "verdict": "supported", "reason": "above 0.5"}
                for part in ("skill from all images", "all")
            ]
        ),
        "calibration": pd.DataFrame(
            [
                {"target": "smoking", "inputs": "all", "measure": m, "note": NOTE} | around(v)
                for m, v in (("calibration_slope", 0.87), ("calibration_intercept", -0.04))
            ]
        ),
        "calibration_curves": calibration_curves(grid),
        "subgroups": subgroups,
        "confounds": confounds(grid),
        "reliability": reliability(grid),
        "repeatability": pd.DataFrame(
            [
                {"target": "sex", "inputs": "images", "n": 21, "status": "ok"}
                | around(0.83, 0.05, "icc")
            ]
        ),
        "scan_agreement": pd.DataFrame(
            [
                {"scans": "functional", "sites": sites, "n": n, "status": "ok"}
                | around(0.61, 0.05, "icc")
                for sites, n in (("as they are", 9.0), ("made alike", 41.0))
            ]
        ),
        "participation": pd.DataFrame(
            [
                {"target": "sex", "inputs": "images", "metric": "roc_auc"}
                | around(0.91, 0.02, "plain")
                | around(0.89, 0.02, "weighted")
                | around(-0.02, 0.01, "difference")
            ]
        ),
        "relations": pd.DataFrame(
            [
                {"measure": "mutual_information", "target": a, "other": b, "p_adjusted": 0.02}
                | around(0.3 - k / 10)
                for k, (a, b) in enumerate(pairs)
            ]
        ),
        "centrality": pd.DataFrame(
            {"measure": "mutual_information", "target": ["sex", "age"], "estimate": [0.8, 0.2]}
        ),
        "learning_curves": curves,
        "learning_curve_fits": fits,
        "left_out_sites": pd.DataFrame(
            [
                {"target": "sex", "inputs": "all", "strategy": "linear", "site": site, "n_test": 9}
                | around(value, 0.05, "skill")
                for site, value in (("all", 0.6), ("Reading", 0.5), ("Newcastle", 0.7))
            ]
        ),
        "model_scale": pd.DataFrame(
            [
                {"target": "sex", "inputs": "all", "strategy": "amortised", "variant": variant}
                | {"parameters": parameters}
                | around(0.6, 0.05, "skill")
                | around(gain, 0.01, "gain")
                for variant, parameters, gain in (
                    ("as_it_is", 123456.0, 0.0),
                    ("twice_as_wide", np.nan, 0.02),
                )
            ]
        ),
        "verdicts": pd.DataFrame(
            {
                "target": ["sex"],
                "verdict": ["limited by the number of people"],
                "reasons": ["its curve still rises"],
            }
        ),
    }


NOTE = "Recalibration of a binary target on 9 validation people has no line."


def report(source: str = "synthetic", *names: str) -> str:
    """The page of all tables, or of some."""
    tables = evidence_tables()
    kept = {name: tables[name] for name in names or tables}
    return build_report(few_targets(), source, 10, **kept)
