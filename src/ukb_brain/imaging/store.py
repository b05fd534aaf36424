"""A store of arrays, one record a modality, participant and visit.

Each record is a Zarr array of its own under ``<modality>/<eid>_<instance>``, so that it is written
whole or not at all, read without decoding gzip again, and erased without touching the others.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from ukb_brain.errors import InputError
from ukb_brain.imaging.intensity import Code

# eid and instance.
Key = tuple[int, int]
SOURCE = "source"
# Scale and offset of a record in 8 bits.
CODE = "scale_and_offset"
# Whether some records have no number where others have one.
INCOMPLETE = "incomplete"


def open_store(path: Path) -> RecordStore:
    """Open the store in a folder; it may be empty, or not be there yet."""
    return RecordStore(path)


class RecordStore:
    """Arrays by modality, eid and instance; `open_store` gives one."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def claim(self, source: str) -> None:
        """Record where the store's data come from; raises `InputError` if from elsewhere."""
        group = zarr.open_group(self.path, mode="a")
        there = group.attrs.setdefault(SOURCE, source)
        if there != source:
            raise InputError(
                f"The store {self.path} holds {there} data and this run's are {source}: "
                "give this run a data root of its own (--params data_root=…)."
            )

    def mark(self, name: str, value: bool) -> None:
        """Keep a mark of the whole store."""
        group = zarr.open_group(self.path, mode="a")
        if group.attrs.get(name) != value:
            group.attrs[name] = value

    def marked(self, name: str) -> bool:
        """Read a mark of the whole store: False where there is none."""
        if not (self.path / "zarr.json").exists():
            return False
        return bool(zarr.open_group(self.path, mode="r").attrs.get(name, False))

    def has(self, modality: str) -> bool:
        """Whether there has ever been a record of a modality."""
        return (self.path / modality).is_dir()

    def _record(self, modality: str, key: Key) -> Path:
        return self.path / modality / f"{key[0]}_{key[1]}"

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
        final = self._record(modality, key)
        part = final.with_name(f".{final.name}.{os.getpid()}.part")
        try:
            stored = zarr.create_array(
                part,
                shape=array.shape,
                chunks=array.shape,
                dtype=array.dtype,
                compressors=BloscCodec(cname="lz4", clevel=1),
                attributes={**about, CODE: code} if code else dict(about),
            )
            stored[...] = array
            shutil.rmtree(final, ignore_errors=True)
            part.rename(final)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def about(self, modality: str, key: Key) -> dict[str, Any] | None:
        """Read what is kept beside a record; None where there is no such record."""
        if not (self._record(modality, key) / "zarr.json").exists():
            return None
        return dict(zarr.open_array(self._record(modality, key), mode="r").attrs)

    def read(self, modality: str, key: Key) -> NDArray[np.generic]:
        """Read one record as it was written, or as float16 if in 8 bits.

        Raises `InputError` if it is not there.
        """
        try:
            stored = zarr.open_array(self._record(modality, key), mode="r")
            values = np.asarray(stored[...])
        except FileNotFoundError:
            # Its own message would name the person.
            raise InputError(
                f"The store {self.path} lacks a {modality} record that the quality table calls "
                "usable: run `kedro run --pipelines imaging_preprocess` again."
            ) from None
        about: dict[str, Any] = dict(stored.attrs)
        return Code(*about[CODE]).decode(values).astype(np.float16) if CODE in about else values

    def read_many(self, modality: str, keys: Sequence[Key]) -> NDArray[np.generic]:
        """Read records of equal shape, at least one, into an array of shape (n, ...)."""
        first = self.read(modality, keys[0])
        out = np.empty((len(keys), *first.shape), dtype=first.dtype)
        out[0] = first
        for row, key in enumerate(keys[1:], start=1):
            out[row] = self.read(modality, key)
        return out

    def keys(self, modality: str) -> list[Key]:
        """List all records of a modality, sorted by eid, then instance."""
        if not self.has(modality):
            return []
        records = (self.path / modality).iterdir()
        names = [p.name.split("_") for p in records if not p.name.startswith(".")]
        return sorted((int(eid), int(instance)) for eid, instance in names)

    def eids(self) -> set[int]:
        """List everybody of whom there is a record, whole or half-written."""
        return {int(record.name.lstrip(".").split("_")[0]) for record in self._records("*")}

    def discard(self, modality: str, key: Key) -> None:
        """Remove one record, if it is there."""
        shutil.rmtree(self._record(modality, key), ignore_errors=True)

    def erase(self, eid: int) -> int:
        """Remove all records of one person, and count them; the others are not touched."""
        records = self._records(str(eid))
        for record in records:
            shutil.rmtree(record)
        return sum(not record.name.startswith(".") for record in records)

    def _records(self, eid: str) -> list[Path]:
        """List a person's records; what a killed process left half-written is theirs too."""
        return [*self.path.glob(f"*/{eid}_*"), *self.path.glob(f"*/.{eid}_*.part")]
