"""What runs of the benchmark of depth are given, as the project's own configuration reads it."""

from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from benchmarks import depth_runs, record
from benchmarks.skills import study_grid

PROJECT = Path(__file__).parents[2]


def modelling_of(run):
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT, runtime_params=depth_runs.params(1, run)) as session:
        return session.load_context().params["modelling"]


@pytest.mark.parametrize("run", [*depth_runs.RUNS])
def test_a_run_has_the_presets_encoders_but_for_what_it_changes(run):
    found = modelling_of(run)
    assert found.encoders.network.pooling == found.kernels.pooling == 1
    assert found.encoders.network.options["volume"] == {"stem": 2, "width": 32}
    assert found.encoders.loop.epochs == 10
    assert found.strategies == ("linear", "kernels", "amortised")
    assert found.ladder == ("heads" not in run)
    assert found.average == (("head",) if "heads" in run else ("head", "linear", "kernels"))
    assert found.encoders.refine.rank == (4 if "adapted" in run else 0)


def test_refining_is_within_five_times_the_shared_training():
    grid, shared = study_grid(), modelling_of("map").encoders.loop.epochs
    assert depth_runs.ADAPTED["refine"]["epochs"] * len(grid.domains) <= 5 * shared
    assert depth_runs.ADAPTED["network"] == depth_runs.ENCODERS["network"]


def test_runs_are_done_in_an_order_that_has_what_each_shares(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "WORK", tmp_path)
    done = []

    def run(root, pipelines, given):
        done.append((root.name, pipelines))
        (root / "07_model_output").mkdir(parents=True)
        (root / depth_runs.PREDICTED).touch()

    monkeypatch.setattr(depth_runs, "kedro_run", run)
    monkeypatch.setattr(depth_runs, "prepare_cohort", lambda seed: None)
    for name in depth_runs.RUNS:
        depth_runs.do_run(1, name)
        depth_runs.do_run(1, name)
    roots = ["depth_1", "depth_1_heads", "depth_1_adapted", "depth_1_adapted_heads"]
    assert done == [(name, "modelling") for name in roots]
    shared = {p.name for p in (tmp_path / "depth_1_heads/06_models").iterdir()}
    assert "encoders" in shared
    # Other encoders are not written into those of the map.
    assert "encoders" not in {p.name for p in (tmp_path / "depth_1_adapted/06_models").iterdir()}
    assert (tmp_path / "depth_1_adapted_heads/06_models/encoders").readlink() == (
        tmp_path / "depth_1_adapted/06_models/encoders"
    )
    assert "cells" not in shared


def test_a_second_cohort_takes_what_linear_readers_reach_from_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "WORK", tmp_path)
    truth = depth_runs.root_of(1) / "synthetic_truth"
    truth.mkdir(parents=True)
    (truth / "linear_reader_abc.npy").touch()
    given = {}

    def run(root, pipelines, params):
        given[pipelines] = params
        if pipelines != "synthetic_cohort":
            (root / "03_primary").mkdir()
            parts = pd.DataFrame({"part": ["train"] * 8 + ["test"] * 2})
            parts.to_parquet(root / "03_primary/splits.parquet")
            parts.to_parquet(root / "03_primary/quality.parquet")

    monkeypatch.setattr(depth_runs, "kedro_run", run)
    root = depth_runs.prepare_cohort(2)
    assert (root / "synthetic_truth/linear_reader_abc.npy").exists()
    assert given["synthetic_cohort"]["synthetic_cohort"]["seed"] == 2
    assert given["synthetic_cohort"]["synthetic_cohort"]["depth"]
    assert len(given) == 2
    given.clear()
    depth_runs.prepare_cohort(2)
    assert not given
