"""From some visits' bulk files to records of the stores and rows of the quality table."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ukb_brain.imaging.bulk import ScanError
from ukb_brain.imaging.intensity import Values
from ukb_brain.imaging.modalities import NUMBERS, ImagingPreprocess
from ukb_brain.imaging.readers import READERS, SHRINKAGE, Parcellation, Visit
from ukb_brain.imaging.store import Key, RecordStore, open_store

# Settings that a record depends on where its modality says so alone.
NOT_OF_ONE = {"modalities", "connectivity_field", "atlas"}


@dataclass(frozen=True)
class VisitBatch:
    """Some visits that one worker preprocesses.

    By modality: ``parcellations`` where it is edges between regions; ``fields`` of the main table,
    in the order in which visits have their numbers.
    """

    visits: tuple[Visit, ...]
    settings: ImagingPreprocess
    parcellations: Mapping[str, Parcellation]
    volumes: Path
    vectors: Path
    fields: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def preprocess_batch(batch: VisitBatch) -> list[dict[str, Any]]:
    """Preprocess some visits; what is already in the stores and unchanged is not made again.

    Returns
    -------
    list of dict
        One row of the quality table a visit and modality. A scan that cannot be used is a row
        with its reason, never an error.
    """
    stores = {
        "volumes": open_store(batch.volumes),
        "vectors": open_store(batch.vectors),
    }
    return [
        _preprocess(modality, visit, batch, stores[READERS[record.reader].store])
        for visit in batch.visits
        for modality, record in batch.settings.modalities.items()
    ]


def _preprocess(
    modality: str, visit: Visit, batch: VisitBatch, store: RecordStore
) -> dict[str, Any]:
    settings, (eid, instance) = batch.settings, visit.key
    row: dict[str, Any] = {"eid": eid, "instance": instance, "modality": modality}
    try:
        fingerprint = _fingerprint(modality, visit, batch)
        there = store.about(modality, visit.key)
        if there and there["fingerprint"] == fingerprint:
            return row | {"status": "ok", "reason": ""} | there["measures"]
        read = READERS[settings.modalities[modality].reader].read
        cohort = batch.parcellations.get(modality, Parcellation())
        found = read(modality, visit, settings, cohort)
    except ScanError as error:
        # An older record of a scan that is no longer usable must not be read by training.
        store.discard(modality, visit.key)
        return row | {"status": error.status, "reason": str(error)}
    about = {"fingerprint": fingerprint, "measures": found.measures}
    store.write(modality, visit.key, found.array, about, found.code)
    return row | {"status": "ok", "reason": ""} | found.measures


def _fingerprint(modality: str, visit: Visit, batch: VisitBatch) -> str:
    """Hash all that a record depends on: settings, its modality's and its space's, and files."""
    settings = batch.settings
    own = settings.modalities[modality]
    if own.reader == NUMBERS:
        known = repr((own.most_missing, batch.fields[modality])).encode()
        return hashlib.sha256(known + visit.numbers[modality].tobytes()).hexdigest()[:16]
    # By its space an image needs another modality's file too.
    read = {modality, own.space} & settings.modalities.keys()
    files = sorted({settings.fields[key] for key in read})
    parts = [settings.model_dump_json(exclude=NOT_OF_ONE), modality]
    # Records hold the same, whatever they are read as.
    parts += [settings.modalities[key].model_dump_json(exclude={"kind"}) for key in sorted(read)]
    parts += [f"{f}:{visit.files[f].fingerprint}" for f in files if f in visit.files]
    if READERS[own.reader].store == "vectors":
        parts.append(f"{SHRINKAGE}{settings.series.get(modality)}{batch.parcellations[modality]}")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def mean_volume(store: RecordStore, modality: str, keys: list[Key]) -> Values:
    """Average a modality's volumes of some visits, at least one, reading one at a time."""
    total = sum(store.read(modality, key).astype(np.float64) for key in keys)
    return np.asarray(total / len(keys), dtype=np.float32)
