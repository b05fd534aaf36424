"""A store of arrays, one record a modality, participant and visit.

Records lie one after the other, uncompressed, in a few large files that are mapped into memory:
reading one is a copy. Every process that writes has files of its own, to which it only appends::

    <modality>/<writer>.records     of each record: whose it is, JSON about it, the array
    <modality>/<writer>.index       an entry a record, written when the record is whole

A record is there once its entry is. The newest entry of a person's visit counts. Erasing writes
zeros over a record, then over its entry, and touches nothing else.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ukb_brain.atomic import atomic_path
from ukb_brain.errors import InputError
from ukb_brain.imaging.intensity import Code
from ukb_brain.imaging.shelf import VISITS, Gathered, Key, Record, Shelf, shelf_of

SOURCE = "source"
# Whether some records of a modality have no number where others have one.
INCOMPLETE = "incomplete {}"
ABOUT_STORE = "store.json"
# Names of a modality's values, or of the regions between which it has edges, one a line.
NAMES = "{}.names"
# Folders of stores of earlier versions.
EARLIER = ("*.zarr", "connectivity.store")


def open_store(path: Path) -> "RecordStore":
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
    for path in sorted(path for pattern in EARLIER for path in folder.glob(pattern)):
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

    def name_values(self, modality: str, names: Sequence[int | str]) -> None:
        """Keep the names of a modality's values, or of its regions, in their order."""
        with atomic_path(self.path / NAMES.format(modality)) as part:
            part.write_text("\n".join(map(str, names)), encoding="utf-8")

    def names_of(self, modality: str) -> tuple[str, ...]:
        """Give the names of a modality's values, or of its regions; nothing where none are kept."""
        path = self.path / NAMES.format(modality)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return tuple(text.split("\n")) if text else ()

    def _marks(self) -> dict[str, Any]:
        path = self.path / ABOUT_STORE
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except ValueError as error:
            raise InputError(
                f"{path} is damaged: remove it, and run `kedro run --pipelines "
                "imaging_preprocess`, which writes it anew and keeps all records."
            ) from error

    def has(self, modality: str) -> bool:
        """Whether there has ever been a record of a modality."""
        return (self.path / modality).is_dir()

    def _shelf(self, modality: str) -> Shelf:
        return shelf_of(str(self.path / modality))

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
        if not 0 <= key[1] < VISITS:
            raise ValueError(f"instances are below {VISITS}")
        shelf = self._shelf(modality)
        before = shelf.places_of(key)
        shelf.append(key, array, about, code)
        for index, place in before:
            shelf.erase(key, index, place)

    def about(self, modality: str, key: Key) -> dict[str, Any] | None:
        """Read what is kept beside a record; None where there is no such record."""
        found = self._shelf(modality).find(key)
        return None if found is None else json.loads(found.about)

    def read(self, modality: str, key: Key) -> NDArray[Any]:
        """Read one record as it was written, or as float16 if in 8 bits.

        Raises `InputError` if it is not there.
        """
        return self.read_many(modality, [key])[0]

    def read_many(
        self, modality: str, keys: Sequence[Key], out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Read records of one kind, at least one, into an array of shape (n, ...).

        Raises
        ------
        InputError
            If one is not there, or of another kind, or not of the shape that ``out`` is for.
        """
        while True:
            found = self._gathered(modality, keys)
            coded = np.isfinite(found.codes[:, 0])
            if out is None:
                dtype = np.dtype(np.float16) if coded.any() else found.dtype
                out = np.empty((len(keys), *found.shape), dtype)
            if coded.any() or out.dtype != found.dtype:
                self._check_shape(modality, found, out)
                for row, body in enumerate(found.bodies):
                    values = body.view(found.dtype).reshape(found.shape)
                    out[row, ...] = Code(*found.codes[row]).decode(values) if coded[row] else values
            else:
                self._copy(modality, found, out, np.arange(len(keys)))
            if found.are_there():
                return out
            self._shelf(modality).table = None

    def read_coded(
        self, modality: str, keys: Sequence[Key], out: NDArray[Any], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Copy records as they lie in the store into rows of an array of their `kind`.

        Returns
        -------
        ndarray of shape (n, 2)
            Scale and offset by which numbers are values; 1 and 0 where they are values themselves.

        Raises
        ------
        InputError
            As `read_many`.
        """
        while True:
            found = self._gathered(modality, keys)
            if found.dtype != out.dtype:
                raise self._of_several_kinds(modality)
            self._copy(modality, found, out, rows)
            if found.are_there():
                return np.where(np.isnan(found.codes), (1, 0), found.codes).astype(np.float32)
            self._shelf(modality).table = None

    def kind(self, modality: str, key: Key) -> tuple[np.dtype, tuple[int, ...]]:
        """Tell dtype and shape of a record; raises `InputError` if it is not there."""
        dtype, shape, _ = self._needed(modality, self._shelf(modality).find(key)).form
        return dtype, shape

    def _gathered(self, modality: str, keys: Sequence[Key]) -> Gathered:
        """Map records of one kind, those that can only be found one by one included."""
        shelf = self._shelf(modality)
        found = shelf.gather(keys)
        if found is not None:
            return found
        records = [self._needed(modality, shelf.find(key)) for key in keys]
        kinds = {record.form[:2] for record in records}
        if len(kinds) > 1:
            raise self._of_several_kinds(modality)
        return Gathered.of(records)

    def _copy(
        self, modality: str, found: Gathered, out: NDArray[Any], rows: NDArray[np.int64]
    ) -> None:
        self._check_shape(modality, found, out)
        flat = out.reshape(len(out), math.prod(found.shape), copy=False).view(np.uint8)
        for row, body in zip(rows.tolist(), found.bodies, strict=True):
            flat[row] = body

    def _check_shape(self, modality: str, found: Gathered, out: NDArray[Any]) -> None:
        if found.shape != out.shape[1:]:
            raise self._of_several_kinds(modality)

    def _of_several_kinds(self, modality: str) -> InputError:
        return InputError(
            f"The {modality} records of the store {self.path} are of several shapes: run "
            "`kedro run --pipelines imaging_preprocess` again."
        )

    def _needed(self, modality: str, record: Record | None) -> Record:
        if record is None:
            # Anything more would name the person.
            raise InputError(
                f"The store {self.path} lacks a {modality} record that the quality table calls "
                "usable: run `kedro run --pipelines imaging_preprocess` again."
            )
        return record

    def keys(self, modality: str) -> list[Key]:
        """List all records of a modality, sorted by eid, then instance."""
        return self._shelf(modality).visits()

    def eids(self) -> set[int]:
        """List everybody of whom there is a record, whole or half-written."""
        every = (shelf.visits() + shelf.half_written() for shelf in self._shelves())
        return {key[0] for keys in every for key in keys}

    def discard(self, modality: str, key: Key) -> None:
        """Remove one record, if it is there."""
        shelf = self._shelf(modality)
        for index, place in shelf.places_of(key):
            shelf.erase(key, index, place)

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

    def tidy(self) -> None:
        """Remove files of which nothing is left; nobody may be writing."""
        for shelf in self._shelves():
            shelf.tidy()

    def modalities(self) -> list[str]:
        """List the modalities of which there has ever been a record."""
        return [shelf.folder.name for shelf in self._shelves()]

    def remove_damaged(self, modality: str) -> list[Key]:
        """Erase a modality's records whose bytes are not those that were written, and list them.

        Nobody may be writing.
        """
        return self._shelf(modality).remove_damaged()

    def _shelves(self) -> list[Shelf]:
        return [shelf_of(str(folder)) for folder in sorted(self.path.glob("*/"))]
