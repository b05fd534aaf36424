"""Targets as one masked loss: each standardised, its classes weighted or drawn equally."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from ukb_brain.training.people import Floats, Mask
from ukb_brain.training.settings import Loop
from ukb_brain.training.soft_bins import SoftBins


class Tasks:
    """What a network learns, on scales that training people define.

    Parameters
    ----------
    targets : dict of str to ndarray of shape (n,)
        In their own units; NaN is unknown.
    binary : dict of str to bool
        Its keys are the outputs, in their order.
    fitted : ndarray of shape (n,)
        True for the people that the network is trained on; nothing else of anybody defines a scale.
    settings : Loop
        How classes are balanced, whether labels are clamped, and whether there are bins.

    Attributes
    ----------
    y, weights : torch.Tensor of shape (n, targets)
        Labels as the loss takes them; 0 weight where unknown, or where training people do not vary.
    """

    def __init__(
        self,
        targets: Mapping[str, Floats],
        binary: Mapping[str, bool],
        fitted: Mask,
        settings: Loop,
    ) -> None:
        raw = np.stack([targets[t] for t in binary], axis=1)
        kinds = np.array(list(binary.values()))
        columns = [column[np.isfinite(column) & fitted] for column in raw.T]
        known = np.array([len(c) > 1 and np.ptp(c) > 0 for c in columns])
        if settings.clamp_percentiles is not None:
            # Of labels only: whoever is scored is scored on the target as it is.
            ends = [
                np.percentile(c, settings.clamp_percentiles) if k and not b else (-np.inf, np.inf)
                for c, k, b in zip(columns, known, kinds, strict=True)
            ]
            raw = np.clip(raw, *np.array(ends).T)
            columns = [column[np.isfinite(column) & fitted] for column in raw.T]
        used = [c if k else np.zeros(2) for c, k in zip(columns, known, strict=True)]
        self.mean = np.array([column.mean() for column in used])
        centre, spread = self.mean, np.array([column.std() for column in used])
        if settings.label_scale == "range":
            low, high = np.array([(column.min(), column.max()) for column in used]).T
            centre, spread = (low + high) / 2, (high - low) / 2
        divisor = np.where(spread > 0, spread, 1.0)
        scaled = np.where(kinds, raw, (raw - centre) / divisor)
        weights = np.ones_like(raw)
        if settings.balance == "weights":
            share = np.clip(self.mean, 1e-6, 1 - 1e-6)
            weights = np.where(kinds, np.where(raw > 0, 0.5 / share, 0.5 / (1 - share)), 1.0)
        self.labels = raw
        self.kinds = kinds
        self.undersample = settings.balance == "undersample" and len(kinds) == 1 and kinds[0]
        self.y = torch.from_numpy(np.nan_to_num(scaled)).float()
        self.weights = torch.from_numpy(weights * (np.isfinite(raw) & known)).float()
        self.binary = torch.from_numpy(kinds)
        self.bins = None
        if settings.bins:
            given = [(c - m) / d for c, m, d in zip(used, centre, divisor, strict=True)]
            self.bins = SoftBins(given, kinds, settings.bins)

    def to(self, device: torch.device) -> Tasks:
        """Move labels to where the network is."""
        self.y, self.weights = self.y.to(device), self.weights.to(device)
        self.binary = self.binary.to(device)
        if self.bins is not None:
            self.bins.to(device)
        return self

    def drawn(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Put the people of an epoch in order.

        Undersampled, they are as many of the larger class as there are of the smaller.
        """
        order = rng.permutation(rows)
        if not self.undersample:
            return order
        positive = self.labels[order, 0] > 0
        least = min(int(positive.sum()), int((~positive).sum()))
        ranks = np.where(positive, np.cumsum(positive), np.cumsum(~positive))
        return order[ranks <= least]

    def read(self, outputs: torch.Tensor) -> torch.Tensor:
        """Read what a network gives (batch, outputs) as standardised values, or logits.

        Returns
        -------
        torch.Tensor of shape (batch, targets)
        """
        return outputs if self.bins is None else self.bins.read(outputs)

    def losses(self, outputs: torch.Tensor, rows: torch.Tensor, used: torch.Tensor) -> tuple:
        """As `errors`, of what a network gives (batch, outputs): what it is trained to lessen."""
        predicted = self.read(outputs)
        if self.bins is None:
            return self.errors(predicted, rows, used)
        return self._sums(predicted, self.bins.losses(outputs, self.y[rows]), rows, used)

    def errors(self, predicted: torch.Tensor, rows: torch.Tensor, used: torch.Tensor) -> tuple:
        """Weighted sums of each target's error, and the sums of weights, both of shape (targets,).

        Parameters
        ----------
        predicted : torch.Tensor of shape (batch, targets)
            Standardised values, or logits, as `read` gives them.
        rows : torch.Tensor of shape (batch,)
            People.
        used : torch.Tensor of shape (batch,)
            0 for people of whom the network saw nothing.
        """
        return self._sums(predicted, (predicted - self.y[rows]) ** 2, rows, used)

    def _sums(
        self,
        predicted: torch.Tensor,
        continuous: torch.Tensor,
        rows: torch.Tensor,
        used: torch.Tensor,
    ) -> tuple:
        y, weights = self.y[rows], self.weights[rows] * used[:, None]
        # Twice the cross-entropy is about the squared error's size at chance.
        crossed = 2 * binary_cross_entropy_with_logits(
            predicted, torch.where(self.binary, y, 0.5), reduction="none"
        )
        each = torch.where(self.binary, crossed, continuous)
        return (each * weights).sum(0), weights.sum(0)
