"""The GPU benchmark, on the processor: its stages by the same code, small, and what it imports."""

import json
import os
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.gpu import NAMES, NO_GPU, STAGES
from benchmarks.on_gpu import cohort, whole
from benchmarks.on_gpu.stages import DONE, FAILED, STOPPED, Setup, Stage, run_stages, spread
from benchmarks.record import Figure

PROJECT = Path(__file__).parents[2]
# What a bare machine has, beside what docs/gpu.md lists.
BARE = ("torch", "numpy")
# As if what is not there had never been installed: torch asks of some modules whether they are.
HOOK = """\
import os, sys
REFUSED = set(os.environ["REFUSED"].split())
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        refused = name.partition(".")[0] in REFUSED
        return None if refused else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def listed():
    """Packages of the pip line in docs/gpu.md, and all that they and torch rest on."""
    text = (PROJECT / "docs/gpu.md").read_text()
    todo = [*BARE, *re.search(r"pip install --target site (.+)", text)[1].split()]
    found = set()
    while todo:
        name = canonicalize_name(todo.pop())
        if name not in found:
            found.add(name)
            needs = (Requirement(text) for text in metadata.requires(name) or ())
            todo += [n.name for n in needs if n.marker is None or n.marker.evaluate({"extra": ""})]
    return found


def on_a_bare_machine(folder, *arguments):
    """Run the script where nothing can be imported but the standard library and what is listed."""
    (folder / "sitecustomize.py").write_text(HOOK)
    known = listed()
    refused = [
        module
        for module, of in metadata.packages_distributions().items()
        if module != "ukb_brain" and not {canonicalize_name(name) for name in of} & known
    ]
    assert {"kedro", "mlflow", "dask_jobqueue", "pandera", "distributed"} <= {*refused}
    path = os.pathsep.join(map(str, (folder, PROJECT / "src", PROJECT)))
    # Threads that wait for each other do not spin, where tests run side by side.
    environment = {"REFUSED": " ".join(refused), "PYTHONPATH": path, "GOMP_SPINCOUNT": "0"}
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments]
    return subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card, and all would be done")
def test_without_a_card_it_says_so_and_does_nothing(tmp_path):
    done = on_a_bare_machine(tmp_path, "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout.strip()) == (0, NO_GPU), done.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_no_stage_is_refused(tmp_path):
    done = on_a_bare_machine(tmp_path, "--toy", "--stages", "1,7")
    assert done.returncode == 2
    assert "there is no stage '7'; there are cohort, 1, 2" in done.stderr


@pytest.mark.slow
def test_all_stages_run_small_on_the_processor_of_a_bare_machine(tmp_path):
    out = tmp_path / "out"
    done = on_a_bare_machine(tmp_path, "--toy", "--out", str(out))
    assert done.returncode == 0, done.stderr
    lines = {name: json.loads((out / f"{name}.json").read_text()) for name in NAMES}
    assert {(line["state"], line["why"]) for line in lines.values()} == {(DONE, "")}

    for network in lines["1"]["networks"].values():
        assert max(network["led"], network["free"]) <= 1e-4
        # Another precision is another training, and near.
        assert network["led"] < network["bf16"] < 0.05
        # All kernels of the processor are deterministic.
        assert network["twice_bit_for_bit"]
        assert network["resumed_bit_for_bit"]

    rows = lines["2"]["steps"]
    assert {row["compiled"] for row in rows} == {False, True}
    assert {row["edge"] for row in rows} == {20, 24}
    assert all(row["of_matrix_ceiling"] > 0 and row["of_memory_ceiling"] > 0 for row in rows)
    assert 0 <= lines["2"]["waiting"]["light"]["wait_share"] < 1

    modelled = lines["3"]
    assert {*modelled["seconds_of_items"]} == {
        *["steps", "vectors", "encoders", "grams", "kernels", "cells"]
    }
    assert modelled["failed"] == {}
    truth = pd.read_csv(out / "truth.csv")
    assert len(truth) == modelled["cells"]
    # Ridge from 84 people reads some of age.
    assert 0.1 < modelled["age"]["linear"] < truth["reachable"].max()
    assert {*modelled["margins"]["amortised"]} == {"age", "hypertension"}

    for cell in lines["4"]["cells"].values():
        gap = cell["map_minus_dedicated"]
        assert gap["value"] == pytest.approx(cell["skill_of_map"] - cell["skill"])
        assert gap["low"] < gap["value"] < gap["high"]

    assert {*lines["5"]["took"]} > {"encoders", "cells", "dedicated"}
    hours = lines["5"]["hours_of_study"]
    assert 0 < hours["linear"]["hours"] < hours["amortised"]["hours_of_100_epochs"]

    assert lines["6"]["halving"]["pieces_where_short"] == 2
    assert lines["6"]["fp16"]["apart"] < 0.05
    assert lines["6"]["two"]["finite"]

    figures = json.loads((out / "results.json").read_text())
    assert {name.split(":")[0] for name in figures} == {f"gpu, {name}" for name in NAMES}
    # A second run finds everything, and tells the same.
    again = run_stages(STAGES, Setup.small(out), NAMES)
    assert {figure.name for figure in again} == {*figures}
    assert lines == {name: json.loads((out / f"{name}.json").read_text()) for name in NAMES}


def test_stages_end_within_eight_minutes():
    assert sum(stage.share for stage in STAGES) < 480


def setup_in(folder):
    return Setup(folder, torch.device("cpu"), toy=True, processes=1)


def test_a_stage_that_fails_is_recorded_and_the_next_goes_on(tmp_path):
    done = []

    def fail(setup, found):
        found["begun"] = 1
        raise ValueError("person 9000001 is missing")

    def succeed(setup, found):
        done.append(found)
        found["value"] = 2.0

    def figures(line):
        return [Figure("value", line["value"])] if "value" in line else []

    stages = [Stage("a", 5, fail, figures), Stage("b", 5, succeed, figures)]
    for _ in range(2):
        assert run_stages(stages, setup_in(tmp_path), ["a", "b"]) == [Figure("value", 2.0)]
    # What is done is not done again.
    assert len(done) == 1
    failed = setup_in(tmp_path).line("a")
    assert (failed["state"], failed["begun"]) == (FAILED, 1)
    assert failed["why"] == "ValueError: person ####### is missing"


def test_a_stage_stops_when_its_time_is_over_and_later_goes_on_from_there(tmp_path):
    def count(setup, found):
        found["steps"] = found.get("steps", 0) + 1
        # An error on the way out is the end of the time all the same.
        try:
            time.sleep(30 if found["steps"] == 1 else 0)
        finally:
            if found["steps"] == 1:
                raise OSError("a library was interrupted")

    stage, setup = Stage("slow", 0.2, count, lambda line: []), setup_in(tmp_path)
    started = time.monotonic()
    run_stages([stage], setup, ["slow"])
    assert time.monotonic() - started < 10
    assert (setup.line("slow")["state"], setup.line("slow")["steps"]) == (STOPPED, 1)
    run_stages([stage], setup, ["slow"])
    assert (setup.line("slow")["state"], setup.line("slow")["steps"]) == (DONE, 2)


def test_time_that_a_stage_leaves_passes_on(tmp_path):
    quick = Stage("quick", 5, lambda setup, found: None, lambda line: [])
    slow = Stage("slow", 0.01, lambda setup, found: time.sleep(0.3), lambda line: [])
    run_stages([quick, slow], setup_in(tmp_path), ["quick", "slow"])
    assert setup_in(tmp_path).line("slow")["state"] == DONE


def test_jobs_are_done_in_one_process_or_in_several():
    jobs = [4, 9, 16]
    assert list(spread(os.path.basename, ["a/b", "c"], 1)) == ["b", "c"]
    assert sorted(spread(np.sqrt, jobs, 2)) == [2, 3, 4]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cohort of few people."""
    out = tmp_path_factory.mktemp("made")
    setup = Setup.small(out)
    return setup, cohort.make_cohort(setup)


def test_the_cohort_is_of_whole_families_and_has_scans_of_everybody(made):
    setup, drawn = made
    people = drawn.people[0]
    assert len(people.eid) == setup.people
    for family in np.unique(people.family):
        assert len(set(people.part[people.family == family])) == 1
    assert all(has.all() for has in people.has.values())
    for group, edges in {"structural": 2, "diffusion": 1}.items():
        volumes = drawn.scans.groups[group].read(people.keys(np.arange(3)))
        assert volumes.shape == (3, edges, setup.edge, setup.edge, setup.edge)
        # Brains differ, and have an empty corner each.
        assert np.abs(volumes[0] - volumes[1]).max() > 0.5
        assert (volumes[:, :, :2, :2, :2].std(axis=(2, 3, 4)) == 0).all()


def test_the_cohort_goes_on_from_whom_it_has(made, monkeypatch):
    setup, drawn = made
    monkeypatch.setattr(cohort, "draw_some", pytest.fail)
    again = cohort.make_cohort(setup)
    np.testing.assert_array_equal(again.people[0].targets["age"], drawn.people[0].targets["age"])


def test_share_of_the_deep_margin_is_counted_from_the_best_linear_reader():
    grid = Setup.small(Path()).grid
    rng, n = np.random.default_rng(0), 400
    y = rng.normal(size=n)
    inputs = grid.imaging_alone("age").name
    truth = pd.DataFrame(
        {
            "target": ["age", "hypertension"],
            "inputs": [inputs, grid.imaging_alone("hypertension").name],
            "metric": ["r2", "roc_auc"],
            "reachable": [0.9, 0.7],
            # Of hypertension no more is to be read than linear readers do.
            "reachable_linear": [0.5, 0.69],
        }
    )
    eid = np.arange(n)
    predicted = pd.DataFrame({"eid": eid, "target": "age", "inputs": inputs, "y_true": y})
    # R² is about .7, half of the way.
    predicted["y_pred"] = y + np.sqrt(0.3) * rng.normal(size=n)
    found = whole.margins(predicted, pd.Series(eid, index=eid), truth, grid)
    assert list(found) == ["age"]
    assert found["age"]["margin"] == pytest.approx(0.4)
    assert found["age"]["low"] < 0.5 < found["age"]["high"]
    reached = 1 - np.mean((predicted["y_pred"] - y) ** 2) / np.var(y)
    assert found["age"]["share"] == pytest.approx((reached - 0.5) / 0.4, abs=0.01)
    plain = truth.drop(columns="reachable_linear")
    assert whole.margins(predicted, pd.Series(eid, index=eid), plain, grid) == {}
