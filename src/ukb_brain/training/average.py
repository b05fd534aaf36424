"""The average of several strategies' fits of a cell, in shares chosen on people left out."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.optimize import nnls

from ukb_brain.training.cells import CellFit
from ukb_brain.training.people import Floats


def least_on_simplex(products: Floats) -> Floats:
    """Find shares, at least 0 and with the sum 1, with the least ``shares @ products @ shares``.

    ``products`` of errors, of shape (m, m), are symmetric, without negative eigenvalues.
    """
    values, vectors = np.linalg.eigh(products)
    root = (vectors * np.sqrt(np.maximum(values, 0))).T
    # The sum is held by a heavy row, and put right after.
    heavy = 1e4 * max(float(values.max()), 1e-12) ** 0.5
    rows = np.vstack([root, np.full(len(products), heavy)])
    shares, _ = nnls(rows, np.array([*np.zeros(len(products)), heavy]))
    return shares / shares.sum()


def shares_used(fits: Mapping[str, CellFit], shares: Mapping[str, float]) -> dict[str, float]:
    """Say how much of each strategy is in what `blend` gives of one cell.

    These are the shares of strategies by which the cell could be fitted, scaled to the sum 1.
    """
    there = {name: shares[name] if fit.status == "ok" else 0.0 for name, fit in fits.items()}
    total = sum(there.values())
    if not total:
        # What was fitted has no share: it has all where nothing else was.
        there = {name: float(fit.status == "ok") for name, fit in fits.items()}
        total = sum(there.values())
    return {name: share / total if total else 0.0 for name, share in there.items()}


def blend(fits: Mapping[str, CellFit], shares: Mapping[str, float]) -> CellFit:
    """Average the fits of a cell in the shares of `shares_used`; the first gives the rest.

    The first fit as it is where none could be made.
    """
    used = [(fits[name], share) for name, share in shares.items() if share > 0]
    first = next(iter(fits.values()))
    if not used:
        return first
    return replace(
        used[0][0],
        scores=np.sum([share * fit.scores for fit, share in used], axis=0),
        loss=sum(share * fit.loss for fit, share in used),
        seconds=sum(fit.seconds for fit in fits.values()),
        flops=sum(fit.flops for fit in fits.values()),
    )
