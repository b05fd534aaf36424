import errno

import pandas as pd
import pytest
from kedro.io import DatasetError

from ukb_brain.atomic import atomic_path
from ukb_brain.datasets.parquet import (
    AtomicCSV,
    AtomicParquet,
    AtomicText,
    GivenCSV,
    OptionalCSV,
)
from ukb_brain.errors import InputError

TABLE = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path, error):
    path = tmp_path / "table.nii.gz"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_path(path) as partial:
        partial.write_text("half")
        assert partial.name.endswith(".nii.gz")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["table.nii.gz"]
    assert path.read_text() == "old"


def test_the_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "table.txt"
    with atomic_path(path) as partial:
        partial.write_text("all")
        assert partial.parent == path.parent
        assert not path.exists()
    assert [p.name for p in path.parent.iterdir()] == ["table.txt"]


def test_what_a_killed_process_left_does_not_count_and_is_replaced(tmp_path):
    path = tmp_path / "table.parquet"
    dataset = AtomicParquet(filepath=str(path))
    with atomic_path(path) as partial:
        left = partial
        partial.write_text("whole")
    path.unlink()
    left.write_text("half")
    assert not dataset.exists()
    dataset.save(TABLE)
    assert [p.name for p in tmp_path.iterdir()] == ["table.parquet"]
    pd.testing.assert_frame_equal(dataset.load(), TABLE)


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path):
    dataset = AtomicParquet(filepath=str(tmp_path / "table.parquet"))
    dataset.save(TABLE)
    with pytest.raises(Exception, match="Failed while saving"):
        dataset.save(pd.DataFrame({"a": [1, "text", object()]}))
    pd.testing.assert_frame_equal(dataset.load(), TABLE)
    assert len(list(tmp_path.iterdir())) == 1


def test_previews_for_kedro_viz(tmp_path):
    parquet = AtomicParquet(filepath=str(tmp_path / "table.parquet"))
    parquet.save(TABLE)
    assert parquet.preview(nrows=2)["data"] == [[1, "x"], [2, "y"]]
    as_csv = AtomicCSV(filepath=str(tmp_path / "table.csv"))
    as_csv.save(TABLE)
    assert as_csv.preview(nrows=1)["data"] == [[1, "x"]]


def test_csv_keeps_its_index_as_a_first_column_without_a_name(tmp_path):
    path = tmp_path / "table.csv"
    dataset = AtomicCSV(filepath=str(path))
    dataset.save(TABLE)
    assert path.read_text().splitlines()[:2] == [",a,b", "0,1,x"]
    pd.testing.assert_frame_equal(dataset.load(), TABLE)


def test_text_in_utf8(tmp_path):
    dataset = AtomicText(filepath=str(tmp_path / "report.html"))
    dataset.save("R² − 1")
    assert (tmp_path / "report.html").read_bytes() == "R² − 1".encode()
    assert dataset.load() == "R² − 1"


def causes(error):
    while error is not None:
        yield error
        error = error.__cause__


@pytest.mark.parametrize("kind", [GivenCSV, OptionalCSV])
@pytest.mark.parametrize("content", [b"", b'eid,weight\n1,"2', b"\xff\xfe\x00a"])
def test_a_file_that_is_no_table_is_one_line(kind, content, tmp_path):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        kind(filepath=str(tmp_path / "table.csv")).load()
    (said,) = [str(e) for e in causes(caught.value) if isinstance(e, InputError)]
    assert "table.csv cannot be read as CSV" in said
    assert "\n" not in said


def test_a_table_that_may_be_absent_is_empty_then(tmp_path):
    assert OptionalCSV(filepath=str(tmp_path / "no.csv")).load().empty
    with pytest.raises(DatasetError):
        GivenCSV(filepath=str(tmp_path / "no.csv")).load()
