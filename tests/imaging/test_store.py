import hashlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from ukb_brain.errors import InputError
from ukb_brain.imaging import shelf
from ukb_brain.imaging import store as module
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
    return RecordStore(tmp_path / "volumes.store")


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

    # Between the record and its entry.
    monkeypatch.setattr(shelf.time, "time_ns", full)
    with pytest.raises(OSError, match="No space"):
        store.write("t1", (2, 2), VOLUME, {})
    assert digests(store.path) == before
    assert store.keys("t1") == [(1, 2)]


KILLED = """
import os, signal, sys
import numpy as np
from ukb_brain.imaging import shelf, store
for eid in (9000004, 9000003):
    store.RecordStore(sys.argv[1]).write("t1", (eid, 2), np.zeros((7, 8, 9), np.float16), {})
shelf.time.time_ns = lambda: os.kill(os.getpid(), signal.SIGKILL)
store.RecordStore(sys.argv[1]).write("t1", (9000001, 2), np.ones((7, 8, 9), np.float16), {})
"""


@pytest.fixture
def killed(store):
    """A store in which a writer was killed between a record and its entry, after another one."""
    store.write("t1", (9000002, 2), VOLUME, {})
    command = [sys.executable, "-c", KILLED, str(store.path)]
    assert subprocess.run(command, timeout=60, check=False).returncode == -signal.SIGKILL
    return store


def test_a_killed_writer_leaves_no_record(killed):
    assert killed.keys("t1") == [(9000002, 2), (9000003, 2), (9000004, 2)]
    assert killed.about("t1", (9000001, 2)) is None
    killed.write("t1", (9000001, 2), VOLUME + 1, {})
    np.testing.assert_array_equal(killed.read("t1", (9000001, 2)), VOLUME + 1)


def bytes_of(store, eid):
    """Count how often a person's number stands anywhere in the store."""
    number = np.int64(eid).tobytes()
    return sum(p.read_bytes().count(number) for p in store.path.rglob("*") if p.is_file())


def test_erasing_also_removes_what_a_killed_writer_left(killed):
    assert bytes_of(killed, 9000001) == 1
    assert 9000001 in killed.eids()
    assert killed.erase(9000001) == 0
    assert bytes_of(killed, 9000001) == 0
    assert killed.eids() == {9000002, 9000003, 9000004}
    np.testing.assert_array_equal(killed.read("t1", (9000003, 2)), 0)


def test_what_a_killed_writer_erased_first_hides_nothing_after_it(killed):
    # The end of whole records stays known when the last of them is erased.
    killed.erase(9000003)
    assert killed.eids() == {9000001, 9000002, 9000004}
    killed.erase(9000001)
    assert bytes_of(killed, 9000001) == 0


FULL = """
import resource, signal, sys
import numpy as np
from ukb_brain.imaging.store import open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store, array = open_store(sys.argv[1]), np.ones((20, 20, 20))
store.write("t1", (9000001, 2), array, {})
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    store.write("t1", (9000002, 2), array, {})
except OSError:
    sys.exit(7)
"""


# Within the head, the array, and its last block.
@pytest.mark.parametrize("most", [69_700, 73_000, 100_000, 135_100])
def test_a_full_disk_leaves_nothing_of_what_did_not_fit(store, most):
    command = [sys.executable, "-c", FULL, str(store.path), str(most)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 7
    assert store.eids() == {9000001}
    assert bytes_of(store, 9000002) == 0
    (records,) = store.path.glob("t1/*.records")
    assert records.stat().st_size < 69_700
    np.testing.assert_array_equal(store.read("t1", (9000001, 2)), 1)


def test_a_torn_entry_is_no_record(store):
    for eid in (1, 2):
        store.write("t1", (eid, 2), VOLUME + eid, {})
    (index,) = store.path.glob("t1/*.index")
    index.write_bytes(index.read_bytes()[:-5])
    assert store.keys("t1") == [(1, 2)]
    store.write("t1", (3, 2), VOLUME + 3, {})
    assert store.keys("t1") == [(1, 2), (3, 2)]
    for eid in (1, 3):
        np.testing.assert_array_equal(store.read("t1", (eid, 2)), VOLUME + eid)


def test_erasing_one_person_leaves_the_others_bytes(store):
    # 900 begins like 9000001 and must not be taken for it, nor the other way round.
    for eid in (900, 9000001, 9000002):
        for instance in (2, 3):
            store.write("t1", (eid, instance), VOLUME + eid % 100 + instance, {})
            store.write("dwi", (eid, instance), VOLUME, {})
    store.claim("synthetic")
    (before,) = [p.read_bytes() for p in store.path.glob("t1/*.records")]
    assert store.erase(900) == 4
    (after,) = [p.read_bytes() for p in store.path.glob("t1/*.records")]
    # The two records of 900 were written first.
    own = len(before) // 6 * 2
    assert (after[:own], after[own:]) == (bytes(own), before[own:])
    assert bytes_of(store, 900) == 0
    assert store.keys("t1") == [(9000001, 2), (9000001, 3), (9000002, 2), (9000002, 3)]
    np.testing.assert_array_equal(store.read("t1", (9000002, 3)), VOLUME + 5)
    assert store.erase(900) == 0


def test_files_of_which_nothing_is_left_go(store):
    store.write("t1", (1, 2), VOLUME, {})
    store.erase(1)
    # Another process might be writing into them.
    assert len(list(store.path.glob("t1/*"))) == 2
    store.tidy()
    assert [p for p in store.path.rglob("*") if p.is_file()] == []
    store.write("t1", (2, 2), VOLUME + 1, {})
    np.testing.assert_array_equal(store.read("t1", (2, 2)), VOLUME + 1)


def test_the_newest_of_two_records_counts(store, monkeypatch):
    store.write("t1", (1, 2), VOLUME, {"n": 1})
    # Killed before what was there is erased.
    monkeypatch.setattr(shelf.Shelf, "erase", lambda *_: None)
    store.write("t1", (1, 2), VOLUME + 1, {"n": 2})
    monkeypatch.undo()
    np.testing.assert_array_equal(store.read("t1", (1, 2)), VOLUME + 1)
    assert store.about("t1", (1, 2)) == {"n": 2}
    assert store.keys("t1") == [(1, 2)]
    store.discard("t1", (1, 2))
    assert store.keys("t1") == []


WRITER = """
import sys
import numpy as np
from ukb_brain.imaging.store import open_store
store = open_store(sys.argv[1])
for eid in range(*map(int, sys.argv[2:4])):
    store.write("t1", (eid, 2), np.full((5, 6, 7), eid % 251, np.uint8), {"eid": eid})
"""


def test_writers_side_by_side_and_readers_beside_them(store):
    store.write("t1", (1, 2), VOLUME, {})
    np.testing.assert_array_equal(store.read("t1", (1, 2)), VOLUME)
    command = [sys.executable, "-c", WRITER, str(store.path)]
    parts = [(1000, 1040), (1040, 1080), (1, 2)]
    writers = [subprocess.Popen([*command, *map(str, part)]) for part in parts]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    # What another process wrote anew is not read as it was.
    np.testing.assert_array_equal(store.read("t1", (1, 2)), np.full((5, 6, 7), 1))
    keys = [(eid, 2) for eid in [1, *range(1000, 1080)]]
    assert store.keys("t1") == keys
    many = store.read_many("t1", keys[::-1])
    np.testing.assert_array_equal(many[:, 0, 0, 0], [eid % 251 for eid, _ in keys[::-1]])
    # A file of records and one of entries of each writer.
    assert len(list((store.path / "t1").iterdir())) == 8
    store.tidy()
    # The first one's only record is gone.
    assert len(list((store.path / "t1").iterdir())) == 6
    np.testing.assert_array_equal(store.read("t1", (1, 2)), np.full((5, 6, 7), 1))


def test_a_folder_that_was_removed_and_made_anew_is_read_anew(store):
    store.write("t1", (1, 2), VOLUME, {"n": 1})
    assert store.about("t1", (1, 2)) == {"n": 1}
    shutil.rmtree(store.path)
    assert store.about("t1", (1, 2)) is None
    with pytest.raises(InputError, match="lacks a t1 record"):
        store.read_many("t1", [(1, 2), (1, 2)])
    command = [sys.executable, "-c", WRITER, str(store.path), "1", "3"]
    subprocess.run(command, timeout=60, check=True)
    np.testing.assert_array_equal(store.read("t1", (1, 2)), np.full((5, 6, 7), 1))


def test_a_record_that_is_replaced_while_it_is_read_is_read_anew(store, monkeypatch):
    store.write("t1", (1, 2), VOLUME, {})
    store.write("t1", (2, 2), VOLUME, {})
    plain = RecordStore._copy

    def replaced_first(self, modality, found, out, rows):
        monkeypatch.setattr(RecordStore, "_copy", plain)
        self.write(modality, (1, 2), VOLUME + 1, {})
        plain(self, modality, found, out, rows)

    monkeypatch.setattr(RecordStore, "_copy", replaced_first)
    many = store.read_many("t1", [(1, 2), (2, 2)])
    np.testing.assert_array_equal(many, [VOLUME + 1, VOLUME])


def test_a_record_whose_eraser_was_killed_is_not_there(store):
    for eid in (1, 2):
        store.write("t1", (eid, 2), VOLUME, {})
    store.read_many("t1", [(1, 2), (2, 2)])
    # Between the record and its entry.
    (records,) = store.path.glob("t1/*.records")
    with records.open("r+b") as file:
        file.write(bytes(shelf.PREFIX.size))
    with pytest.raises(InputError, match="lacks a t1 record"):
        store.read_many("t1", [(1, 2), (2, 2)])
    np.testing.assert_array_equal(store.read("t1", (2, 2)), VOLUME)


def test_what_another_process_erased_first_is_left_alone(store):
    store.write("t1", (1, 2), VOLUME, {})
    own = store._shelf("t1")
    ((index, place),) = own.places_of((1, 2))
    store.erase(1)
    store.tidy()
    store.write("t1", (2, 2), VOLUME + 1, {})
    # The place is another person's now.
    own.erase((1, 2), index, place)
    np.testing.assert_array_equal(store.read("t1", (2, 2)), VOLUME + 1)


@pytest.mark.parametrize("left", [0, 10, 5000])
def test_records_that_were_cut_off_are_not_there(store, left):
    for eid in (1, 2):
        store.write("t1", (eid, 2), VOLUME, {})
    (records,) = store.path.glob("t1/*.records")
    with records.open("r+b") as file:
        file.truncate(left)
    # Another process reads: this one has mapped nothing yet.
    assert store.about("t1", (2, 2)) is None
    with pytest.raises(InputError, match="lacks a t1 record"):
        store.read_many("t1", [(1, 2), (2, 2)])
    assert store.erase(1) == 1
    assert store.keys("t1") == [(2, 2)]
    if not left:
        records.unlink()
    assert store.remove_damaged("t1") == [(2, 2)]
    assert store.keys("t1") == []


def test_an_index_that_was_cut_hides_nobody_from_erasure(store):
    for eid in (9000001, 9000002, 9000003):
        store.write("t1", (eid, 2), VOLUME, {})
    (index,) = store.path.glob("t1/*.index")
    index.write_bytes(index.read_bytes()[: shelf.ENTRY.itemsize + 20])
    assert store.keys("t1") == [(9000001, 2)]
    assert store.eids() == {9000001, 9000002, 9000003}
    for eid in (9000003, 9000002):
        assert store.erase(eid) == 0
        assert bytes_of(store, eid) == 0
    np.testing.assert_array_equal(store.read("t1", (9000001, 2)), VOLUME)


def test_an_index_of_anything_gives_no_wrong_array(store):
    for eid in range(1, 9):
        store.write("t1", (eid, 2), VOLUME + eid, {})
    (index,) = store.path.glob("t1/*.index")
    good, rng = index.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        bad = bytearray(good)
        for place in rng.integers(0, len(bad), 3):
            bad[place] = rng.integers(256)
        index.write_bytes(bytes(bad))
        for eid in range(1, 9):
            try:
                found = store.read("t1", (eid, 2))
            except InputError:
                continue
            np.testing.assert_array_equal(found, VOLUME + eid)


def test_records_of_several_shapes_are_told(store):
    store.write("t1", (1, 2), VOLUME, {})
    store.write("t1", (2, 2), VOLUME[:1], {})
    with pytest.raises(InputError, match="several shapes"):
        store.read_many("t1", [(1, 2), (2, 2)])


@pytest.fixture
def four(store):
    """A store of four people, of whom the second was erased, and what its files hold."""
    for eid in (9000001, 9000002, 9000003, 9000004):
        store.write("t1", (eid, 2), VOLUME + eid % 10, {"n": eid % 10})
    store.erase(9000002)
    return store, {path: path.read_bytes() for path in (store.path / "t1").iterdir()}


def test_a_flipped_bit_is_found_and_only_its_record_erased(four):
    store, _ = four
    store.write("dwi", (9000001, 2), VOLUME, {})
    assert store.modalities() == ["dwi", "t1"]
    assert [store.remove_damaged(modality) for modality in store.modalities()] == [[], []]
    (records,) = store.path.glob("t1/*.records")
    with records.open("r+b") as file:
        # In the array of the third of four records.
        file.seek(records.stat().st_size * 3 // 4 - 4000)
        (byte,) = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte ^ 4]))
    assert [store.remove_damaged(modality) for modality in store.modalities()] == [
        [],
        [(9000003, 2)],
    ]
    assert store.remove_damaged("t1") == []
    assert store.keys("t1") == [(9000001, 2), (9000004, 2)]
    assert bytes_of(store, 9000003) == 0


@pytest.mark.parametrize("kind", ["index", "records"])
def test_any_flipped_bit_leaves_right_records_only(four, kind):
    """Wherever it is: what is damaged is gone, and what is there is right and was not touched."""
    store, files = four
    expected = {eid: VOLUME + eid % 10 for eid in (9000001, 9000003, 9000004)}
    (spoilt,) = (path for path in files if path.suffix == f".{kind}")
    content, rng = files[spoilt], np.random.default_rng(0)
    places = range(len(content)) if kind == "index" else rng.integers(0, len(content), 150)
    lost = 0
    for place in places:
        for path, whole in files.items():
            path.write_bytes(whole)
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        spoilt.write_bytes(changed)
        store.remove_damaged("t1")
        keys = store.keys("t1")
        lost += len(expected) - len(keys)
        # Whom a bit hides from the index, the quality table still calls usable.
        assert {eid for eid, _ in keys} <= expected.keys()
        assert len(keys) >= len(expected) - 1
        for eid, instance in keys:
            np.testing.assert_array_equal(store.read("t1", (eid, instance)), expected[eid])
        assert store.remove_damaged("t1") == []
    assert lost > len(places) / 5


@pytest.mark.parametrize("earlier", ["volumes.zarr", "connectivity.store"])
def test_a_store_of_an_earlier_version_is_refused_in_one_line(tmp_path, earlier):
    module.refuse_earlier(tmp_path)
    (tmp_path / earlier).mkdir()
    with pytest.raises(InputError, match=f"{earlier} .* remove this folder") as caught:
        module.refuse_earlier(tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_marks_are_told_in_one_line(store):
    store.mark("source", "synthetic")
    (store.path / "store.json").write_text('{"sou')
    with pytest.raises(InputError, match=r"store\.json is damaged: remove it"):
        store.claim("synthetic")


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
