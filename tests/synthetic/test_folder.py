import json

import pytest

from ukb_brain.errors import InputError
from ukb_brain.synthetic.folder import MARKER, claim
from ukb_brain.synthetic.settings import FIRST_EID, SyntheticCohort

BULK = "bulk"
COHORT = SyntheticCohort(participants=20, voxel_mm=8, regions=25, time_points=60, seed=5)


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_new_or_an_empty_folder_is_claimed(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "a" / "new one"):
        claim(folder, COHORT, "synthetic")
        assert json.loads((folder / MARKER).read_text()) == json.loads(COHORT.model_dump_json())
        assert [p.name for p in folder.iterdir()] == [MARKER]


def test_its_own_files_may_be_there_and_it_may_grow(tmp_path):
    claim(tmp_path, COHORT, "synthetic")
    put(
        tmp_path,
        "ukb12345.csv",
        f"{BULK}/20252/{FIRST_EID}_20252_2_0.zip",
        f"{BULK}/31016/.partial-{FIRST_EID}_31016_3_0.zip",
        f"{BULK}/{FIRST_EID}/{FIRST_EID}_20252_2_0.zip",
        f"Bulk/Brain MRI/T2 FLAIR/90/{FIRST_EID}_20253_2_0.zip",
    )
    claim(tmp_path, COHORT, "synthetic")
    larger = COHORT.model_copy(update={"participants": 30})
    claim(tmp_path, larger, "synthetic")
    assert json.loads((tmp_path / MARKER).read_text())["participants"] == 30
    with pytest.raises(InputError, match="participants 30 there, 20 asked"):
        claim(tmp_path, COHORT, "synthetic")


def test_another_cohort_is_refused(tmp_path):
    claim(tmp_path, COHORT, "synthetic")
    before = contents(tmp_path)
    other = COHORT.model_copy(update={"seed": COHORT.seed + 1})
    with pytest.raises(InputError, match="holds another synthetic cohort") as caught:
        claim(tmp_path, other, "synthetic")
    assert f"seed {COHORT.seed} there, {COHORT.seed + 1} asked" in str(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "another/ukb12345.csv",
        f"{BULK}/20252/1000001_20252_2_0.zip",
        f"{BULK}/20253/{FIRST_EID}_20252_2_0.zip",
        f"{BULK}/20252/deeper/{FIRST_EID}_20252_2_0.zip",
    ],
)
def test_a_folder_with_anything_foreign_is_refused_and_left_alone(tmp_path, name, claimed):
    if claimed:
        claim(tmp_path, COHORT, "synthetic")
    put(tmp_path, name)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"holds 1 file\(s\) that a synthetic cohort did not"):
        claim(tmp_path, COHORT, "synthetic")
    assert contents(tmp_path) == before


def test_tables_without_a_claim_are_foreign(tmp_path):
    put(tmp_path, "ukb12345.csv")
    with pytest.raises(InputError, match="never mixed with other data"):
        claim(tmp_path, COHORT, "synthetic")


def test_a_claim_that_was_cut_short_is_taken_up(tmp_path):
    put(tmp_path, f".partial-{MARKER}")
    claim(tmp_path, COHORT, "synthetic")
    assert [p.name for p in tmp_path.iterdir()] == [MARKER]


def test_real_environments_are_refused(tmp_path):
    with pytest.raises(InputError, match="source 'ukb'"):
        claim(tmp_path / "real", COHORT, "ukb")
    assert not (tmp_path / "real").exists()
