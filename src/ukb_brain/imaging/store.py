"""A store of arrays, one record a modality, participant and visit.

Each record is a Zarr array of its own under ``<modality>/<eid>_<instance>``, so that it is written
whole or not at all, read without decoding gzip again, and erased without touching the others.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from ukb_brain.errors import InputError

Key = tuple[int, int]
SOURCE = "source"
# Whether some records have no number where others have one.
INCOMPLETE = "incomplete"


class RecordStore:
    """Arrays by modality, eid and instance.

    Parameters
    ----------
    path : Path
        Folder of the store.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def claim(self, source: str) -> None:
        """Record where the store's data come from, and refuse to mix two sources.

        Parameters
        ----------
        source : str
            ``synthetic`` or ``ukb``.

        Raises
        ------
        InputError
            If the store already holds another source's data.
        """
        group = zarr.open_group(self.path, mode="a")
        there = group.attrs.setdefault(SOURCE, source)
        if there != source:
            raise InputError(
                f"The store {self.path} holds {there} data and this run's are {source}: "
                "give this run a data root of its own (--params data_root=…)."
            )

    def mark(self, name: str, value: bool) -> None:
        """Keep a mark of the whole store.

        Parameters
        ----------
        name : str
            Of the mark.
        value : bool
            What is kept.
        """
        group = zarr.open_group(self.path, mode="a")
        if group.attrs.get(name) != value:
            group.attrs[name] = value

    def marked(self, name: str) -> bool:
        """Read a mark of the whole store.

        Parameters
        ----------
        name : str
            Of the mark.

        Returns
        -------
        bool
            False where there is none.
        """
        if not (self.path / "zarr.json").exists():
            return False
        return bool(zarr.open_group(self.path, mode="r").attrs.get(name, False))

    def _record(self, modality: str, key: Key) -> Path:
        return self.path / modality / f"{key[0]}_{key[1]}"

    def write(
        self, modality: str, key: Key, array: NDArray[np.generic], about: Mapping[str, Any]
    ) -> None:
        """Write one record, whole or not at all.

        Parameters
        ----------
        modality : str
            Name of the modality.
        key : (int, int)
            eid and instance.
        array : ndarray
            The record.
        about : mapping
            What is kept beside it: JSON values.
        """
        final = self._record(modality, key)
        part = final.with_name(f".{final.name}.{os.getpid()}.part")
        try:
            stored = zarr.create_array(
                part,
                shape=array.shape,
                chunks=array.shape,
                dtype=array.dtype,
                compressors=BloscCodec(cname="lz4", clevel=1),
                attributes=dict(about),
            )
            stored[...] = array
            shutil.rmtree(final, ignore_errors=True)
            part.rename(final)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def about(self, modality: str, key: Key) -> dict[str, Any] | None:
        """Read what is kept beside a record.

        Parameters
        ----------
        modality : str
            Name of the modality.
        key : (int, int)
            eid and instance.

        Returns
        -------
        dict or None
            None where there is no such record.
        """
        if not (self._record(modality, key) / "zarr.json").exists():
            return None
        return dict(zarr.open_array(self._record(modality, key), mode="r").attrs)

    def read(self, modality: str, key: Key) -> NDArray[np.generic]:
        """Read one record.

        Parameters
        ----------
        modality : str
            Name of the modality.
        key : (int, int)
            eid and instance.

        Returns
        -------
        ndarray
            As it was written.

        Raises
        ------
        InputError
            If there is no such record.
        """
        try:
            return np.asarray(zarr.open_array(self._record(modality, key), mode="r")[...])
        except FileNotFoundError:
            # Its own message would name the person.
            raise InputError(
                f"The store {self.path} lacks a {modality} record that the quality table calls "
                "usable: run `kedro run --pipelines imaging_preprocess` again."
            ) from None

    def read_many(self, modality: str, keys: Sequence[Key]) -> NDArray[np.generic]:
        """Read records of equal shape into one array.

        Parameters
        ----------
        modality : str
            Name of the modality.
        keys : sequence of (int, int)
            Each an eid and an instance; at least one.

        Returns
        -------
        ndarray of shape (n, ...)
            In the order of the keys.
        """
        first = self.read(modality, keys[0])
        out = np.empty((len(keys), *first.shape), dtype=first.dtype)
        out[0] = first
        for row, key in enumerate(keys[1:], start=1):
            out[row] = self.read(modality, key)
        return out

    def keys(self, modality: str) -> list[Key]:
        """All records of a modality.

        Parameters
        ----------
        modality : str
            Name of the modality.

        Returns
        -------
        list of (int, int)
            Sorted by eid, then instance.
        """
        folder = self.path / modality
        if not folder.exists():
            return []
        names = [p.name.split("_") for p in folder.iterdir() if not p.name.startswith(".")]
        return sorted((int(eid), int(instance)) for eid, instance in names)

    def eids(self) -> set[int]:
        """List everybody of whom there is a record, whole or half-written.

        Returns
        -------
        set of int
        """
        names = [record.name.lstrip(".") for record in self.path.glob("*/*_*")]
        names += [record.name.lstrip(".") for record in self.path.glob("*/.*_*.part")]
        return {int(name.split("_")[0]) for name in names}

    def discard(self, modality: str, key: Key) -> None:
        """Remove one record, if it is there.

        Parameters
        ----------
        modality : str
            Name of the modality.
        key : (int, int)
            eid and instance.
        """
        shutil.rmtree(self._record(modality, key), ignore_errors=True)

    def erase(self, eid: int) -> int:
        """Remove all records of one person.

        Parameters
        ----------
        eid : int
            The person.

        Returns
        -------
        int
            Number of records that were removed; the others are not touched.
        """
        records = list(self._records_of(eid))
        for record in records:
            shutil.rmtree(record)
        return sum(not record.name.startswith(".") for record in records)

    def _records_of(self, eid: int) -> Iterator[Path]:
        for modality in self.path.glob("*/"):
            yield from modality.glob(f"{eid}_*")
            # What a killed process left half-written is the person's data too.
            yield from modality.glob(f".{eid}_*.part")
