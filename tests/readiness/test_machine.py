import pytest
import torch
import yaml
from modelling_cases import GRID, MODELLING
from raw_cases import CONF

from ukb_brain.cluster import Compute
from ukb_brain.planning import Case, Planning, StoredRates
from ukb_brain.readiness.findings import Readiness
from ukb_brain.readiness.machine import check_cost, check_machine, existing_part
from ukb_brain.tables.splits import Splitting

RATES = StoredRates(**yaml.safe_load((CONF / "parameters_plan.yml").read_text())["stored_rates"])


def case_of(participants):
    planning = Planning(presets="mine", participants=participants, edges=10, devices=1)
    return Case("mine", MODELLING, GRID, (6, 7, 8), Splitting(), planning, ("rsfmri",))


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


def test_every_strategy_of_the_run_has_its_cost(tmp_path):
    ready = Readiness(people=100, visits=120)
    check_cost(ready, case_of(100), RATES, Compute(workers=1, device="cpu"), tmp_path)
    told = {finding.item: finding.words for finding in ready.findings}
    assert set(told) == {"scans", "disk", *MODELLING.strategies}
    assert "all imaging visits" in told["scans"]
    assert ready.problems == []


def test_a_disk_that_is_too_small_is_a_warning(tmp_path, monkeypatch):
    class Usage:
        free = 1e9

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    ready = Readiness(people=100, visits=100)
    check_cost(ready, case_of(100), RATES, Compute(workers=1, device="cpu"), tmp_path)
    (problem,) = ready.problems
    assert problem.severity == "warning"
    assert "1.0 GB are free" in problem.what
