"""The planner counts what the engine does, and scales what it measured as it says."""

import inspect
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from modelling_cases import GRID, MODELLING

from ukb_brain.ledger.artifact import Model, write_model
from ukb_brain.planning import (
    Case,
    Plan,
    Planning,
    measure,
    plan_table,
    reading,
    write_plan,
)
from ukb_brain.planning.case import Parts, parts_of
from ukb_brain.planning.invented import random_people, scans_in, write_scans
from ukb_brain.planning.regressions import regression_flops
from ukb_brain.planning.steps import measure_steps
from ukb_brain.planning.words import written
from ukb_brain.planning.work import (
    CELLS,
    ENCODERS,
    GRAMS,
    KERNEL_SETS,
    NETWORKS,
    TANGENTS,
    makespan,
    stages_of,
)
from ukb_brain.tables.splits import Splitting
from ukb_brain.training import items
from ukb_brain.training.dedicated import DedicatedJob, train_dedicated
from ukb_brain.training.encode import EncoderJob, train_encoders
from ukb_brain.training.inputs import subsets
from ukb_brain.training.items import cells_by_target
from ukb_brain.training.target import AMORTISED, CellsJob, fit_cells_of_target

VOXELS, EDGES, PEOPLE = (6, 7, 8), 10, 100
GROUPS = tuple(GRID.imaging)
CPU = torch.device("cpu")
PLANNING = Planning(
    presets="mine", participants=PEOPLE, edges=EDGES, seconds=0.3, devices=(1, 2, 64)
)


def encoders_of(stages):
    """The stage that trains the shared encoders."""
    (found,) = [stage for stage in stages[AMORTISED] if stage.name == "encoders"]
    return found


def case_of(modelling=MODELLING, splitting=None, **planning):
    asked = PLANNING.model_copy(update=planning)
    return Case("mine", modelling, GRID, VOXELS, splitting or Splitting(), asked, ("rsfmri",))


def with_loop(which, **changes):
    own = getattr(MODELLING, which)
    loop = own.loop.model_copy(update=changes)
    return MODELLING.model_copy(update={which: own.model_copy(update={"loop": loop})})


@pytest.fixture(scope="module")
def rates():
    """Networks are counted for a card, and reading is set, so that what rests on them is exact."""
    found = measure(case_of(card_tflops=1e-6), "cpu", None)
    set_to = {pooling: dict.fromkeys(GROUPS, 1e-4) for pooling in found.reading}
    return replace(found, reading=set_to)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """People and their random scans, as many as the plan has."""
    people = random_people(Parts(1, 80, 10, 10), GRID)
    folder = tmp_path_factory.mktemp("scanned")
    keys = people.keys(np.ones(PEOPLE, dtype=bool))
    for group, scans in scans_in(folder, GRID, 1).items():
        write_scans(scans, case_of().shapes(1)[group], keys)
    return people, scans_in(folder, GRID, 2)


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


def test_the_networks_that_are_planned_are_those_that_are_trained(rates, scanned, tmp_path):
    people, scans = scanned
    binary = {key: target.kind == "binary" for key, target in GRID.targets.items()}
    parts = people.cross_fits(2)
    job = EncoderJob(0, parts, people, scans, binary, MODELLING.encoders, 1, "cpu")
    card = train_encoders(job, tmp_path).card
    assert card["parameters"] == rates.encoders.cost.parameters
    assert card["flops_per_sample"] == rates.encoders.cost.training_flops
    widest = max(GRID.cells, key=lambda c: len(c.inputs.blocks))
    for groups in ((), GROUPS[:1], GROUPS):
        cell = next(
            c for c in GRID.cells if c.inputs.groups == groups and c.target == widest.target
        )
        own = {g: scans[g] for g in groups}
        job = DedicatedJob(cell, "binary", people, own, MODELLING.dedicated, 0, 1, "cpu")
        card = train_dedicated(job, tmp_path / "-".join(("cell", *groups))).card
        planned = rates.dedicated[groups].cost.training_flops
        # All but the traits, of which the plan takes as many as any cell has.
        assert card["flops_per_sample"] == pytest.approx(planned, rel=0.5 if not groups else 0.3)
        assert card["flops_per_sample"] <= planned


def test_what_is_kept_on_disk_is_counted(rates, scanned, tmp_path):
    people, scans = scanned
    binary = {key: target.kind == "binary" for key, target in GRID.targets.items()}
    job = EncoderJob(0, people.cross_fits(2), people, scans, binary, MODELLING.encoders, 1, "cpu")
    arrays = train_encoders(job, tmp_path).arrays
    stage = encoders_of(stages_of(case_of(), rates))
    # Running means of batch norm are no parameters.
    kept = sum(array.nbytes for array in arrays.values())
    assert stage.disk_bytes / 2 == pytest.approx(kept, rel=0.03)


@pytest.mark.parametrize("target", ["age", "worry"])
def test_operations_of_regressions_are_those_of_the_cards(target, tmp_path):
    people = random_people(Parts(1, 80, 10, 10), GRID)
    rng, networks = np.random.default_rng(0), {}
    for part in range(2):
        networks[part] = tmp_path / str(part)
        outputs = rng.normal(size=(len(subsets(GROUPS)), 100, len(GRID.targets)))
        write_model(networks[part], Model({"outputs": outputs.astype(np.float32)}))
    cells = cells_by_target(GRID)[target]
    kind = GRID.targets[target].kind
    job = CellsJob(target, kind, cells, GROUPS, people, [networks], {}, MODELLING)
    rows = fit_cells_of_target(job, tmp_path).card["cells"]
    noted = sum(row["flops"] for row in rows if row["strategy"] == AMORTISED)
    assert regression_flops(case_of(), cells, 80) == pytest.approx(noted, rel=1e-6)


def test_what_fits_is_measured_as_it_is():
    form = case_of(with_loop("encoders", batch_size=8)).encoders
    rate = measure_steps(form, PLANNING.model_copy(update={"seconds": 60}), CPU)
    assert (rate.basis, rate.at) == ("measured", "3 × 4 × 4, batches of 8 and 4")
    assert rate.person > 0 <= rate.fixed and rate.predict > 0


def test_what_does_not_fit_is_measured_smaller_and_scaled():
    case = replace(case_of(with_loop("encoders", batch_size=16)), voxels=(64, 64, 64))
    tight = PLANNING.model_copy(update={"memory_gb": 1e-6, "seconds": 60})
    rate = measure_steps(case.encoders, tight, CPU)
    assert rate.basis == "scaled"
    assert rate.at == "16 × 16 × 16, batches of 4 and 2"
    whole = measure_steps(case.encoders, tight.model_copy(update={"card_tflops": 1.0}), CPU)
    # What is said of size is of what was asked for, whatever was measured.
    assert rate.cost == whole.cost
    assert (whole.basis, whole.fixed) == ("assumed", 0.0)
    assert whole.person == pytest.approx(whole.cost.training_flops / 1e12)


def test_a_smaller_grid_times_operations_is_about_the_larger_grid():
    loop = with_loop("encoders", batch_size=4)
    case = replace(case_of(loop), voxels=(96, 96, 96))
    form = case.encoders
    small = PLANNING.model_copy(update={"memory_gb": 1e-6, "seconds": 2.0})
    guessed = measure_steps(form, small, CPU)
    seen = measure_steps(form, PLANNING.model_copy(update={"seconds": 60.0}), CPU)
    assert (guessed.basis, seen.basis) == ("scaled", "measured")
    ratio = (guessed.fixed + 4 * guessed.person) / (seen.fixed + 4 * seen.person)
    # Wide, for tests run beside each other.
    assert 0.2 < ratio < 5


def test_a_kind_of_item_that_no_stage_plans_is_noticed(rates):
    planned_as = {
        "reference_items": TANGENTS,
        "tangent_items": TANGENTS,
        "gram_items": GRAMS,
        "kernel_items": KERNEL_SETS,
        "encoder_items": ENCODERS,
        "cell_items": CELLS,
        "dedicated_items": NETWORKS,
    }
    built = {name for name, _ in inspect.getmembers(items, inspect.isfunction)}
    assert {name for name in built if name.endswith("_items")} == set(planned_as)
    stages = {stage.name for found in stages_of(case_of(), rates).values() for stage in found}
    assert stages == set(planned_as.values())


def test_more_people_take_no_less(rates):
    few, many = (stages_of(case_of(participants=n), rates) for n in (PEOPLE, 4 * PEOPLE))
    for strategy, stages in few.items():
        for less, more in zip(stages, many[strategy], strict=True):
            assert sum(less.seconds) <= sum(more.seconds)
            assert less.flops <= more.flops
            assert less.process_bytes <= more.process_bytes
            assert less.disk_bytes <= more.disk_bytes


def test_items_and_operations_follow_from_settings(rates):
    encoders = MODELLING.encoders.model_copy(update={"seeds": 3})
    modelling = MODELLING.model_copy(update={"encoders": encoders})
    case = case_of(modelling, Splitting(scheme="k_fold"), dedicated_cells=5)
    work = stages_of(case, rates)
    names = {stage.name: stage for stages in work.values() for stage in stages}
    assert len(names["encoders"].seconds) == 5 * 3 * encoders.cross_fits
    assert len(names["networks"].seconds) == 5 * 5
    assert len(names["grams"].seconds) == 5 * len(GROUPS)
    assert len(names["kernels"].seconds) == 5 * len({cell.inputs.groups for cell in GRID.cells})
    assert len(names["cells"].seconds) == 5 * len(GRID.targets)
    fitted = round(case.parts.train * (1 - 1 / encoders.cross_fits))
    each = rates.encoders.cost.training_flops * fitted * encoders.loop.epochs
    assert names["encoders"].flops == pytest.approx(each * 5 * 3 * encoders.cross_fits)


def test_seconds_of_a_training_are_steps_times_epochs(rates):
    one, two = (
        encoders_of(stages_of(case_of(with_loop("encoders", epochs=e)), rates)).seconds[0]
        for e in (10, 20)
    )
    each = sum(rates.reading[2].values())
    rate, batch = rates.encoders, MODELLING.encoders.loop.batch_size
    epoch = (40 // batch) * batch * rate.person + 10 * rate.predict
    assert two - one == pytest.approx(10 * epoch)
    assert one == pytest.approx(10 * epoch + 60 * rate.predict + PEOPLE * each)


def test_scans_that_are_not_kept_are_read_in_each_epoch(rates):
    kept, anew = (
        encoders_of(
            stages_of(
                case_of(
                    MODELLING.model_copy(
                        update={"encoders": MODELLING.encoders.model_copy(update={"cache_gb": gb})}
                    )
                ),
                rates,
            )
        )
        for gb in (1.0, 0.0)
    )
    each = sum(rates.reading[2].values())
    epochs, batch = MODELLING.encoders.loop.epochs, MODELLING.encoders.loop.batch_size
    # A card reads while it computes; this one computes for longer.
    assert rates.encoders.device == "card"
    assert anew.seconds[0] - kept.seconds[0] == pytest.approx((60 - PEOPLE) * each)
    slow = replace(rates, encoders=replace(rates.encoders, device="cpu"))
    modelling = MODELLING.model_copy(
        update={"encoders": MODELLING.encoders.model_copy(update={"cache_gb": 0.0})}
    )
    together = encoders_of(stages_of(case_of(modelling), slow)).seconds[0]
    read = epochs * ((40 // batch) * batch + 10) * each
    assert together - anew.seconds[0] == pytest.approx(read)
    assert anew.process_bytes < kept.process_bytes


def test_the_table_is_as_promised(rates):
    case = case_of(dedicated_cells=0)
    plan = plan_table([case], {"mine": rates}, 2)
    Plan.validate(plan)
    ours = plan[plan["basis"] != "published"].set_index(["strategy", "devices"])
    one = ours.xs(1, level="devices")
    total = one["training_hours"] + one["other_hours"]
    assert one.loc["dedicated", "hours"] == pytest.approx(total["dedicated"])
    assert one.loc["dedicated", "cells"] == len(GRID.cells)
    ratio = total["dedicated"] / total["amortised"]
    assert one.loc["dedicated", "times_amortised"] == pytest.approx(ratio)
    assert total["linear"] <= total["amortised"]
    # Two networks: no more than two cards can be busy.
    training = rates.encoders
    assert ours.loc[("amortised", 64), "hours"] <= ours.loc[("amortised", 2), "hours"]
    assert ours.loc[("amortised", 64), "hours"] * 3600 >= 40 * 3 * training.person * 0.9
    study = plan[plan["basis"] == "published"].iloc[0]
    assert (study["training_hours"], study["device"], study["networks"]) == (4526, "P100", 700)
    assert math.isnan(study["hours"])


def test_the_words_say_how_numbers_were_found(rates):
    case = case_of(dedicated_cells=0)
    text = write_plan(plan_table([case], {"mine": rates}, 2), {"mine": rates})
    for words in ("4,526 GPU hours", "Early stopping", "assumed at counted", "on 64 GPUs"):
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


def test_the_runs_own_scans_are_read_where_they_are_of_that_shape(scanned, monkeypatch):
    _, scans = scanned
    folder = scans["structural"].volumes.parent

    def none_written(*_):
        raise AssertionError("random scans were written")

    monkeypatch.setattr(reading, "write_scans", none_written)
    found = reading.measure_reading(case_of(), 2, folder)
    assert set(found) == set(GROUPS) and min(found.values()) > 0
    with pytest.raises(AssertionError, match="random scans"):
        reading.measure_reading(replace(case_of(), voxels=(7, 7, 7)), 2, folder)
    with pytest.raises(AssertionError, match="random scans"):
        reading.measure_reading(case_of(), 2, folder / "nothing")


def test_settings_take_one_name_or_number_from_the_command_line():
    asked = Planning(presets="study64", devices=8)
    assert (asked.presets, asked.devices) == (("study64",), (8,))
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Planning(presets="study64", devices=(0,))
