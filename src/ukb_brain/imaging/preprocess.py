"""From some visits' bulk files to records of the stores and rows of the quality table."""

import hashlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ukb_brain.cluster import pick_device
from ukb_brain.imaging.bulk import ScanError
from ukb_brain.imaging.modalities import NUMBERS, ImagingPreprocess
from ukb_brain.imaging.quality import CONTENT, MEASURES, measures_of_vector
from ukb_brain.imaging.readers import READERS, SHRINKAGE, Parcellation, Visit
from ukb_brain.imaging.store import RecordStore, open_store

# Settings that a record depends on where its modality says so alone; and limits, which are held
# against what was measured, so that another one changes no record.
NOT_OF_ONE = {"modalities", "connectivity_field", "atlas", "quality"}


@dataclass(frozen=True)
class VisitBatch:
    """Some visits that one worker preprocesses; scans are resampled on ``device``.

    By modality: ``parcellations`` where it is edges between regions; ``fields`` of the main table,
    in the order in which visits have their numbers.
    """

    visits: tuple[Visit, ...]
    settings: ImagingPreprocess
    parcellations: Mapping[str, Parcellation]
    volumes: Path
    vectors: Path
    fields: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    device: str = "cpu"


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
    device = pick_device(batch.device)
    # Entered for nothing, it would slow down every call of torch.
    with nullcontext() if device.type == "cpu" else device:
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
    of_vector = measures_of_vector(found.array) if found.array.ndim == 1 else {}
    if settings.modalities[modality].reader == NUMBERS:
        # A few rounded numbers may be two people's.
        of_vector.pop(CONTENT)
    measures = {**found.measures, **of_vector}
    about = {"fingerprint": fingerprint, "measures": measures}
    store.write(modality, visit.key, found.array, about, found.code)
    return row | {"status": "ok", "reason": ""} | measures


def _fingerprint(modality: str, visit: Visit, batch: VisitBatch) -> str:
    """Hash all that a record depends on: settings, its modality's and its space's, and files."""
    settings = batch.settings
    own = settings.modalities[modality]
    if own.reader == NUMBERS:
        known = repr((own.most_missing, batch.fields[modality], *MEASURES)).encode()
        return hashlib.sha256(known + visit.numbers[modality].tobytes()).hexdigest()[:16]
    # By its space an image needs another modality's file too.
    read = {modality, own.space} & settings.modalities.keys()
    files = sorted({settings.fields[key] for key in read})
    parts = [settings.model_dump_json(exclude=NOT_OF_ONE), modality, *MEASURES]
    # Records hold the same, whatever they are read as.
    parts += [settings.modalities[key].model_dump_json(exclude={"kind"}) for key in sorted(read)]
    parts += [f"{f}:{visit.files[f].fingerprint}" for f in files if f in visit.files]
    if READERS[own.reader].store == "vectors":
        parts.append(f"{SHRINKAGE}{settings.series.get(modality)}{batch.parcellations[modality]}")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
