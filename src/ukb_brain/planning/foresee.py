"""From what some items took to all items of a run."""

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ukb_brain.cluster.progress import EPOCHS
from ukb_brain.ledger.artifact import Card
from ukb_brain.planning.case import Case
from ukb_brain.planning.measure import (
    Found,
    Key,
    measure_networks,
    measure_reading,
    measure_regressions,
    with_strategy,
)
from ukb_brain.planning.needs import process_needs
from ukb_brain.planning.rehearsal import KINDS, NETWORKS, Rehearsal, epochs_of, fitted_on
from ukb_brain.training.settings import AMORTISED, DEDICATED, KERNELS, LINEAR, STRATEGIES

# A device that is not here.
CARD = "card"


def foresee(case: Case, device: str) -> pd.DataFrame:
    """Do some real items of each kind, and foresee all items of a run.

    Networks would be trained on the device, "cpu", "cuda" or "mps".

    Returns
    -------
    pandas.DataFrame
        One row an item, in the order in which they start: ``strategy`` (amortised holds what it is
        averaged with), ``kind, seconds, flops``, bytes of its model (``disk``) and at most of a
        ``process`` and of a ``card``, ``device``, ``basis`` (measured|scaled|assumed), and ``at``,
        what was tried, in words.
    """
    told = logging.getLogger(EPOCHS)
    told.disabled = True
    try:
        with tempfile.TemporaryDirectory() as folder:
            runs = {
                strategy: Rehearsal(with_strategy(case, strategy), device, Path(folder, "shrunk-1"))
                for strategy in STRATEGIES
            }
            found = measure_reading(runs[LINEAR])
            found |= measure_regressions([runs[s] for s in (LINEAR, KERNELS, AMORTISED)])
            found |= measure_networks(runs[AMORTISED], "encoders")
            found |= measure_networks(runs[DEDICATED], "dedicated")
            rows = [
                {"strategy": strategy, "kind": kind} | row
                for strategy, whole in runs.items()
                for kind in KINDS
                for row in _rows(whole, kind, found)
            ]
    finally:
        told.disabled = False
    return pd.DataFrame(rows)


def _rows(whole: Rehearsal, kind: str, found: Mapping[Key, Found]) -> list[dict[str, object]]:
    tflops, rows = whole.case.planning.card_tflops, []
    alike, terms_of, sizes = KINDS[kind].alike, KINDS[kind].terms, KINDS[kind].sizes
    memory = {key: _memory(whole, kind, own) for key, own in found.items() if key[0] == kind}
    for job in (item.payload for item in whole.items(kind)):
        own, terms = found[kind, alike(job)], terms_of(job)
        times = [float(fitted_on(job) * epochs_of(job))] if kind in NETWORKS else terms
        flops = float(own.flops @ times)
        row = {
            "seconds": float(own.seconds @ terms),
            "flops": flops,
            "disk": float(own.disk @ terms[:sizes]),
            "device": "cpu",
            "basis": own.basis,
            "at": own.at,
        }
        if kind in NETWORKS:
            row["device"] = whole.device
        if kind in NETWORKS and tflops is not None:
            row |= {"seconds": flops / tflops / 1e12, "device": CARD, "basis": "assumed"}
        rows.append(row | memory[kind, alike(job)])
    return rows


def _memory(whole: Rehearsal, kind: str, found: Found) -> dict[str, float]:
    """Peaks that were measured, and by how much arrays will be larger."""
    last = found.last
    more = process_needs(whole.case).get(kind, 0.0) - process_needs(last.case).get(kind, 0.0)
    process, card = last.card["process_bytes"] + more, last.card["device_bytes"]
    if kind in NETWORKS:
        batch = getattr(whole.case.modelling, kind).loop.batch_size
        planned = _network_bytes(last.card, batch, found.grown)
        more = planned - _network_bytes(last.card, min(batch, last.card["n_fitted"]), 1.0)
        card = card + more if card else planned
        process += more if whole.device == "cpu" else 0.0
    return {"process": process, "card": card}


def _network_bytes(card: Card, batch: int, grown: float) -> float:
    """Weights, gradients and moments, and what a batch saves for the way back."""
    half = 0.5 if card["precision"] in ("bfloat16", "float16") else 1.0
    return 16.0 * card["parameters"] + half * batch * grown * card["memory_per_sample"]
