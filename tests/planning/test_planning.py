"""A plan holds every item of a run, does some of them, and scales what they took as it says."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelling_cases import GRID, MODELLING

from ukb_brain.imaging.store import open_store
from ukb_brain.planning import Case, Planning, foresee
from ukb_brain.planning.case import Parts, parts_of
from ukb_brain.planning.invented import random_people, scans_in, write_scans
from ukb_brain.planning.measure import law_of, measure_networks, with_strategy
from ukb_brain.planning.needs import process_needs, store_bytes
from ukb_brain.planning.rehearsal import KINDS, Rehearsal, Run, epochs_of, fitted_on
from ukb_brain.planning.table import Plan, makespan, plan_table, write_plan, written
from ukb_brain.tables.splits import Splitting
from ukb_brain.training import items
from ukb_brain.training.settings import Pretrain, Refine

VOXELS, EDGES, PEOPLE = (6, 7, 8), 10, 100
GROUPS = tuple(GRID.imaging)
PLANNING = Planning(
    presets="mine", participants=PEOPLE, edges=EDGES, seconds=0.3, devices=(1, 2, 64)
)


def case_of(modelling=MODELLING, splitting=None, **planning):
    asked = PLANNING.model_copy(update=planning)
    parts = parts_of(asked.participants, splitting or Splitting(), asked.sites)
    return Case("mine", modelling, GRID, VOXELS, parts, asked, ("rsfmri",))


def with_encoders(**changes):
    return MODELLING.model_copy(update={"encoders": MODELLING.encoders.model_copy(update=changes)})


def with_loop(**changes):
    return with_encoders(loop=MODELLING.encoders.loop.model_copy(update=changes))


def run_of(case, strategy, folder):
    return Rehearsal(with_strategy(case, strategy), "cpu", folder)


@pytest.fixture(scope="module")
def foreseen():
    """All items of as many people as can be done here; of networks that a card would train."""
    return foresee(case_of(card_tflops=1e-6), "cpu")


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=30), st.integers(1, 40))
def test_items_are_spread_within_the_bounds_of_list_scheduling(seconds, workers):
    # Graham, SIAM J. Appl. Math. 17:416 (1969).
    took, longest, share = makespan(seconds, workers), max(seconds), sum(seconds) / workers
    assert took >= max(longest, share) * (1 - 1e-9)
    assert took <= (share + (1 - 1 / workers) * longest) * (1 + 1e-9)
    if workers >= len(seconds):
        assert took == longest


def test_four_items_take_sixty_four_workers_no_less_than_four():
    assert makespan([3.0] * 4, 64) == makespan([3.0] * 4, 4) == 3.0
    assert makespan([3.0] * 4, 3) == 6.0
    assert makespan([1.0, 2.0, 3.0], 2) == 4.0


def test_the_hold_out_of_the_study():
    assert parts_of(23_810, Splitting(), 4) == Parts(1, 19_048, 2_381, 2_381)


@pytest.mark.parametrize(("scheme", "folds"), [("k_fold", 5), ("leave_one_site_out", 4)])
def test_folds_test_everybody_once(scheme, folds):
    parts = parts_of(1000, Splitting(scheme=scheme), 4)
    assert parts.folds == folds
    assert parts.test * folds == parts.people == 1000
    assert parts.train / parts.validation == pytest.approx(8, rel=0.05)


@given(st.lists(st.floats(0, 10), min_size=4, max_size=4))
def test_what_is_a_sum_of_terms_is_found_as_one(coefficients):
    terms = [(1.0, n, n**2, n**3) for n in (1.0, 2.0, 4.0, 8.0, 16.0)]
    found = law_of(terms, [float(np.dot(coefficients, t)) for t in terms])
    assert (found >= 0).all()
    expected, ours = (np.dot(c, terms[-1]) for c in (coefficients, found))
    assert ours == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_kind_of_item_that_is_not_planned_is_noticed(foreseen):
    built = {name for name, _ in inspect.getmembers(items, inspect.isfunction)}
    kinds = {name.removesuffix("_items") for name in built if name.endswith("_items")}
    assert kinds == {kind if kind in kinds else kind.removesuffix("s") for kind in KINDS}
    assert set(foreseen["kind"]) == set(KINDS)


def test_items_follow_from_settings(tmp_path):
    encoders = MODELLING.encoders.model_copy(update={"seeds": 3})
    modelling = MODELLING.model_copy(update={"encoders": encoders})
    case = case_of(modelling, Splitting(scheme="k_fold"), dedicated_cells=5)
    whole = run_of(case, "amortised", tmp_path)
    assert len(whole.items("encoders")) == 5 * 3 * encoders.cross_fits
    assert len(whole.items("grams")) == 5 * len(GROUPS)
    assert len(whole.items("kernels")) == 5 * len({cell.inputs.groups for cell in GRID.cells})
    assert len(whole.items("cells")) == 5 * len(GRID.targets)
    assert not whole.items("dedicated")
    assert len(run_of(case, "dedicated", tmp_path).items("dedicated")) == 5 * 5


def test_epochs_before_and_after_the_shared_ones_are_planned(tmp_path):
    def epochs(**changes):
        case = case_of(with_encoders(**changes))
        return {epochs_of(i.payload) for i in run_of(case, "amortised", tmp_path).items("encoders")}

    (plain,), (filled,) = epochs(), epochs(pretrain=Pretrain(epochs=5))
    (refined,) = epochs(refine=Refine(rank=2, epochs=2))
    assert (filled, refined) == (plain + 5, plain + 2 * len(items.domains_of(GRID)))


def test_networks_have_the_operations_and_the_models_that_a_run_would_give(foreseen, tmp_path):
    whole = run_of(case_of(), "amortised", tmp_path)
    whole.write(GROUPS)
    rows = foreseen[foreseen["kind"] == "encoders"].to_dict("records")
    for item, planned in zip(whole.items("encoders"), rows, strict=True):
        done = whole.do("encoders", item)
        assert planned["flops"] == pytest.approx(done.card["flops"])
        assert planned["disk"] == pytest.approx(done.disk, rel=0.02)
        assert done.card["n_fitted"] == fitted_on(item.payload)
    each = foreseen.loc[foreseen["kind"] == "encoders", ["seconds", "flops"]]
    # By what a card is said to sustain.
    assert each["seconds"].to_numpy() == pytest.approx(each["flops"].to_numpy() / 1e6)
    assert set(foreseen.loc[foreseen["device"] == "card", "basis"]) == {"assumed"}


def test_trainings_are_scaled_by_people_epochs_and_voxels(monkeypatch, tmp_path):
    took = np.array([0.2, 0.01, 0.001])

    def done(self, kind, item):
        seconds = float(took @ KINDS[kind].terms(item.payload))
        card = {"seconds": seconds, "flops": 1.0, "flops_per_sample": 5.0}
        return Run(self.case, item.payload, card, 100)

    monkeypatch.setattr(Rehearsal, "do", done)
    monkeypatch.setattr(Rehearsal, "write", lambda *_: None)
    case = case_of(with_loop(epochs=10, batch_size=8))
    small, large = (
        *measure_networks(run_of(case, "amortised", tmp_path), "encoders").values(),
        *measure_networks(
            run_of(replace(case, voxels=(128, 128, 128)), "amortised", tmp_path), "encoders"
        ).values(),
    )
    np.testing.assert_allclose(small.seconds, took)
    assert (small.basis, small.flops.tolist()) == ("measured", [5.0])
    # The CPU is given a smaller grid.
    np.testing.assert_allclose(large.seconds, took * [1, 8, 8])
    assert (large.basis, large.grown, large.flops.tolist()) == ("scaled", 8.0, [40.0])
    assert large.at == "32 × 32 × 32, 24 people and 3 epochs"


def test_more_people_take_no_less(foreseen):
    more = foresee(case_of(participants=4 * PEOPLE, card_tflops=1e-6), "cpu")
    assert len(more) == len(foreseen)
    for kind in ("encoders", "dedicated", "kernels", "grams"):
        few, many = (each[each["kind"] == kind].sum(numeric_only=True) for each in (foreseen, more))
        assert few["flops"] < many["flops"]
        assert few["disk"] <= many["disk"]


def test_arrays_that_are_kept_need_memory():
    kept, anew = (process_needs(case_of(with_encoders(cache_gb=gb))) for gb in (1.0, 0.0))
    each = 2 * sum(np.prod(shape) for shape in case_of().shapes(2).values())
    assert kept["encoders"] - anew["encoders"] == pytest.approx(PEOPLE * each)
    few, many = (process_needs(case_of(participants=n)) for n in (1_000, 4_000))
    assert many["kernels"] == pytest.approx(16 * few["kernels"])
    assert all(few[kind] <= many[kind] for kind in few)
    # Three modalities of 8 bits.
    assert store_bytes(case_of()) == PEOPLE * (3 * np.prod(VOXELS) + 4 * EDGES)
    half = replace(case_of(), stored="float16")
    assert store_bytes(half) == PEOPLE * (2 * 3 * np.prod(VOXELS) + 4 * EDGES)


def test_the_table_is_as_promised(foreseen):
    plan = plan_table([case_of()], {"mine": foreseen}, 2)
    Plan.validate(plan)
    ours = plan[plan["basis"] != "published"].set_index(["strategy", "devices"])
    one = ours.xs(1, level="devices")
    total = one["training_hours"] + one["other_hours"]
    # One card, and two processes beside it.
    assert (one["hours"] <= total * (1 + 1e-9)).all()
    assert (one["hours"] >= one["training_hours"]).all()
    assert one.loc["dedicated", "cells"] == one.loc["dedicated", "networks"] == len(GRID.cells)
    ratio = total["dedicated"] / total["amortised"]
    assert one.loc["dedicated", "times_amortised"] == pytest.approx(ratio)
    assert total["linear"] <= total["amortised"]
    # Two networks: no more than two cards can be busy.
    longest = foreseen.loc[foreseen["kind"] == "encoders", "seconds"].max()
    assert ours.loc[("amortised", 64), "hours"] <= ours.loc[("amortised", 2), "hours"]
    assert ours.loc[("amortised", 64), "hours"] * 3600 >= longest
    study = plan[plan["basis"] == "published"].iloc[0]
    assert (study["training_hours"], study["device"], study["networks"]) == (4526, "P100", 700)
    assert np.isnan(study["hours"])


def test_the_words_say_how_numbers_were_found(foreseen):
    text = write_plan(plan_table([case_of()], {"mine": foreseen}, 2), {"mine": foreseen})
    for words in ("4,526 GPU hours", "Early stopping", "encoders assumed at", "on 64 GPUs"):
        assert words in text
    rows = [line for line in text.splitlines() if line.startswith("| dedicated | ")]
    assert f"| {len(GRID.cells)} | {MODELLING.dedicated.loop.epochs} |" in rows[0]
    assert rows[0].endswith("| assumed |")


@pytest.mark.parametrize(
    ("hours", "words"),
    [(0.0, "0 s"), (0.01, "36 s"), (0.2, "12 min"), (3.42, "3.4 h"), (1234.0, "1,200 h")],
)
def test_hours_are_written_with_two_figures(hours, words):
    assert written(hours) == words


def test_scans_are_invented_once(tmp_path):
    scans = scans_in(tmp_path, GRID).groups["structural"]
    key = (9_000_001, 2)
    write_scans(scans, case_of().shapes()["structural"], random_people(Parts(1, 2, 1, 1), GRID))
    before = open_store(scans.volumes).read("t1", key).copy()
    write_scans(scans, case_of().shapes()["structural"], random_people(Parts(1, 5, 1, 1), GRID))
    store = open_store(scans.volumes)
    assert len(set(store.keys("t1"))) == 7
    np.testing.assert_array_equal(store.read("t1", key), before)
    # Like a brain, a half is empty.
    assert not before[: VOXELS[0] // 2].any()


def test_an_item_that_fails_is_told(tmp_path):
    whole = run_of(case_of(), "amortised", tmp_path)
    with pytest.raises(RuntimeError, match="grams of invented people failed: AttributeError"):
        whole.do("grams", replace(whole.items("grams")[0], payload=None))


def test_settings_take_one_name_or_number_from_the_command_line():
    asked = Planning(presets="study64", devices=8)
    assert (asked.presets, asked.devices) == (("study64",), (8,))
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Planning(presets="study64", devices=(0,))
