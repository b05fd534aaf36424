import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))
from modelling_cases import GRID, MODELLING
from scan_cases import imaging

from ukb_brain.cluster import Compute
from ukb_brain.errors import InputError
from ukb_brain.pipeline_registry import APART
from ukb_brain.pipelines.plan import create_pipeline, plan_costs
from ukb_brain.planning import Planning
from ukb_brain.planning.table import Plan
from ukb_brain.tables.splits import Splitting

CONF = Path(__file__).parents[2] / "conf/base"
IMAGING = imaging(shape=(6, 7, 8), voxel_mm=8)


def planned(**planning):
    other = MODELLING.model_dump(include={"kernels", "encoders", "dedicated"})
    other["encoders"]["loop"]["epochs"] = 60
    presets = {"mine": {}, "other": other | {"imaging_preprocess": IMAGING.model_dump()}}
    asked = {"participants": 60, "edges": 10, "seconds": 0.2, "devices": 2} | planning
    return plan_costs(
        GRID,
        MODELLING,
        IMAGING,
        presets,
        "mine",
        Splitting(),
        Planning(**asked),
        Compute(workers=1, device="cpu"),
    )


def test_a_plan_needs_no_data_and_passes_its_schema(capsys):
    plan, text = planned(presets=["mine", "other"], card_tflops=1e-8)
    Plan.validate(plan)
    assert "What it would cost" in capsys.readouterr().out
    assert "## mine: 60 people" in text
    hours = plan[plan["strategy"] == "amortised"].set_index("preset")["training_hours"]
    # The run's own preset has its own settings, another one those of its name.
    assert hours["other"] / hours["mine"] == pytest.approx(20)


def test_a_plan_is_measured_here():
    plan, text = planned(presets="mine")
    ours = plan[plan["basis"] != "published"]
    assert set(ours["device"]) == {"cpu"}
    assert (ours["hours"] > 0).all()
    assert "people and 3 epochs" in text


def test_an_unknown_preset_is_named():
    with pytest.raises(InputError, match="'huge', which is not a preset; expected some of mine"):
        planned(presets="huge")


def test_it_is_asked_for_by_name_only():
    assert "plan" in APART


def test_it_writes_what_the_catalog_names():
    catalog = yaml.safe_load((CONF / "catalog_plan.yml").read_text(encoding="utf-8"))
    assert set(create_pipeline().all_outputs()) == set(catalog)


def test_parameters_are_typed():
    given = yaml.safe_load((CONF / "parameters_plan.yml").read_text(encoding="utf-8"))["planning"]
    assert Planning(**given) == Planning(presets=("demo", "study64", "study128"))
