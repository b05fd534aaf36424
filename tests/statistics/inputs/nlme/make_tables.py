"""Writes tables.csv: results in the study's layout, invented, for R and for ours to fit.

    .venv/bin/python tests/statistics/inputs/nlme/make_tables.py

`fit.R` fits them; see there. The tables are the study's four domains, and of disease three more:
with cells missing, with no variance between targets, and with serology constant within targets.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))
from reporting_cases import study_grid  # noqa: E402 -- a script finds it on the path set above

GRID = study_grid()
FLAGS = ["t1", "dwi", "rsfmri", "serology", "disease", "psychology"]
EFFECTS = [0.03, 0.01, -0.012, 0.004, 0.006, 0.002]


def cells_of(domain):
    rows = [
        {"domain": domain, "target": cell.target} | GRID.flags(cell.inputs)
        for cell in GRID.cells
        if GRID.targets[cell.target].domain == domain
    ]
    return pd.DataFrame(rows)[["domain", "target", *FLAGS]].astype(dict.fromkeys(FLAGS, int))


def scored(cells, rng, sd_target=0.08):
    """Scores with a level a target and effects of inputs, and a precision a cell."""
    levels = pd.Series({t: rng.normal(0, sd_target) for t in cells["target"].unique()})
    variance = 1 / rng.gamma(4, 0.25, len(cells))
    noise = rng.normal(0, 0.02, len(cells)) * np.sqrt(variance)
    score = 0.6 + cells["target"].map(levels) + cells[FLAGS].to_numpy() @ EFFECTS + noise
    score += 0.02 * cells["t1"] * cells["dwi"]
    return cells.assign(score=score.round(6), weight=(1 / variance).round(6))


def tables():
    rng = np.random.default_rng(2024)
    made = {domain: scored(cells_of(domain), rng) for domain in GRID.domains}
    disease = cells_of("disease")
    missing = scored(disease, rng)
    chance = np.where(missing["target"] == "asthma", 0.7, 0.2)
    made["missing"] = missing[rng.random(len(missing)) > chance]
    flat = scored(disease, rng, sd_target=0)
    made["boundary"] = flat.assign(score=(
        flat["score"] - flat.groupby("target")["score"].transform("mean") + 0.6
    ).round(6))  # fmt: skip
    outer = disease["target"].isin(["smoking", "atopy"]) == (disease["serology"] == 1)
    made["outer"] = scored(disease[outer], rng)
    return pd.concat([t.assign(table=name) for name, t in made.items()], ignore_index=True)


if __name__ == "__main__":
    made = tables()
    made[["table", *made.columns.drop("table")]].to_csv(HERE / "tables.csv", index=False)
