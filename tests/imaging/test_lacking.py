import pytest
from reporting_cases import study_grid

from ukb_brain.grid import Grid
from ukb_brain.imaging.lacking import problems_of_modalities, to_leave_out

GRID = study_grid()
FIELDS = {"t1": 20252, "flair": 20253, "dwi": 20250, "rsfmri": 31016}


@pytest.mark.parametrize(
    ("lacking", "names"),
    [
        ((), ()),
        (("rsfmri",), ("functional",)),
        (("flair",), ("flair",)),
        (("flair", "t1"), ("structural",)),
        (("dwi", "flair", "rsfmri"), ("flair", "diffusion", "functional")),
        (FIELDS, ()),
    ],
)
def test_whole_groups_go_by_their_name_and_one_stays(lacking, names):
    assert to_leave_out(GRID, lacking) == names
    if names:
        left = Grid.model_validate(GRID.model_dump() | {"leave_out": names})
        assert set(left.modalities) == set(GRID.modalities) - set(lacking)
        assert problems_of_modalities(dict.fromkeys(lacking, "no file"), left, FIELDS) == []
        # A grid that was told already is the same when it is read again.
        assert Grid.model_validate(left.model_dump()) == left


def test_all_modalities_are_told_at_once():
    (problem,) = problems_of_modalities({"flair": "3 broken", "rsfmri": "no file"}, GRID, FIELDS)
    assert problem.severity == "stop"
    assert "flair (field 20253, imaging group structural): 3 broken · rsfmri (field" in problem.what
    assert problem.remedy.endswith("--params grid.leave_out=flair+functional")


def test_without_any_scan_there_is_nothing_to_leave_out():
    (problem,) = problems_of_modalities(dict.fromkeys(FIELDS, "no file"), GRID, FIELDS)
    assert "leave_out" not in problem.remedy
    assert "bulk_folder" in problem.remedy


def test_unknown_names_are_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"names eeg; .*functional, of modalities t1, flair"):
        Grid.model_validate(GRID.model_dump() | {"leave_out": "eeg"})
