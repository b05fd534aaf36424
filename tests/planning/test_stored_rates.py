"""Rates of earlier measurements give a plan of the same form, and grow as the work does."""

import pytest
import yaml
from modelling_cases import GRID, MODELLING
from raw_cases import CONF

from ukb_brain.planning import Case, Planning, StoredRates, plan_table, rates_from
from ukb_brain.tables.splits import Splitting

RATES = StoredRates(**yaml.safe_load((CONF / "parameters_plan.yml").read_text())["stored_rates"])


def plan(participants=1000, device="cpu", rates=RATES):
    asked = Planning(presets="mine", participants=participants, edges=300, devices=(1, 2))
    case = Case("mine", MODELLING, GRID, (16, 18, 20), Splitting(), asked, ("rsfmri",))
    table = plan_table([case], {"mine": rates_from(case, rates, device)}, 2)
    return table.dropna(subset=["devices"]).set_index(["strategy", "devices"])["hours"]


def test_twice_the_people_take_about_twice_as_long_and_kernels_up_to_eight_times():
    ratio = plan(4000) / plan(2000)
    assert ratio["dedicated"].between(1.3, 2.7).all()
    assert ratio[["linear", "kernels", "amortised"]].between(1.3, 8).all()


def test_twice_the_devices_take_no_longer():
    hours = plan().unstack()
    assert (hours[2] <= hours[1]).all()


def test_half_the_speed_takes_twice_as_long():
    slow = RATES.model_copy(
        update={
            name: getattr(RATES, name) / 2
            for name in ("regressions_gflops", "inverses_gflops", "read_mb")
        }
        | {
            "read_person": RATES.read_person * 2,
            "cpu": RATES.cpu.model_copy(
                update={"tflops": RATES.cpu.tflops / 2, "person": RATES.cpu.person * 2}
            ),
        }
    )
    assert (plan(rates=slow) / plan()).to_numpy() == pytest.approx(2, rel=1e-6)


def test_a_card_is_faster_than_a_processor():
    networks = ["amortised", "dedicated"]
    assert (plan(device="cuda")[networks] < plan()[networks]).all()


def test_preprocessing_grows_with_voxels_and_people():
    small, large = (RATES.preprocessing((n, n, n), 10) for n in (64, 128))
    assert small == pytest.approx(
        10 * (RATES.preprocess_person + RATES.preprocess_megavoxel * 0.262144)
    )
    assert 3 < large / small < 8
    assert RATES.preprocessing((64, 64, 64), 20) == pytest.approx(2 * small)
