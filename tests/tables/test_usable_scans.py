import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.tables.exclusions import usable_scans

FIELDS = {"t1": 20252, "flair": 20253, "dwi": 20250}
FILES = st.tuples(
    st.integers(1, 4),
    st.sampled_from([20250, 20252, 20253, 31016]),
    st.integers(2, 3),
    st.integers(0, 1),
    st.sampled_from(["ok", "ok", "broken", "missing", "unusable"]),
)


@given(st.lists(FILES, unique_by=lambda file: file[:4]))
def test_a_visit_has_a_modality_whose_first_file_can_be_used(files):
    index = pd.DataFrame(files, columns=["eid", "field", "instance", "array", "state"])
    names = {field: name for name, field in FIELDS.items()}
    has = {
        (eid, instance, names[field])
        for eid, field, instance, array, state in files
        if array == 0 and state == "ok" and field in names
    }
    scans = usable_scans(index, FIELDS)
    assert scans.columns.tolist() == list(FIELDS)
    assert scans.index.tolist() == sorted({(eid, instance) for eid, instance, _ in has})
    found = {(*visit, name) for name in scans for visit in scans.index[scans[name]]}
    assert found == has
