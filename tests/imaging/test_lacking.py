import pandas as pd
import pytest
from reporting_cases import study_grid

from ukb_brain.grid import Grid
from ukb_brain.imaging.lacking import Usable, count_usable, problems_of_groups, to_leave_out

GRID = study_grid()
FIELDS = {"t1": 20252, "flair": 20253, "dwi": 20250, "rsfmri": 31016}
N = 76


def usable(lacking, grid=GRID):
    """Everybody has the other modalities, at the same visit."""
    scans = {m: 0 if m in lacking else N for m in grid.modalities}
    return Usable(scans, {g: min(scans[m] for m in held) for g, held in grid.imaging.items()})


def problems(lacking, grid=GRID):
    return problems_of_groups(usable(lacking, grid), lacking, grid, FIELDS)


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
    assert to_leave_out(GRID, usable(lacking)) == names
    if names:
        left = Grid.model_validate(GRID.model_dump() | {"leave_out": names})
        assert set(left.modalities) == set(GRID.modalities) - set(lacking)
        assert problems(dict.fromkeys(lacking, "no file"), left) == []
        # A grid that was told already is the same when it is read again.
        assert Grid.model_validate(left.model_dump()) == left


def test_all_modalities_are_told_at_once():
    (problem,) = problems({"flair": "3 broken", "rsfmri": "no file"})
    assert problem.severity == "stop"
    assert "flair (field 20253, imaging group structural): 3 broken · rsfmri (field" in problem.what
    assert problem.remedy.endswith("--params grid.leave_out=flair+functional")


@pytest.mark.bad_input(
    given="T1 without T2-FLAIR",
    says="structural needs t1 (76) and flair (0) of the same visit",
)
def test_a_group_says_what_it_needs_and_what_there_is(says):
    (problem,) = problems({"flair": "no file"})
    assert says in problem.what
    assert problem.remedy.endswith("or go on without: --params grid.leave_out=flair")


def test_scans_of_different_visits_make_no_group():
    rows = [(eid, 2, m) for eid in range(N) for m in ("t1", "dwi", "rsfmri")]
    rows += [(eid, 3, "flair") for eid in range(30)]
    counted = count_usable(pd.DataFrame(rows, columns=["eid", "instance", "modality"]), GRID)
    assert counted.scans == {"t1": N, "flair": 30, "dwi": N, "rsfmri": N}
    assert counted.visits == {"structural": 0, "diffusion": N, "functional": N}
    (problem,) = problems_of_groups(counted, {}, GRID, FIELDS)
    assert problem.what == "structural needs t1 (76) and flair (30) of the same visit"
    assert problem.remedy.endswith("--params grid.leave_out=flair")


def test_without_any_scan_there_is_nothing_to_leave_out():
    (problem,) = problems(dict.fromkeys(FIELDS, "no file"))
    assert "leave_out" not in problem.remedy
    assert "bulk_folder" in problem.remedy


def test_unknown_names_are_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"names eeg; .*functional, of modalities t1, flair"):
        Grid.model_validate(GRID.model_dump() | {"leave_out": "eeg"})
