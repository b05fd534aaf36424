"""The study's network at its own size: scans at 1 mm, volumes of 64³, a handful of participants."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

PROJECT = Path(__file__).parents[1]

PEOPLE, EPOCHS = 48, 1
PARAMS = {
    "preset": "study64",
    "compute": {"retries": 0},
    "synthetic_cohort": {"participants": PEOPLE, "voxel_mm": 1},
    # A dedicated network is calibrated on ten validation people or more.
    "splitting": {"train": 0.5, "validation": 0.3, "test": 0.2, "min_per_part": 3},
    "modelling": {
        "strategies": ["linear", "amortised", "dedicated"],
        "cross_fits": 2,
        "encoders": {"cross_fits": 2, "loop": {"epochs": EPOCHS, "batch_size": 8}},
        "dedicated": {"cells": 2, "loop": {"epochs": EPOCHS, "batch_size": 8}},
    },
    "reporting": {"draws": 100},
}
# The study's CNN, of three modalities at 64³.
CNN_PARAMETERS = 7_427_680


def run(folder, pipeline):
    """Run a pipeline with parameters that the command line cannot take, such as lists."""
    file = folder / "run.yml"
    params = {"data_root": str(folder / "data")} | PARAMS
    file.write_text(yaml.safe_dump({"run": {"pipelines": pipeline, "params": params}}))
    kedro = str(Path(sys.executable).with_name("kedro"))
    command = [kedro, "run", "--config", str(file)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_studys_network_trains_at_one_millimetre_and_64_cubed(tmp_path):
    for pipeline in ("synthetic_cohort", "__default__"):
        run(tmp_path, pipeline)
    root = tmp_path / "data"
    assert len(pd.read_parquet(root / "08_reporting/performance.parquet")) == 700
    cards = [json.loads(p.read_text()) for p in root.glob("06_models/dedicated/*/card.json")]
    assert len(cards) == 2
    for card in cards:
        assert card["status"] == "ok", card["reason"]
        assert card["settings"]["network"]["volume"] == "study"
        assert len(card["curves"]["train"]) == EPOCHS
    with_volumes = [card for card in cards if "T1" in card["cell"]["inputs"]]
    assert with_volumes
    assert all(card["parameters"] > CNN_PARAMETERS for card in with_volumes)
    fits = pd.read_parquet(root / "07_model_output/cell_fits.parquet")
    assert set(fits.loc[fits["status"] == "ok", "strategy"]) == {"linear", "amortised", "dedicated"}
