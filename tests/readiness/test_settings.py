import numpy as np
import pytest
import torch
import yaml
from modelling_cases import MODELLING
from modelling_cases import changed as with_settings
from raw_cases import CONF
from reporting_cases import study_grid
from safetensors.numpy import save_file
from scan_cases import STUDY, imaging

from ukb_brain.grid import Grid
from ukb_brain.networks.light import VolumeEncoder
from ukb_brain.readiness.settings import (
    problems_of_claims,
    problems_of_map,
    problems_of_modalities,
    problems_of_phases,
    problems_of_pretraining,
    problems_of_refining,
    problems_of_strategies,
    problems_of_weights,
)

GRID = study_grid()
CLAIMS = yaml.safe_load((CONF / "parameters" / "claims.yml").read_text())["claims"]


def changed(**given):
    return Grid(**(GRID.model_dump() | given))


def test_the_projects_own_settings_are_sound():
    assert problems_of_claims(CLAIMS, GRID) == []
    assert problems_of_strategies({"reporting.strategy": ["linear"]}, ["linear"]) == []


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (None, "no reader"),
        ({"field": 20250}, "no reader"),
        ({"reader": "telepathy"}, "an unknown reader, telepathy,"),
    ],
)
def test_a_modality_that_nothing_reads_names_the_readers(record, told):
    of_grid = GRID.model_dump()["imaging"]
    of_grid["diffusion"]["md"] = {"name": "MD", "order": 5}
    settings = imaging()
    records = settings.model_dump()["modalities"] | {"md": record}
    (problem,) = problems_of_modalities(imaging(modalities=records), changed(imaging=of_grid))
    assert problem.what == f"modality md has {told} in imaging_preprocess.modalities"
    assert problem.remedy.startswith(
        "give it one of the readers volume, connectivity, connectome, "
    )
    assert problem.remedy.endswith("leave it out (--params grid.leave_out=md)")
    assert problems_of_modalities(settings, GRID) == []


@pytest.mark.parametrize(
    ("modality", "change", "told"),
    [
        ("rsfmri_partial", {"field": 25751}, "kind partial, and field 25751 has no time series"),
        ("schaefer", {"field": 25750}, "an atlas, and field 25750 has no time series"),
        ("schaefer", {"field": 31022, "atlas": None}, "field 31022, which reader connectivity"),
        ("connectome", {"field": 31018}, "field 31018, which reader connectome does not read"),
        ("connectome", {"member": ()}, "names no matrix of the zip"),
        ("schaefer", {"scale": "log1p"}, "scale log1p, and is no structural connectome"),
    ],
)
def test_edges_that_a_record_cannot_give_are_told(modality, change, told):
    settings = imaging((*STUDY, modality))
    grid = changed(also=(modality,))
    assert problems_of_modalities(settings, grid) == []
    records = settings.model_dump()["modalities"]
    records[modality] |= change
    (problem,) = problems_of_modalities(imaging(modalities=records), grid)
    assert told in problem.what
    assert problem.remedy.endswith(f"(imaging_preprocess.modalities.{modality})")
    # What is only offered is nobody's mistake.
    assert problems_of_modalities(imaging(modalities=records), GRID) == []


def test_a_vector_is_a_group_of_its_own():
    joined = GRID.model_dump()["imaging"]
    joined["diffusion"] |= joined.pop("functional")
    (problem,) = problems_of_modalities(imaging(), changed(imaging=joined))
    assert "diffusion joins a vector to others: dwi, rsfmri" in problem.what


def test_a_target_may_not_be_read_from_its_own_field():
    body = GRID.model_dump()["targets"] | {
        "thalamus": GRID.model_dump()["targets"]["body_fat"] | {"fields": (25011,)}
    }
    settings, given = imaging(["idps"]), {"targets": body, "only": "thalamus+idps"}
    (problem,) = problems_of_modalities(settings, changed(also="idps", **given))
    assert problem.what == "target thalamus is made of field 25011, which is a number of idps"
    assert "grid.leave_out=thalamus" in problem.remedy
    assert problems_of_modalities(settings, changed(also="idps", only="age+idps")) == []


def test_a_strategy_that_is_not_trained():
    (problem,) = problems_of_strategies({"reporting.strategy": ["amortised"]}, ["linear"])
    assert "amortised" in problem.what
    assert "linear" in problem.what


def test_the_map_takes_any_of_the_strategies_that_it_names():
    order = ("amortised", "kernels", "linear", "dedicated")
    assert problems_of_map(order, ["dedicated"]) == []
    (problem,) = problems_of_map(("amortised", "kernels"), ["linear"])
    assert "reporting.strategy names amortised, kernels, and modelling.strategies are linear" in (
        problem.what
    )


@pytest.mark.parametrize(
    ("claim", "named"),
    [
        ({"targets": ["moon"], "groups": ["structural"]}, "moon"),
        ({"domain": "dreams", "groups": ["structural"]}, "dreams"),
        ({"targets": ["sex"], "groups": ["spectral"]}, "spectral"),
    ],
)
def test_a_claim_that_names_what_is_not_there(claim, named):
    groups = claim.pop("groups")
    contrast = {"name": "x", "above": 0.1, "terms": [{"weight": 1, "groups": groups}]}
    (problem,) = problems_of_claims({"c": {"text": "T", "contrasts": [contrast], **claim}}, GRID)
    assert named in problem.what


def test_claims_of_groups_that_are_left_out_and_claims_taken_out_are_no_problem():
    for gone in ("functional", "sex+weight", "serology", "flair"):
        assert problems_of_claims(CLAIMS, changed(leave_out=gone)) == []
    assert problems_of_claims(CLAIMS, changed(only="hb")) == []
    assert problems_of_claims({"sex_is_legible": None}, GRID) == []


def test_phases_are_needed_where_scanners_are_told_apart_by_them():
    (problem,) = problems_of_phases("phase", {})
    assert "data_engineering.phases names none" in problem.what
    assert problems_of_phases("phase", {11025: ["2016-01-31"]}) == []
    assert problems_of_phases("site", {}) == []


def test_limits_on_what_a_modality_has_not_are_told():
    grid = study_grid()
    own = {"limits": {"t1": {"snr": (2, None), "head_motion": (None, 0.5)}}}
    own["limits"]["rsfmri"] = {"head_motion": (None, 0.5), "constant": (None, 0.1)}
    (problem,) = problems_of_modalities(imaging(quality=own), grid)
    assert "imaging_preprocess.quality.limits.t1.head_motion" in problem.what
    assert "snr" in problem.remedy


WEIGHTS = {"pooling": 2, "embedding": 8, "options": {"volume": {"stem": 2, "width": 4}}}


def starting(kind, **network):
    return with_settings(MODELLING, **{f"{kind}__network": WEIGHTS | network})


def test_files_that_encoders_cannot_start_from_stop_a_run_at_its_beginning(tmp_path):
    # A grid of 20 × 24 × 20, pooled by 2; nothing has been read of connectivity.
    torch.manual_seed(0)
    settings = imaging(shape=(20, 24, 20), common_grid=None)
    right, wrong = tmp_path / "right.safetensors", tmp_path / "wrong.safetensors"
    whole = VolumeEncoder((2, 10, 12, 10), 8, 0.0, stem=2, width=4).state_dict()
    save_file({k: tensor.numpy() for k, tensor in whole.items()}, right)
    save_file({"a": np.zeros((3, 4), np.float32)}, wrong)

    def told(given):
        return [problem.what for problem in problems_of_weights(given, GRID, settings)]

    assert told(starting("encoders")) == []
    assert told(starting("encoders", start={"structural": str(right)})) == []
    (what,) = told(starting("encoders", start={"structural": str(wrong)}))
    assert what.startswith(f"modelling.encoders.network.start.structural names {wrong}, and no ")
    assert "the file has a (3 × 4); the encoder has layers.0.weight (4 × 2 × 2 × 2 × 2)" in what
    (what,) = told(starting("encoders", start={"functional": str(wrong)}))
    assert "the file has a (3 × 4)" in what
    (what,) = told(starting("encoders", start={"heart": str(right)}))
    assert what == (
        "modelling.encoders.network.start.heart is of no encoder; there are structural, diffusion, "
        "functional"
    )
    # What is not trained is not looked at.
    single = starting("dedicated", start={"traits": str(wrong)})
    assert told(single) == []
    both = with_settings(single, strategies=["linear", "dedicated"])
    assert len(told(both)) == 1
    joined = starting("dedicated", together=True, start={"structural+diffusion": str(right)})
    joined = with_settings(joined, strategies=["dedicated"])
    # Three channels, of which the first layer knows two: the rest agrees.
    assert told(joined) == []


def test_volumes_of_which_nothing_would_be_left_stop_a_run_at_its_beginning():
    settings = imaging(shape=(20, 24, 20), common_grid=None)
    asked = with_settings(starting("encoders"), encoders__pretrain__epochs=1)
    assert problems_of_pretraining(asked, GRID, settings) == []
    large = with_settings(asked, encoders__pretrain__cube=12)
    (problem,) = problems_of_pretraining(large, GRID, settings)
    assert "volumes of 10 × 12 × 10 voxels" in problem.what
    without = with_settings(large, strategies=["linear"])
    assert problems_of_pretraining(without, GRID, settings) == []
    vectors = changed(imaging={"functional": GRID.model_dump()["imaging"]["functional"]})
    (problem,) = problems_of_pretraining(asked, vectors, settings)
    assert "the grid has none" in problem.what


def test_refining_for_too_long_stops_a_run_at_its_beginning():
    within, beyond = (
        with_settings(MODELLING, encoders__refine={"rank": 1, "epochs": n}) for n in (3, 4)
    )
    assert problems_of_refining(within, GRID) == []
    (problem,) = problems_of_refining(beyond, GRID)
    assert "each of 4 domains" in problem.what and "at most 3" in problem.what
    assert problems_of_refining(with_settings(beyond, strategies=["linear"]), GRID) == []
