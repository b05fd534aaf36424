"""The files of one modality in a store: what is in them, and how they change.

Every process that writes has two files of its own, to which it only appends. They are removed by
`Shelf.tidy` alone, when nobody writes.
"""

from __future__ import annotations

import io
import json
import math
import mmap
import os
import struct
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ukb_brain.imaging.intensity import Code

# eid and instance; instances are below `VISITS`.
Key = tuple[int, int]
VISITS = 100
RECORDS, INDEX = ".records", ".index"
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
# Files of a modality that are kept mapped: each takes one of the files that a process may open.
MOST_MAPPED = 64
# A record is looked for so many times.
ATTEMPTS = 10
NOT_LOOKED_AT = -1
Entries = NDArray[np.void]
# Of an index file: which one it is, its size, and when it was changed.
State = tuple[int, int, int]
# What is wrong with a record that is not one.
NO_RECORD = (struct.error, ValueError, TypeError)


class Form(NamedTuple):
    """What the bytes of an array are."""

    dtype: np.dtype
    shape: tuple[int, ...]
    code: Code | None


class Record(NamedTuple):
    """A record whose bytes are mapped into memory."""

    key: Key
    prefix: NDArray[np.uint8]
    form: Form
    about: bytes
    body: NDArray[np.uint8]

    def is_there(self) -> bool:
        """Whether it was not erased since; what was read before it was is right."""
        return PREFIX.unpack(self.prefix.tobytes())[:2] == self.key


class Gathered(NamedTuple):
    """Records of some visits, in their order and of one kind, whose bytes are mapped into memory.

    Attributes
    ----------
    dtype, shape
        Of each array.
    codes : ndarray of shape (n, 2)
        Scale and offset; NaN where numbers are values.
    bodies : list of ndarray
        Bytes of each array.
    ids : ndarray of shape (n,)
        Whose they are.
    heads : list of (ndarray, ndarray, ndarray)
        Of each file its words, which records lie in it, and the word that each begins with.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    codes: NDArray[np.float64]
    bodies: list[NDArray[np.uint8]]
    ids: NDArray[np.int64]
    heads: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Gathered:
        """Gather records of one kind that were found one by one."""
        dtype, shape, _ = records[0].form
        codes = np.array([record.form.code or (np.nan, np.nan) for record in records])
        zero = np.zeros(1, np.int64)
        heads = [(r.prefix.view(np.int64), zero + k, zero) for k, r in enumerate(records)]
        ids = ids_of([record.key for record in records])
        return cls(dtype, shape, codes, [record.body for record in records], ids, heads)

    def are_there(self) -> bool:
        """Whether none was erased since; what was read before it was is right."""
        return all(
            np.array_equal(VISITS * words[first] + words[first + 1], self.ids[mine])
            for words, mine, first in self.heads
        )


class Table:
    """All whole entries of a shelf, by person and visit, the newest last.

    What a record is, its own bytes say; that is looked at once.
    """

    def __init__(self, paths: list[Path], each: list[Entries]) -> None:
        entries = np.concatenate([np.empty(0, ENTRY), *each])
        order = np.lexsort((entries["written"], _ids(entries)))
        self.paths, self.entries = paths, entries[order]
        self.files = np.repeat(np.arange(len(each)), [len(some) for some in each])[order]
        self.ids, self.starts = _ids(self.entries), self.entries["offset"] + self.entries["length"]
        self.stops, self.words = self.starts + self.entries["size"], self.entries["offset"] // 8
        # Places in `forms`, which have no code.
        self.kinds = np.full(len(order), NOT_LOOKED_AT)
        self.codes = np.full((len(order), 2), np.nan)
        self.forms: list[Form] = []

    def learn(self, place: int, form: Form) -> None:
        """Keep what a record is."""
        kind = form._replace(code=None)
        if kind not in self.forms:
            self.forms.append(kind)
        self.kinds[place] = self.forms.index(kind)
        if form.code:
            self.codes[place] = form.code


@lru_cache(maxsize=256)
def _form(words: bytes) -> Form:
    dtype, shape, code = json.loads(words)
    return Form(np.dtype(dtype), tuple(shape), code and Code(*code))


class Shelf:
    """The files of one modality, as far as this process has looked at them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[Path, tuple[State, Entries]] = {}
        self.maps: dict[Path, NDArray[np.uint8]] = {}
        # Made when many are read, and again after a change, or where a record is not what it was.
        self.table: Table | None = None
        self.paths: dict[str, Path] = {}

    # ---- what there is --------------------------------------------------------------------------

    def look(self) -> None:
        """Read the index files that changed."""
        seen = self._indices_now()
        if seen == {path: state for path, (state, _) in self.known.items()}:
            return
        known, self.known, self.table = self.known, {}, None
        for path, state in seen.items():
            old = known.get(path)
            self.known[path] = old if old and old[0] == state else (state, _entries(path))
        for path in list(self.maps):
            # Another file may have been given the name.
            if path not in seen or path not in known or known[path][0][0] != seen[path][0]:
                del self.maps[path]

    def _indices_now(self) -> dict[Path, State]:
        """Look at the index files in the order of their names; they may come and go meanwhile."""
        seen = {}
        with suppress(FileNotFoundError), os.scandir(self.folder) as files:
            for file in files:
                if file.name.endswith(INDEX):
                    with suppress(FileNotFoundError):
                        stat = file.stat()
                        seen[file.name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        for name in seen.keys() - self.paths.keys():
            # Kept, since to make one takes as long as to read a record.
            self.paths[name] = self.folder / name
        return {self.paths[name]: seen[name] for name in sorted(seen)}

    def _files(self, suffix: str) -> list[Path]:
        return sorted(self.folder.glob(f"*{suffix}"))

    def visits(self) -> list[Key]:
        """List everybody's visits of which there is a whole record, each once, sorted."""
        self.look()
        of_all = [_ids(_whole(entries)) for _, entries in self.known.values()]
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

    def find(self, key: Key) -> Record | None:
        """Map the newest record of a person's visit."""
        # One that is being replaced may be gone before it is mapped.
        for _ in range(ATTEMPTS):
            places = self.places_of(key)
            for path, place in reversed(places):
                found = self._mapped(path, self.known[path][1][place].item(), key)
                if found is not None:
                    return found
            if not places:
                break
        return None

    def gather(self, keys: Sequence[Key]) -> Gathered | None:
        """Map the newest record of each person's visit, of at least one.

        None unless all are there and of one kind; `find` tells which is not.
        """
        self.look()
        if self.table is None:
            each = [_whole(entries) for _, entries in self.known.values()]
            self.table = Table(list(self.known), each)
        table, ids = self.table, ids_of(keys)
        places = np.searchsorted(table.ids, ids, side="right") - 1
        if not len(table.ids) or (table.ids[places] != ids).any():
            return None
        for place in places[table.kinds[places] == NOT_LOOKED_AT].tolist():
            entry = table.entries[place].item()
            record = self._mapped(table.paths[table.files[place]], entry, entry[:2])
            if record is None:
                return None
            table.learn(place, record.form)
        files, starts, stops = table.files[places], table.starts[places], table.stops[places]
        maps, heads, kinds = {}, [], table.kinds[places]
        for file in set(files.tolist()):
            mine = np.flatnonzero(files == file)
            whole = self._map(table.paths[file], int(stops[mine].max()))
            if whole is None or (kinds != kinds[0]).any():
                return None
            maps[file], words = whole, whole[: len(whole) // 8 * 8].view(np.int64)
            heads.append((words, mine, table.words[places[mine]]))
        bounds = zip(files.tolist(), starts.tolist(), stops.tolist(), strict=True)
        bodies = [maps[file][start:stop] for file, start, stop in bounds]
        dtype, shape, _ = table.forms[kinds[0]]
        return Gathered(dtype, shape, table.codes[places], bodies, ids, heads)

    def _mapped(self, index: Path, entry: tuple[int, ...], key: Key) -> Record | None:
        """Map a record; None if it is not, or not any more, what its entry says."""
        _, _, start, length, size, _, _ = entry
        middle, first = start + length, start + PREFIX.size
        whole = self._map(index, middle + size)
        if whole is None or start < 0 or start % BLOCK or length < PREFIX.size or size < 0:
            return None
        prefix = whole[start:first]
        try:
            eid, instance, of_form, of_about = PREFIX.unpack(prefix.tobytes())
            words = whole[first:middle].tobytes()
            form = _form(words[:of_form])
        except NO_RECORD:
            return None
        fits = (
            length == _next(PREFIX.size + of_form + of_about)
            and math.prod(form.shape) * form.dtype.itemsize == size
        )
        # Another process may have erased it since its entry was read, or while it was looked at.
        about, body = words[of_form : of_form + of_about], whole[middle : middle + size]
        found = Record(key, prefix, form, about, body)
        return found if fits and (eid, instance) == key and found.is_there() else None

    def _map(self, index: Path, end: int) -> NDArray[np.uint8] | None:
        whole = self.maps.get(index)
        if whole is None or len(whole) < end:
            try:
                with index.with_suffix(RECORDS).open("rb") as file:
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (FileNotFoundError, ValueError):
                return None
            whole = np.frombuffer(mapped, dtype=np.uint8)
            self.maps.pop(index, None)
            self.maps[index] = whole
            for old in list(self.maps)[:-MOST_MAPPED]:
                del self.maps[old]
        return whole if len(whole) >= end else None

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
        start = _end(_entries(index))
        # Without a buffer, which would be written after an error too.
        with path.open("ab", buffering=0) as file, index.open("ab", buffering=0) as entries:
            # What a full disk left of another entry would shift this one.
            whole = entries.tell() // ENTRY.itemsize * ENTRY.itemsize
            try:
                entries.truncate(whole)
                file.truncate(start)
                _append(file, head + body + bytes(-len(body) % BLOCK))
                total = zlib.crc32(body, zlib.crc32(head))
                entry = (*key, start, len(head), len(body), time.time_ns(), total)
                _append(entries, np.array(entry, dtype=ENTRY).tobytes())
            except BaseException:
                entries.truncate(whole)
                file.truncate(start)
                raise

    def erase(self, key: Key, index: Path, place: int) -> None:
        """Write zeros over a record and over whose it was, if it is still this visit's."""
        entry = _entries(index)[place]
        if (entry["eid"], entry["instance"]) != key:
            return
        records, start = index.with_suffix(RECORDS), int(entry["offset"])
        # First what readers look at when they have read.
        _write(records, start, bytes(PREFIX.size))
        _write(records, start, bytes(int(entry["length"] + entry["size"])))
        left = np.zeros((), ENTRY)
        for name in LEFT:
            left[name] = entry[name]
        _write(index, place * ENTRY.itemsize, left.tobytes())

    def tidy(self) -> None:
        """Remove files of which nothing is left; nobody may be writing."""
        for index in self._files(INDEX):
            if not len(_whole(_entries(index))) and not any(self._begun(index)):
                index.with_suffix(RECORDS).unlink(missing_ok=True)
                index.unlink()

    def half_written(self) -> list[Key]:
        """List whose records killed processes had begun to write."""
        return [key for index in self._indices() for *_, key in self._begun(index)]

    def erase_half_written(self, eid: int) -> None:
        """Write zeros over what killed processes had begun of a person's records."""
        for index in self._indices():
            for path, start, stop, key in list(self._begun(index)):
                if key[0] == eid:
                    _write(path, start, bytes(stop - start))

    def _indices(self) -> list[Path]:
        """Index files, of which the first record's may not be there yet."""
        return [path.with_suffix(INDEX) for path in self._files(RECORDS)]

    def _begun(self, index: Path) -> Iterator[tuple[Path, int, int, Key]]:
        """Look after the last entry of an index, and after the last record that has one.

        Gives the file, where what lies there starts and stops, and whose it is.
        """
        if index.exists():
            whole, stop = len(_entries(index)) * ENTRY.itemsize, index.stat().st_size
            torn = np.fromfile(index, "<i8", 1, offset=whole)
            if torn.any():
                yield index, whole, stop, (int(torn[0]), 0)
        records, start = index.with_suffix(RECORDS), _end(_entries(index))
        size = records.stat().st_size if records.exists() else 0
        while start + PREFIX.size <= size:
            with records.open("rb") as file:
                file.seek(start)
                eid, instance, of_form, of_about = PREFIX.unpack(file.read(PREFIX.size))
                words = file.read(max(0, min(of_form, size)))
            try:
                form = _form(words)
                stop = _next(start + PREFIX.size + of_form + of_about)
                stop = _next(stop + math.prod(form.shape) * form.dtype.itemsize)
            except NO_RECORD:
                # Erased, or not even begun in earnest.
                stop = size if eid else start + BLOCK
            if eid:
                yield records, start, min(stop, size), (eid, instance)
            start = max(stop, start + BLOCK)

    def remove_damaged(self) -> list[Key]:
        """Erase records that are not what was written, by the sums that were kept of them.

        Nobody may be writing. Gives whose the records were, as far as their entries tell.
        """
        removed = []
        for index in self._files(INDEX):
            entries, records = _entries(index), index.with_suffix(RECORDS)
            bad = [
                place
                for place in np.flatnonzero(_is_whole(entries)).tolist()
                if not _is_sound(entries[place], records)
            ]
            for place in bad:
                removed.append((int(entries["eid"][place]), int(entries["instance"][place])))
                # What the entry says of its record's place is not believed: others lie beside it.
                start, stop = _room(entries, bad, place, records)
                _write(records, start, bytes(max(0, stop - start)))
                left = np.zeros((), ENTRY)
                left["offset"], left["length"] = start, max(0, stop - start)
                _write(index, place * ENTRY.itemsize, left.tobytes())
        return sorted(removed)


@lru_cache(maxsize=64)
def shelf_of(folder: str) -> Shelf:
    """Give the shelf of a folder, one in each process."""
    return Shelf(Path(folder))


def _entries(index: Path) -> Entries:
    # A process that is writing may have come to the middle of an entry.
    try:
        return np.fromfile(index, dtype=ENTRY, count=index.stat().st_size // ENTRY.itemsize)
    except FileNotFoundError:
        return np.empty(0, ENTRY)


def _is_whole(entries: Entries) -> NDArray[np.bool_]:
    """Tell which entries are of records that were not erased."""
    whole: NDArray[np.bool_] = (entries["written"] > 0) & (entries["eid"] > 0)
    return whole


def _whole(entries: Entries) -> Entries:
    return entries[_is_whole(entries)]


def _end(entries: Entries) -> int:
    """Where the last record of some entries ends, and the next one begins."""
    return _next(int((entries["offset"] + entries["length"] + entries["size"]).max(initial=0)))


def _is_sound(entry: np.void, records: Path) -> bool:
    """Compare a record with its entry and with the sum that was kept of it."""
    start, length, size = (int(entry[name]) for name in LEFT)
    there = records.stat().st_size if records.exists() else 0
    if min(start, length - PREFIX.size, size) < 0 or start + length + size > there:
        return False
    read = np.fromfile(records, np.uint8, length + size, offset=start)
    eid, instance, *_ = PREFIX.unpack(read[: PREFIX.size].tobytes())
    return bool((eid, instance, zlib.crc32(read.data)) == entry[["eid", "instance", "sum"]].item())


def _room(entries: Entries, bad: list[int], place: int, records: Path) -> tuple[int, int]:
    """Where there is nothing but damaged records about an entry's: it starts and stops there."""
    sound = np.delete(np.arange(len(entries)), bad)
    size = records.stat().st_size if records.exists() else 0
    before, after = entries[sound[sound < place]], entries[sound[sound > place]]
    return _end(before), int(after["offset"].min(initial=size))


def _next(end: int) -> int:
    """Where a block begins that is not before."""
    return end + -end % BLOCK


def ids_of(keys: Sequence[Key] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Give each visit a number, by which it is sorted and looked up."""
    eids, instances = np.asarray(keys, dtype=np.int64).reshape(-1, 2).T
    ids: NDArray[np.int64] = VISITS * eids + instances
    return ids


def _ids(entries: Entries) -> NDArray[np.int64]:
    ids: NDArray[np.int64] = VISITS * entries["eid"] + entries["instance"]
    return ids


@lru_cache(maxsize=1)
def _writer(pid: int) -> str:
    """Name this process among all that ever wrote; a forked one is another."""
    return uuid.uuid4().hex


def _append(file: io.FileIO, data: bytes) -> None:
    """Write all of it; a disk may take a part before it is full."""
    while data:
        data = data[file.write(data) :]


def _write(path: Path, start: int, data: bytes) -> None:
    """Overwrite a part of a file, if it is there; never beyond its end."""
    try:
        with path.open("r+b") as file:
            size = max(0, path.stat().st_size - start)
            file.seek(start)
            file.write(data[:size])
            file.flush()
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
