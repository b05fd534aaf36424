import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scan_cases import imaging

from ukb_brain.imaging.judging import OF_FIELD, OWN_MEASURES, Quality, judge, with_own_measures


def scans(**columns):
    n = len(next(iter(columns.values())))
    table = {"eid": range(1, n + 1), "instance": 2, "modality": "t1", "status": "ok", "reason": ""}
    return pd.DataFrame(table | {"content": [f"{k}" for k in range(n)]} | columns)


def judged(table, leave_out_duplicates=True, **limits):
    quality = Quality(limits={"t1": limits}, leave_out_duplicates=leave_out_duplicates)
    out = judge(table, quality)
    return list(zip(out["status"], out["reason"], strict=True))


def test_beyond_a_limit_is_poor_and_at_it_is_not():
    table = scans(overlap=[0.69, 0.7, 0.9, np.nan], clipped=[0.0, 0.05, 0.06, 0.0])
    assert judged(table, overlap=(0.7, None), clipped=(None, 0.05)) == [
        ("poor", "overlap 0.69 is below 0.7"),
        ("ok", ""),
        ("poor", "clipped 0.06 is above 0.05"),
        # What is not known is not judged.
        ("ok", ""),
    ]


def test_all_reasons_are_told():
    ((status, reason),) = judged(
        scans(overlap=[0.1], empty=[0.9]), overlap=(0.7, 1), empty=(None, 0.3)
    )
    assert (status, reason) == ("poor", "overlap 0.1 is below 0.7; empty 0.9 is above 0.3")


def test_limits_of_another_modality_and_of_what_nothing_measured_do_nothing():
    table = scans(snr=[1.0], modality=["flair"])
    assert judged(table, snr=(2, None)) == [("ok", "")]
    assert judged(scans(snr=[5.0]), overlap=(0.7, None)) == [("ok", "")]


def test_a_scan_that_was_not_read_keeps_its_reason():
    table = scans(overlap=[0.1], status=["broken"], reason=["cut off"])
    assert judged(table, overlap=(0.7, None)) == [("broken", "cut off")]


def test_one_image_under_two_numbers_is_nobodys():
    table = scans(content=["a", "b", "a", None, None])
    assert [status for status, _ in judged(table)] == ["poor", "ok", "poor", "ok", "ok"]
    assert judged(table)[0][1] == "the same image as another participant's"
    assert [status for status, _ in judged(table, False)] == ["ok"] * 5


def test_one_image_at_two_visits_is_neithers():
    table = scans(content=["a", "a"], eid=[1, 1], instance=[2, 3])
    words = ("poor", "the same image as another visit's of this participant")
    assert judged(table) == [words, words]


def test_what_lies_by_the_matrix_of_such_an_image_is_nobodys_either():
    table = scans(
        content=["a", "b", "c", "a"], eid=[1, 1, 2, 3], modality=["t1", "flair", "flair", "t1"]
    )
    out = judge(table, Quality(), {"flair": "t1"})
    assert out["status"].tolist() == ["poor", "poor", "ok", "poor"]
    assert out["reason"][1] == "its place is by t1, the same image as another participant's"


def test_images_of_two_modalities_may_be_alike():
    table = scans(content=["a", "a"], modality=["t1", "flair"])
    assert judged(table) == [("ok", "")] * 2


def test_what_uk_biobank_measured_goes_to_its_modality():
    confounds = pd.DataFrame(
        {"eid": [1, 2], "instance": 2, "head_motion": [0.1, np.nan], "t1_snr_inverted": [0.5, 0.6]}
    ).assign(dmri_outlier_slices=np.nan)
    table = pd.concat(
        [scans(eid=[1, 2]), scans(eid=[1, 2], modality=["rsfmri"] * 2)], ignore_index=True
    )
    out = with_own_measures(table, confounds, {"t1": 20252, "rsfmri": 31016})
    np.testing.assert_array_equal(out["t1_snr_inverted"], [0.5, 0.6, np.nan, np.nan])
    np.testing.assert_array_equal(out["head_motion"], [np.nan, np.nan, 0.1, np.nan])
    assert "dmri_outlier_slices" not in out


def test_every_own_measure_is_of_some_field():
    assert {name for names in OF_FIELD.values() for name in names} == set(OWN_MEASURES)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"t1": {"overlaps": [0.7, None]}}, "t1.overlaps is no measure"),
        ({"t1": {"overlap": [0.9, 0.7]}}, "lowest value above its highest"),
        ({"t2": {"overlap": [0.7, None]}}, r"quality.limits names \['t2'\]"),
    ],
)
def test_limits_that_mean_nothing_are_refused(limits, says):
    with pytest.raises(ValidationError, match=says):
        imaging(quality={"limits": limits})


def test_limits_go_with_a_modality_that_is_taken_out():
    settings = imaging().modalities
    limits = {"t1": {"overlap": [0.7, None]}, "dwi": {"overlap": [0.7, None]}}
    kept = imaging(modalities={**settings, "dwi": None}, quality={"limits": limits})
    assert "dwi" not in kept.modalities
