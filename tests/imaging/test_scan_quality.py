"""Scans that can be read and are not to be trusted, from zips to pages."""

import gzip
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
import yaml
from imaging_runs import FIRST, MOTION, put, run_imaging
from reporting_cases import ROOT, study_grid
from scan_cases import (
    NATIVE,
    NATIVE_FLIRT,
    NATIVE_SHAPE,
    dwi_members,
    flair_members,
    head,
    imaging,
    nifti,
    series_members,
    t1_members,
    zipped,
)

from ukb_brain.errors import InputError
from ukb_brain.imaging.store import RecordStore
from ukb_brain.reports.bundle import Rules, write_bundle
from ukb_brain.reports.html import RESTRICTED
from ukb_brain.reports.scan_page import code_of

T1 = "T1/T1_unbiased_brain.nii.gz"
MATRIX = "T1/transforms/T1_to_MNI_linear.mat"
MEMBERS = {20252: t1_members, 20253: flair_members, 20250: dwi_members, 31016: series_members}
PAGES = ("reporting.quality_page", "primary.scan_page")
# Twelve whose scans are as they should be, then those of which something is wrong.
SOUND = list(range(FIRST, FIRST + 12))
SHIFTED, HALVED, NOISE, TWIN, MIRRORED, CLIPPED, UNFINISHED = range(FIRST + 12, FIRST + 19)
TEST_PERSON = SOUND[-1]
SPLITS = pd.DataFrame({"eid": range(FIRST, FIRST + 19), "fold": 0, "part": "train"})
SPLITS.loc[SPLITS["eid"] == TEST_PERSON, "part"] = "test"
KEYS = [(eid, 2) for eid in SPLITS["eid"]] + [(SOUND[0], 3)]


@cache
def limits():
    text = (ROOT / "conf/base/parameters_imaging_preprocess.yml").read_text(encoding="utf-8")
    quality = yaml.safe_load(text)["imaging_preprocess"]["quality"]
    usual = imaging().modalities
    return quality | {"limits": {m: of for m, of in quality["limits"].items() if m in usual}}


def settings(**quality):
    return imaging(shape=(20, 24, 20), voxel_mm=8.0, quality=limits() | quality)


def t1_of(data, matrix=NATIVE_FLIRT):
    return zipped({T1: nifti(data.astype(np.float32), NATIVE), MATRIX: matrix.encode()})


def write_cohort(root):
    for k, (eid, instance) in enumerate(KEYS):
        for j, (field, make) in enumerate(MEMBERS.items()):
            put(root, eid, field, zipped(make(seed=10 * k + j)), instance)
    sound = head(NATIVE_SHAPE, NATIVE, seed=500)
    rng = np.random.default_rng(0)
    # 60 mm to the front, so that the front of the brain lies before the head.
    put(root, SHIFTED, 20252, t1_of(sound, NATIVE_FLIRT.replace("0 1 0 12", "0 1 0 72")))
    half = sound.copy()
    half[: NATIVE_SHAPE[0] // 2] = 0
    put(root, HALVED, 20252, t1_of(half))
    # A magnitude of noise without a picture.
    noise = np.hypot(*rng.normal(size=(2, *NATIVE_SHAPE)))
    put(root, NOISE, 20252, t1_of(noise * (sound > 0)))
    # Another participant's, packed otherwise.
    same = gzip.decompress(nifti(head(NATIVE_SHAPE, NATIVE, seed=10), NATIVE))
    put(root, TWIN, 20252, zipped({T1: gzip.compress(same, 1), MATRIX: NATIVE_FLIRT.encode()}))
    put(root, MIRRORED, 20252, t1_of(sound[::-1]))
    put(root, CLIPPED, 20252, t1_of(np.minimum(sound, 1.9)))
    unfinished = np.tile(np.sin(np.arange(60.0)), (5, 1))
    rows = ["label_name," + ",".join(f"timepoint_{k}" for k in range(60))]
    rows += [f"R_{k}_ROI," + ",".join(map(str, row)) for k, row in enumerate(unfinished)]
    table = gzip.compress(("\n".join(rows) + "\n").encode(), mtime=0)
    put(root, UNFINISHED, 31016, zipped({"fMRI/fMRI.Glasser.csv.gz": table}))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans")
    write_cohort(root)
    return root, run_of(root, (*PAGES, "primary.quality_summary", "primary.scan_flags"))


def run_of(root, outputs=("primary.quality_summary", "primary.scan_flags"), **quality):
    return run_imaging(root, KEYS, SPLITS, study_grid(), settings(**quality), outputs)


def rows_of(catalog, modality="t1", name="primary.quality"):
    table = catalog.load(name)
    table = table[(table["modality"] == modality) & (table["instance"] == 2)]
    return table.set_index("eid")


SNR, CUT_OFF = r"snr 1\.\d+ is below 2", r"clipped 0\.\d+ is above 0\.05"
SAME = r"constant 1 is above 0\.1"
ELSEWHERE = r"overlap 0\.\d+ is below 0\.7; empty 0\.\d+ is above 0\.3"
ONE_IMAGE = "the same image as another participant's"
SAYS = {
    ELSEWHERE: "overlap … is below 0.7; empty … is above 0.3",
    SNR: "snr … is below 2",
    CUT_OFF: "clipped … is above 0.05",
    ONE_IMAGE: ONE_IMAGE,
    SAME: "constant … is above 0.1",
}
CAUSES = [
    (SHIFTED, "t1", ELSEWHERE, "a T1 that its matrix puts 60 mm away"),
    (HALVED, "t1", ELSEWHERE, "a T1 of which half the brain is missing"),
    (NOISE, "t1", SNR, "a T1 of noise without a picture"),
    (CLIPPED, "t1", CUT_OFF, "a T1 whose brightest tissue is cut off"),
    (TWIN, "t1", ONE_IMAGE, "one T1 under two participants' numbers, both of them"),
    (UNFINISHED, "rsfmri", SAME, "time series that are one and the same in all regions"),
]


@pytest.mark.parametrize(
    ("eid", "modality", "pattern"),
    [
        pytest.param(*case, marks=pytest.mark.bad_input(given=given, says=SAYS[case[-1]]), id=given)
        for *case, given in CAUSES
    ],
)
def test_what_cannot_be_trusted_is_left_out_with_its_cause(cohort, eid, modality, pattern):
    row = rows_of(cohort[1], modality).loc[eid]
    assert row["status"] == "poor"
    assert re.fullmatch(pattern, row["reason"])


@pytest.mark.parametrize(
    ("modality", "eids"),
    [
        ("t1", {SHIFTED, HALVED, NOISE, CLIPPED, TWIN, SOUND[1]}),
        # Whoever's T1 lies elsewhere, or is somebody else's, has a FLAIR that does so too.
        ("flair", {SHIFTED, TWIN, SOUND[1]}),
        ("dwi", set()),
        ("rsfmri", {UNFINISHED}),
    ],
)
def test_nobody_else_is_left_out(cohort, modality, eids):
    rows = rows_of(cohort[1], modality)
    assert set(rows.index[rows["status"] == "poor"]) == eids
    assert set(rows["status"]) <= {"ok", "poor"}


def test_sound_scans_are_far_from_limits(cohort):
    rows = rows_of(cohort[1]).loc[SOUND]
    assert rows["overlap"].between(0.8, 1).all()
    # Uniform noise of .9 to 1.1 has an SD of .2 / sqrt(12) on one side; half of all is twice that.
    assert rows["snr"].between(10, 22).all()
    assert (rows["head_motion"].isna()).all()
    assert (rows_of(cohort[1], "rsfmri")["head_motion"] == MOTION).all()


def test_unlikeness_to_the_mean_only_flags(cohort):
    flags, rows = rows_of(cohort[1], name="primary.scan_flags"), rows_of(cohort[1])
    assert flags.loc[MIRRORED, "flags"] == "correlation"
    assert rows.loc[MIRRORED, "status"] == "ok"
    assert flags.loc[TWIN, "flags"] == flags.loc[SOUND[1], "flags"] == "duplicate"
    assert (flags.loc[[eid for eid in SOUND if eid != SOUND[1]], "flags"] == "").all()


def test_limits_change_what_is_left_out_and_no_record(cohort):
    root, before = cohort
    rows = before.load("primary.quality")
    files = {p: p.stat().st_mtime_ns for p in root.rglob("*.records")}
    catalog = run_of(root, limits={"t1": {"snr": [1, None]}}, leave_out_duplicates=False)
    after = rows_of(catalog)
    assert set(after["status"]) == {"ok"}
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*.records")} == files
    # Duplicates are flagged all the same, though nothing was read again.
    flags = rows_of(catalog, name="primary.scan_flags")["flags"]
    assert flags[flags.str.contains("duplicate")].index.tolist() == [SOUND[1], TWIN]
    pd.testing.assert_frame_equal(run_of(root).load("primary.quality"), rows)


def test_canary_test_people_do_not_move_the_mean(cohort, tmp_path):
    write_cohort(tmp_path)
    other = 3 * head(NATIVE_SHAPE, NATIVE, seed=900)[::-1]
    put(tmp_path, TEST_PERSON, 20252, t1_of(other))
    found = rows_of(run_of(tmp_path), name="primary.scan_flags")["correlation"]
    expected = rows_of(cohort[1], name="primary.scan_flags")["correlation"]
    assert abs(found[TEST_PERSON] - expected[TEST_PERSON]) > 0.2
    pd.testing.assert_series_equal(found.drop(TEST_PERSON), expected.drop(TEST_PERSON))


def test_pages_name_nobody_and_the_codes_say_whose_pictures_they_are(cohort):
    catalog = cohort[1]
    pages = [catalog.load(name) for name in PAGES]
    for page in pages:
        assert not re.search(r"9000\d{3}", page)
        assert "SYNTHETIC" in page
        assert not re.search(r"(?:src|href)=\"(?!#|data:)", page)
    aggregate, pictures = pages
    codes = catalog.load("primary.scan_codes").set_index("eid")["code"]
    assert codes.is_unique
    assert codes.str.fullmatch("[A-Z2-7]{12}").all()
    assert codes[NOISE] in pictures
    assert not any(code in aggregate for code in codes)
    assert "data:image/png" in pictures
    assert "data:image/png" not in aggregate
    assert RESTRICTED in pictures
    assert RESTRICTED not in aggregate
    # The key, and so everybody's code, stays what it was.
    key = catalog.load("primary.scan_key")
    assert codes.tolist() == [code_of(eid, key) for eid in codes.index]
    assert code_of(FIRST, b"another key") != codes[FIRST]


def test_small_counts_do_not_leave(cohort):
    aggregate, pictures = (cohort[1].load(name) for name in PAGES)
    # Six poor T1 of 19 and a repeat, all told on the restricted page.
    assert (
        '<td class="number" title="Read, but beyond a limit or one image twice: left out">6<'
        in (pictures)
    )
    counts = re.findall(r'<td class="number" title="(?:Used|Read|Of)[^"]*">([^<]*)<', aggregate)
    # No percentile, of which too few scans lie on one side, is told: it would be one scan's value.
    of_few = [re.findall(rf'title="{said}">([^<]*)<', aggregate) for said in (
        "So many have less", "Half have less"
    )]  # fmt: skip
    assert len(of_few[0]) > 5
    assert set(of_few[0]) == {""}
    assert any(re.findall(r'title="So many have less">([^<]*)<', pictures))
    assert len(counts) > 20
    assert set(counts) <= {"0", "&lt;10", "≈ 10", "≈ 20"}


def test_the_bundle_takes_the_one_page_and_refuses_the_other(cohort, tmp_path):
    aggregate, pictures = (cohort[1].load(name) for name in PAGES)
    rules = Rules(frozenset(SPLITS["eid"]), 10, synthetic=True)
    (tmp_path / "quality.html").write_text(aggregate, encoding="utf-8")
    assert write_bundle(tmp_path, rules)["included"].all()
    (tmp_path / "scans.html").write_text(pictures, encoding="utf-8")
    with pytest.raises(InputError, match=r"scans\.html is a restricted page"):
        write_bundle(tmp_path, rules)
    assert not list(tmp_path.glob("*.zip"))


def test_poor_scans_stay_in_the_store_for_their_pictures(cohort):
    store = RecordStore(cohort[0] / "02_intermediate/volumes.store")
    assert {(HALVED, 2), (TWIN, 2)} <= set(store.keys("t1"))
