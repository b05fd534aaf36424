"""Whether stores still hold what was written."""

import logging

import numpy as np
import pandas as pd
import pytest

from ukb_brain.errors import InputError
from ukb_brain.imaging.store import open_store
from ukb_brain.pipelines.verify import require_sound, verify_stores

EIDS = range(9000001, 9000004)


@pytest.fixture
def folder(tmp_path):
    for name, modality in (("volumes", "t1"), ("vectors", "rsfmri")):
        store = open_store(tmp_path / f"{name}.store")
        for eid in EIDS:
            store.write(modality, (eid, 2), np.arange(50.0) + eid, {})
    return tmp_path


def quality():
    rows = [(eid, 2, modality, "ok") for eid in EIDS for modality in ("t1", "rsfmri")]
    rows.append((9000009, 2, "t1", "broken"))
    return pd.DataFrame(rows, columns=["eid", "instance", "modality", "status"])


def test_a_sound_store_is_said_to_be_so(folder, caplog):
    with caplog.at_level(logging.INFO):
        found = verify_stores(folder, quality())
        require_sound(found)
    assert found.to_numpy().tolist() == [["rsfmri", 3, 0, 0], ["t1", 3, 0, 0]]
    assert "t1: 3 records read, 0 damaged." in caplog.text
    assert "Every record is what was written." in caplog.text


@pytest.mark.bad_input(
    given="a bit of a store that flipped on the disk",
    says="records in the stores were damaged, and were erased",
)
def test_damage_and_absence_end_in_one_line_that_names_nobody(folder, caplog, says):
    (records,) = (folder / "volumes.store/t1").glob("*.records")
    content = bytearray(records.read_bytes())
    content[4096 + 8] ^= 1
    records.write_bytes(content)
    open_store(folder / "vectors.store").discard("rsfmri", (9000003, 2))
    with caplog.at_level(logging.INFO):
        found = verify_stores(folder, quality())
    assert found.to_numpy().tolist() == [["rsfmri", 2, 0, 1], ["t1", 3, 1, 0]]
    with pytest.raises(InputError, match=f"^1 of 5 {says}; 1 more") as caught:
        require_sound(found)
    assert "\n" not in str(caught.value)
    assert "900000" not in str(caught.value) + caplog.text
    # Until they are made anew it is told again.
    again = verify_stores(folder, quality())
    assert again["damaged"].sum() == 0
    assert again["absent"].sum() == 2
    with pytest.raises(InputError, match=r"^0 of 4 .*; 2 more"):
        require_sound(again)
