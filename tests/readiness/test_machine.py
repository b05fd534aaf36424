from dataclasses import replace

import pytest
import torch
from modelling_cases import GRID, MODELLING

from ukb_brain.cluster import Compute
from ukb_brain.planning import Case, Planning, parts_of
from ukb_brain.readiness.findings import Readiness
from ukb_brain.readiness.machine import check_machine, check_needs, existing_part
from ukb_brain.tables.splits import Splitting


def case_of(participants):
    planning = Planning(presets="mine", edges=10, devices=1)
    parts = parts_of(participants, Splitting(), planning.sites)
    return Case("mine", MODELLING, GRID, (6, 7, 8), parts, planning, ("rsfmri",))


def test_the_folder_above_one_that_is_not_there_yet(tmp_path):
    assert existing_part(tmp_path / "a" / "b") == tmp_path.resolve()


def test_disk_memory_and_devices_are_told(tmp_path):
    ready = Readiness()
    check_machine(ready, tmp_path / "data", Compute(workers=1, device="cpu"))
    told = {finding.item: finding.words for finding in ready.findings}
    assert "GB free" in told["disk"]
    assert told["devices"] == "networks train on cpu"
    assert ready.problems == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_card_that_is_not_there_stops(tmp_path):
    ready = Readiness()
    check_machine(ready, tmp_path, Compute(device="cuda"))
    assert [problem.severity for problem in ready.problems] == ["stop"]


def test_memory_and_disk_are_told_and_hours_are_left_to_a_plan(tmp_path):
    ready = Readiness()
    check_needs(ready, case_of(100), Compute(workers=1, device="cpu"), tmp_path)
    told = {finding.item: finding.words for finding in ready.findings}
    assert set(told) >= {"memory", "scans", "predictions", "disk", "hours"}
    assert "GB a process" in told["memory"]
    assert "--pipelines plan" in told["hours"]
    assert ready.problems == []


def test_more_visits_take_more_disk(tmp_path):
    told = []
    for visits in (0, 20_000):
        ready = Readiness(people=10_000, visits=visits)
        case = replace(case_of(10_000), voxels=(64, 64, 64))
        check_needs(ready, case, Compute(workers=1, device="cpu"), tmp_path)
        words = {finding.item: finding.words for finding in ready.findings}["scans"]
        told.append(float(words.split()[1].replace(",", "")))
    assert told[1] == pytest.approx(2 * told[0], abs=0.2)
    assert told[1] > 0


def test_a_disk_that_is_too_small_is_a_warning(tmp_path, monkeypatch):
    class Usage:
        free = 1e9

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    ready = Readiness(people=100, visits=100)
    check_needs(ready, case_of(100), Compute(workers=1, device="cpu"), tmp_path)
    (problem,) = ready.problems
    assert problem.severity == "warning"
    assert "1.0 GB are free" in problem.what
