import numpy as np
import pandas as pd
import pytest

from ukb_brain.datasets.splits import SplitsDataset
from ukb_brain.tables.splits import Splitting, make_splits


@pytest.fixture
def splits():
    parts = ["train"] * 6 + ["validation", "test"]
    return pd.DataFrame({"eid": range(9000001, 9000009), "fold": 0, "part": parts})


@pytest.fixture
def dataset(tmp_path):
    return SplitsDataset(filepath=str(tmp_path / "deep" / "splits.parquet"))


def test_saving_the_same_again_writes_nothing(dataset, splits, tmp_path):
    dataset.save(splits)
    path = tmp_path / "deep" / "splits.parquet"
    before = (path.stat().st_ino, path.read_bytes())
    dataset.save(splits.sample(frac=1, random_state=0))
    assert (path.stat().st_ino, path.read_bytes()) == before
    pd.testing.assert_frame_equal(dataset.load(), splits)


def test_other_parts_for_the_same_people_are_refused(dataset, splits):
    dataset.save(splits)
    other = splits.assign(part=splits["part"].to_numpy()[::-1])
    with pytest.raises(Exception, match=r"delete that file.*06_models"):
        dataset.save(other)
    pd.testing.assert_frame_equal(dataset.load(), splits)


def test_new_people_are_refused_with_counts(dataset, splits):
    dataset.save(splits)
    with pytest.raises(
        Exception, match="8 participants in 1 folds there, 8 in 1 now, 1 of them new"
    ):
        dataset.save(splits.assign(eid=splits["eid"] + 1))
    pd.testing.assert_frame_equal(dataset.load(), splits)


def test_people_who_leave_are_erased_and_nobody_else_moves(dataset, splits, caplog):
    dataset.save(splits)
    made_anew = splits[1:].assign(part=["validation", "test"] + ["train"] * 5)
    dataset.save(made_anew)
    pd.testing.assert_frame_equal(dataset.load(), splits[1:].reset_index(drop=True))
    assert "left the cohort: 1" in caplog.text


def test_a_person_in_two_parts_is_found_on_save_and_at_every_load(dataset, splits, tmp_path):
    leaky = pd.concat([splits, splits[:2].assign(part="test")])
    with pytest.raises(Exception, match="2 participants are in more than one part"):
        dataset.save(leaky)
    assert not dataset.exists()
    dataset.save(splits)
    leaky.to_parquet(tmp_path / "deep" / "splits.parquet")
    with pytest.raises(Exception, match="2 participants are in more than one part"):
        dataset.load()


def cohort(n=200):
    rng = np.random.default_rng(0)
    people = pd.DataFrame({"eid": np.arange(9000001, 9000001 + n), "instance": 2})
    return people.assign(
        family=rng.integers(0, n * 3 // 4, n),
        site=rng.choice([11025, 11026, 11027], n),
        age=rng.normal(64, 8, n),
        sex=rng.integers(0, 2, n).astype(float),
    )


@pytest.mark.parametrize("scheme", ["hold_out", "k_fold", "leave_one_site_out"])
def test_people_leave_one_after_another_and_nobody_else_moves_in_any_fold(dataset, scheme, caplog):
    people, splitting = cohort(), Splitting(scheme=scheme)
    first = make_splits(people, splitting, 1)
    dataset.save(first)
    pd.testing.assert_frame_equal(dataset.load(), first)
    for leavers in (people["eid"][:30], people["eid"][30:33]):
        people = people[~people["eid"].isin(leavers)]
        anew = make_splits(people, splitting, 1)
        dataset.save(anew)
        kept = dataset.load()
        there = first[first["eid"].isin(people["eid"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(kept, there)
        assert not anew.equals(kept)
        # The next run makes the same splits anew, and nothing has changed since.
        caplog.clear()
        dataset.save(anew)
        pd.testing.assert_frame_equal(dataset.load(), kept)
        assert not caplog.text
        assert kept.attrs == {}


def test_another_scheme_is_refused_though_people_left(dataset):
    people = cohort()
    dataset.save(make_splits(people, Splitting(), 1))
    with pytest.raises(Exception, match="200 participants in 1 folds there, 199 in 5 now, 0 of"):
        dataset.save(make_splits(people[1:], Splitting(scheme="k_fold"), 1))
    with pytest.raises(Exception, match="Splits are made once"):
        dataset.save(make_splits(people, Splitting(), 2))


def test_another_split_after_people_left_is_refused(dataset):
    people = cohort()
    dataset.save(make_splits(people, Splitting(), 1))
    dataset.save(make_splits(people[1:], Splitting(), 1))
    with pytest.raises(Exception, match="Splits are made once"):
        dataset.save(make_splits(people[1:], Splitting(), 2))
