import pandas as pd
import pytest

from ukb_brain.datasets.splits import SplitsDataset


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
    with pytest.raises(Exception, match="8 participants there, 8 now, 1 of them new"):
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
