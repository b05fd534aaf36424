import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from ukb_brain.errors import InputError
from ukb_brain.imaging.intensity import Code
from ukb_brain.imaging.store import RecordStore

VOLUME = np.arange(7 * 8 * 9, dtype=np.float16).reshape(7, 8, 9)


def digests(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(Path(folder).rglob("*"))
        if p.is_file()
    }


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "volumes.zarr")


def test_record_comes_back_with_what_is_beside_it(store):
    store.write("t1", (9000001, 2), VOLUME, {"fingerprint": "a", "measures": {"brain_ml": 1.5}})
    got = store.read("t1", (9000001, 2))
    np.testing.assert_array_equal(got, VOLUME)
    assert got.dtype == np.float16
    assert store.about("t1", (9000001, 2)) == {"fingerprint": "a", "measures": {"brain_ml": 1.5}}


@settings(max_examples=20, deadline=None)
@given(array=hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=6)))
def test_any_array_comes_back(tmp_path_factory, array):
    store = RecordStore(tmp_path_factory.mktemp("store"))
    store.write("x", (1, 2), array, {})
    np.testing.assert_array_equal(store.read("x", (1, 2)), array)


def test_records_are_kept_by_modality_eid_and_instance(store):
    keys = [(9000012, 2), (9000001, 3), (9000001, 2)]
    for k, key in enumerate(keys):
        store.write("t1", key, VOLUME + k, {"n": k})
    store.write("dwi", keys[0], VOLUME - 1, {})
    assert store.keys("t1") == sorted(keys)
    assert store.keys("dwi") == [keys[0]]
    assert store.keys("flair") == []
    assert store.about("flair", keys[0]) is None
    for k, key in enumerate(keys):
        np.testing.assert_array_equal(store.read("t1", key), VOLUME + k)
    many = store.read_many("t1", keys)
    assert many.shape == (3, 7, 8, 9)
    np.testing.assert_array_equal(many[2], VOLUME + 2)


def test_writing_again_replaces(store):
    store.write("t1", (1, 2), VOLUME, {"fingerprint": "old"})
    store.write("t1", (1, 2), VOLUME[:3], {"fingerprint": "new"})
    assert store.read("t1", (1, 2)).shape == (3, 8, 9)
    assert store.about("t1", (1, 2)) == {"fingerprint": "new"}


def test_an_error_while_writing_leaves_nothing(store, monkeypatch):
    store.write("t1", (1, 2), VOLUME, {})
    before = digests(store.path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space"):
        store.write("t1", (2, 2), VOLUME, {})
    assert digests(store.path) == before
    assert store.keys("t1") == [(1, 2)]


KILLED_BEFORE_RENAME = """
import os, signal, sys
from pathlib import Path
import numpy as np
from ukb_brain.imaging.store import RecordStore
Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
RecordStore(sys.argv[1]).write("t1", (9000001, 2), np.ones((7, 8, 9), np.float16), {})
"""


@pytest.fixture
def killed(store):
    """A store in which a writer was killed between writing and renaming."""
    store.write("t1", (9000002, 2), VOLUME, {})
    command = [sys.executable, "-c", KILLED_BEFORE_RENAME, str(store.path)]
    assert subprocess.run(command, timeout=60, check=False).returncode == -signal.SIGKILL
    return store


def test_a_killed_writer_leaves_no_record(killed):
    assert killed.keys("t1") == [(9000002, 2)]
    assert killed.about("t1", (9000001, 2)) is None
    killed.write("t1", (9000001, 2), VOLUME + 1, {})
    np.testing.assert_array_equal(killed.read("t1", (9000001, 2)), VOLUME + 1)


def test_erasing_also_removes_what_a_killed_writer_left(killed):
    assert any("9000001" in name for name in digests(killed.path))
    assert killed.erase(9000001) == 0
    assert not any("9000001" in name for name in digests(killed.path))
    assert killed.keys("t1") == [(9000002, 2)]


def test_erasing_one_person_leaves_the_others_bytes(store):
    # 900 begins like 9000001 and must not be taken for it, nor the other way round.
    for eid in (900, 9000001, 9000002):
        for instance in (2, 3):
            store.write("t1", (eid, instance), VOLUME + instance, {})
            store.write("dwi", (eid, instance), VOLUME, {})
    store.claim("synthetic")
    before = digests(store.path)
    assert store.erase(900) == 4
    after = digests(store.path)
    assert after == {name: d for name, d in before.items() if "/900_" not in name}
    assert len(after) < len(before)
    assert store.keys("t1") == [(9000001, 2), (9000001, 3), (9000002, 2), (9000002, 3)]
    assert store.erase(900) == 0


def test_erasing_from_a_store_that_is_not_there(store):
    assert store.erase(9000001) == 0


def test_discard_removes_one_record(store):
    store.write("t1", (1, 2), VOLUME, {})
    store.write("t1", (1, 3), VOLUME, {})
    store.discard("t1", (1, 2))
    store.discard("t1", (1, 2))
    assert store.keys("t1") == [(1, 3)]


def test_claim_refuses_another_source(store):
    store.claim("synthetic")
    store.claim("synthetic")
    with pytest.raises(InputError, match="data_root") as caught:
        RecordStore(store.path).claim("ukb")
    assert "\n" not in str(caught.value)
    store.write("t1", (1, 2), VOLUME, {})
    assert store.keys("t1") == [(1, 2)]


def test_a_record_in_eight_bits_is_read_as_its_values(tmp_path):
    store = RecordStore(tmp_path)
    values = np.random.default_rng(0).normal(size=(7, 8, 9)).astype(np.float32)
    code = Code.of(float(values.min()), float(values.max()))
    store.write("t1", (1, 2), code.encode(values), {"measures": {}}, code)
    read = store.read("t1", (1, 2))
    assert read.dtype == np.float16
    np.testing.assert_allclose(read, values, atol=code.scale / 2 + 0.002)
    assert store.about("t1", (1, 2))["measures"] == {}
    np.testing.assert_array_equal(store.read_many("t1", [(1, 2)])[0], read)
