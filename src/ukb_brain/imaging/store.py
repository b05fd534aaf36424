"""A store of arrays, one record a modality, participant and visit.

Records lie one after the other, uncompressed, in a few large files that are mapped into memory:
reading one is a copy. Every process that writes has files of its own, to which it only appends::

    <modality>/<writer>.records     of each record: whose it is, JSON about it, the array
    <modality>/<writer>.index       an `ENTRY` a record, written when the record is whole

A record is there once its entry is. The newest entry of a person's visit counts. Erasing writes
zeros over a record, then over its entry, and touches nothing else.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ukb_brain.atomic import atomic_path
from ukb_brain.errors import InputError
from ukb_brain.imaging.intensity import Code

# eid and instance.
Key = tuple[int, int]
SOURCE = "source"
# Whether some records have no number where others have one.
INCOMPLETE = "incomplete"
ABOUT_STORE, RECORDS, INDEX = "store.json", ".records", ".index"
# How folders of stores of an earlier version end.
EARLIER = ".zarr"
# Where a record begins, which file systems and memory like.
BLOCK = 4096
# Before a record: eid, instance, and bytes of its form (dtype, shape and code) and of what is about
# it, both JSON.
PREFIX = struct.Struct("<4q")
# ``length`` of all that is before an array of ``size`` bytes; ``written`` in nanoseconds since
# 1970, 0 where it was erased; ``sum`` is the CRC-32 of all.
ENTRY = np.dtype(
    [(name, "<i8") for name in ("eid", "instance", "offset", "length", "size", "written", "sum")]
)
# What of an entry is left of a record that was erased: where others begin.
LEFT = ("offset", "length", "size")
# Instances are below.
VISITS = 100
Entries = NDArray[np.void]


def open_store(path: Path) -> RecordStore:
    """Open the store in a folder; it may be empty, or not be there yet.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = open_store(Path(folder, "volumes.store"))
    ...     store.write("t1", (9000001, 2), np.zeros((2, 3, 4)), {"voxel_mm": 4})
    ...     store.keys("t1"), store.read("t1", (9000001, 2)).shape
    ([(9000001, 2)], (2, 3, 4))
    """
    return RecordStore(path)


def refuse_earlier(folder: Path) -> None:
    """Raise an `InputError` if there are stores of an earlier version in a folder."""
    for path in sorted(folder.glob(f"*{EARLIER}")):
        raise InputError(
            f"{path} is a store of an earlier version, and cannot be read any more: remove this "
            "folder; `kedro run --pipelines imaging_preprocess` makes it anew from the raw files."
        )


class RecordStore:
    """Arrays by modality, eid and instance; `open_store` gives one."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def claim(self, source: str) -> None:
        """Record where the store's data come from; raises `InputError` if from elsewhere."""
        there = self._marks().get(SOURCE, source)
        if there != source:
            raise InputError(
                f"The store {self.path} holds {there} data and this run's are {source}: "
                "give this run a data root of its own (--params data_root=…)."
            )
        self.mark(SOURCE, source)

    def mark(self, name: str, value: str | bool) -> None:
        """Keep a mark of the whole store."""
        with atomic_path(self.path / ABOUT_STORE) as part:
            part.write_text(json.dumps(self._marks() | {name: value}), encoding="utf-8")

    def marked(self, name: str) -> bool:
        """Read a mark of the whole store: False where there is none."""
        return bool(self._marks().get(name, False))

    def _marks(self) -> dict[str, Any]:
        path = self.path / ABOUT_STORE
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def has(self, modality: str) -> bool:
        """Whether there has ever been a record of a modality."""
        return (self.path / modality).is_dir()

    def _shelf(self, modality: str) -> _Shelf:
        return _shelf(str(self.path / modality))

    def write(
        self,
        modality: str,
        key: Key,
        array: NDArray[Any],
        about: Mapping[str, Any],
        code: Code | None = None,
    ) -> None:
        """Write one record, and JSON values about it, whole or not at all.

        One in 8 bits needs its code.
        """
        shelf = self._shelf(modality)
        before = shelf.places_of(key)
        shelf.append(key, array, about, code)
        for index, place in before:
            shelf.erase(index, place)

    def about(self, modality: str, key: Key) -> dict[str, Any] | None:
        """Read what is kept beside a record; None where there is no such record."""
        (found,) = self._shelf(modality).find([key])
        return None if found is None else json.loads(found.about.tobytes())

    def read(self, modality: str, key: Key) -> NDArray[np.generic]:
        """Read one record as it was written, or as float16 if in 8 bits.

        Raises `InputError` if it is not there.
        """
        return self.read_many(modality, [key])[0]

    def shape(self, modality: str, key: Key) -> tuple[int, ...]:
        """Tell the shape of a record; raises `InputError` if it is not there."""
        (record,) = self._found(modality, [key])
        return _form(record.form)[1]

    def read_many(
        self, modality: str, keys: Sequence[Key], out: NDArray[np.generic] | None = None
    ) -> NDArray[np.generic]:
        """Read records of equal shape, at least one, into an array of shape (n, ...).

        Raises
        ------
        InputError
            If one is not there.
        """
        records = self._found(modality, keys)
        if out is None:
            dtype, shape, code = _form(records[0].form)
            out = np.empty((len(keys), *shape), dtype=np.float16 if code else dtype)
        for row, record in enumerate(records):
            dtype, shape, code = _form(record.form)
            values = record.body.view(dtype).reshape(shape)
            out[row] = code.decode(values) if code else values
        return out

    def _found(self, modality: str, keys: Sequence[Key]) -> list[_Record]:
        records = [record for record in self._shelf(modality).find(keys) if record is not None]
        if len(records) < len(keys):
            # Anything more would name the person.
            raise InputError(
                f"The store {self.path} lacks a {modality} record that the quality table calls "
                "usable: run `kedro run --pipelines imaging_preprocess` again."
            )
        return records

    def keys(self, modality: str) -> list[Key]:
        """List all records of a modality, sorted by eid, then instance."""
        return sorted(self._shelf(modality).visits())

    def eids(self) -> set[int]:
        """List everybody of whom there is a record, whole or half-written."""
        every = (shelf.visits() + shelf.half_written() for shelf in self._shelves())
        return {key[0] for keys in every for key in keys}

    def discard(self, modality: str, key: Key) -> None:
        """Remove one record, if it is there."""
        shelf = self._shelf(modality)
        for index, place in shelf.places_of(key):
            shelf.erase(index, place)

    def erase(self, eid: int) -> int:
        """Remove all records of one person, and count them; the others are not touched."""
        erased = 0
        for shelf in self._shelves():
            mine = [key for key in shelf.visits() if key[0] == eid]
            for key in mine:
                self.discard(shelf.folder.name, key)
            erased += len(mine)
            shelf.erase_half_written(eid)
        return erased

    def damaged(self) -> dict[str, list[Key]]:
        """Find records whose bytes are not those that were written, by modality."""
        return {shelf.folder.name: sorted(shelf.damaged()) for shelf in self._shelves()}

    def _shelves(self) -> list[_Shelf]:
        return [_shelf(str(folder)) for folder in sorted(self.path.glob("*/"))]


@lru_cache(maxsize=64)
def _shelf(folder: str) -> _Shelf:
    return _Shelf(Path(folder))


class _Record(NamedTuple):
    """A record: JSON of its form and about it, and its bytes, mapped into memory."""

    form: bytes
    about: NDArray[np.uint8]
    body: NDArray[np.uint8]


@lru_cache(maxsize=256)
def _form(words: bytes) -> tuple[np.dtype, tuple[int, ...], Code | None]:
    dtype, shape, code = json.loads(words)
    return np.dtype(dtype), tuple(shape), code and Code(*code)


class _Shelf:
    """The files of one modality, as far as this process has looked at them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # By index file: its size and time, and its entries.
        self.known: dict[Path, tuple[tuple[int, int], Entries]] = {}
        self.maps: dict[Path, NDArray[np.uint8]] = {}
        # All entries by person and visit, the newest last, with the file that each is in; made when
        # something is first read, and again when what is read is not in it.
        self.sorted: tuple[list[Path], NDArray[np.int64], Entries] | None = None

    # ---- what there is --------------------------------------------------------------------------

    def look(self) -> None:
        """Read the index files that changed."""
        seen: dict[Path, tuple[int, int]] = {}
        if self.folder.is_dir():
            with os.scandir(self.folder) as files:
                for file in files:
                    if file.name.endswith(INDEX):
                        stat = file.stat()
                        seen[Path(file.path)] = (stat.st_size, stat.st_mtime_ns)
        known, self.known = self.known, {}
        for path, state in seen.items():
            old = known.get(path)
            self.known[path] = old if old and old[0] == state else (state, _entries(path))

    def visits(self) -> list[Key]:
        """List everybody's visits of which there is a whole record, each once."""
        self.look()
        of_all = [_ids(entries)[entries["written"] > 0] for _, entries in self.known.values()]
        ids = np.unique(np.concatenate([np.empty(0, np.int64), *of_all]))
        return [(int(key) // VISITS, int(key) % VISITS) for key in ids]

    def places_of(self, key: Key) -> list[tuple[Path, int]]:
        """Find all records of a person's visit, the newest last: index files and places in them.

        There is more than one only where a process was killed between writing and erasing.
        """
        self.look()
        found = []
        for path, (_, entries) in self.known.items():
            mine = (entries["eid"] == key[0]) & (entries["instance"] == key[1])
            places = np.flatnonzero(mine & (entries["written"] > 0)).tolist()
            found += [(int(entries["written"][place]), path, place) for place in places]
        return [(path, place) for _, path, place in sorted(found)]

    def find(self, keys: Sequence[Key]) -> list[_Record | None]:
        """Map the newest record of each person's visit."""
        paths, files, entries = self.sorted or self._sort()
        wanted, ids = np.array([_id(key) for key in keys]), _ids(entries)
        places = np.searchsorted(ids, wanted, side="right") - 1
        there = (places >= 0) & (ids[places] == wanted) if len(ids) else np.zeros(len(keys), bool)
        of_files, own = files[places[there]].tolist(), entries[places[there]].tolist()
        known = ((paths[file], entry) for file, entry in zip(of_files, own, strict=True))
        return [
            (self._mapped(*next(known), key) if is_there else None) or self._look_for(key)
            for key, is_there in zip(keys, there.tolist(), strict=True)
        ]

    def _look_for(self, key: Key) -> _Record | None:
        """Find what may have been written, or written anew, since files were last looked at."""
        places = self.places_of(key)
        if not places:
            return None
        self.sorted = None
        path, place = places[-1]
        return self._mapped(path, self.known[path][1][place].item(), key)

    def _sort(self) -> tuple[list[Path], NDArray[np.int64], Entries]:
        self.look()
        paths, each = list(self.known), [entries for _, entries in self.known.values()]
        entries = np.concatenate([np.empty(0, ENTRY), *each])
        files = np.repeat(np.arange(len(each)), [len(some) for some in each])
        order = np.lexsort((entries["written"], _ids(entries)))
        order = order[entries["written"][order] > 0]
        self.sorted = (paths, files[order], entries[order])
        return self.sorted

    def _mapped(self, index: Path, entry: tuple[int, ...], key: Key) -> _Record | None:
        _, _, start, length, size, _, _ = entry
        middle, end = start + length, start + length + size
        whole = self.maps.get(index)
        if whole is None or len(whole) < end:
            try:
                with index.with_suffix(RECORDS).open("rb") as file:
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (FileNotFoundError, ValueError):
                return None
            whole = self.maps[index] = np.frombuffer(mapped, dtype=np.uint8)
        first = start + PREFIX.size
        eid, instance, form, about = PREFIX.unpack(whole[start:first].tobytes())
        # Another process may have erased it since its entry was read.
        if (eid, instance) != key:
            return None
        form_ends = first + form
        words = whole[first:form_ends].tobytes()
        return _Record(words, whole[form_ends : form_ends + about], whole[middle:end])

    # ---- changes --------------------------------------------------------------------------------

    def append(
        self, key: Key, array: NDArray[Any], about: Mapping[str, Any], code: Code | None = None
    ) -> None:
        """Add a record to this process's files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{_writer(os.getpid())}{RECORDS}"
        index = path.with_suffix(INDEX)
        form = json.dumps([array.dtype.str, array.shape, code]).encode()
        words = json.dumps(dict(about)).encode()
        head = PREFIX.pack(*key, len(form), len(words)) + form + words
        head += bytes(-len(head) % BLOCK)
        body = np.ascontiguousarray(array).tobytes()
        start = _end(index)
        if not start:
            # Files of this name were removed as a whole.
            self.maps.pop(index, None)
            self.sorted = None
        with path.open("ab") as file:
            try:
                file.truncate(start)
                file.write(head + body + bytes(-len(body) % BLOCK))
                file.flush()
                total = zlib.crc32(body, zlib.crc32(head))
                entry = (*key, start, len(head), len(body), time.time_ns(), total)
                with index.open("ab") as entries:
                    # What a full disk left of another entry would shift this one.
                    entries.truncate(entries.tell() // ENTRY.itemsize * ENTRY.itemsize)
                    entries.write(np.array(entry, dtype=ENTRY).tobytes())
            except BaseException:
                file.truncate(start)
                raise

    def erase(self, index: Path, place: int) -> None:
        """Write zeros over a record and over whose it was; files without any other go."""
        records, entries = index.with_suffix(RECORDS), _entries(index)
        entry = entries[place]
        _write(records, int(entry["offset"]), bytes(int(entry["length"] + entry["size"])))
        left = np.zeros((), ENTRY)
        for name in LEFT:
            left[name] = entry[name]
        _write(index, place * ENTRY.itemsize, left.tobytes())
        if np.count_nonzero(entries["written"]) == 1:
            self.maps.pop(index, None)
            index.unlink()
            records.unlink()

    def half_written(self) -> list[Key]:
        """List whose records killed processes had begun to write."""
        return [key for _, _, key in self._begun()]

    def erase_half_written(self, eid: int) -> None:
        """Write zeros over what killed processes had begun of a person's records."""
        for path, start, key in self._begun():
            if key[0] == eid:
                _write(path, start, bytes(path.stat().st_size - start))

    def _begun(self) -> Iterator[tuple[Path, int, Key]]:
        """Look after the last whole record of each file."""
        for path in sorted(self.folder.glob(f"*{RECORDS}")):
            start = _end(path.with_suffix(INDEX))
            if path.stat().st_size >= start + PREFIX.size:
                eid, instance = np.fromfile(path, "<i8", 2, offset=start).tolist()
                if eid:
                    yield path, start, (eid, instance)

    def damaged(self) -> set[Key]:
        """Compare all records with the sums that were kept of them."""
        self.look()
        bad = set()
        for index, (_, entries) in self.known.items():
            with index.with_suffix(RECORDS).open("rb") as file:
                for entry in entries[entries["written"] > 0]:
                    file.seek(int(entry["offset"]))
                    if zlib.crc32(file.read(int(entry["length"] + entry["size"]))) != entry["sum"]:
                        bad.add((int(entry["eid"]), int(entry["instance"])))
        return bad


def _entries(index: Path) -> Entries:
    # A process that is writing may have come to the middle of an entry.
    return np.fromfile(index, dtype=ENTRY, count=index.stat().st_size // ENTRY.itemsize)


def _end(index: Path) -> int:
    """Where the last whole record of a file ends, and the next one begins."""
    entries = _entries(index) if index.exists() else np.empty(0, ENTRY)
    end = int((entries["offset"] + entries["length"] + entries["size"]).max(initial=0))
    return end + -end % BLOCK


def _id(key: Key) -> int:
    return VISITS * key[0] + key[1]


def _ids(entries: Entries) -> NDArray[np.int64]:
    ids: NDArray[np.int64] = VISITS * entries["eid"] + entries["instance"]
    return ids


@lru_cache(maxsize=1)
def _writer(pid: int) -> str:
    """Name this process among all that ever wrote; a forked one is another."""
    return uuid.uuid4().hex


def _write(path: Path, start: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
