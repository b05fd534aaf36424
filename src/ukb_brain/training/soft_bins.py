"""Continuous targets as soft bins: a network names how likely each is, and its mean is read.

Peng et al., Medical Image Analysis 68:101871 (2021), for the years of age; here for any target.
Shapes: N people, T targets, C continuous ones, K bins, and O outputs of a network: logits of binary
targets first, then K of each continuous one.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import kl_div

from ukb_brain.training.people import Floats

# Of training people's labels, between which bins are, and bins beyond either: so that the label of
# nearly everybody is the mean of their bins, and one absurd value does not make all bins wide.
PERCENTILES, BEYOND = (0.5, 99.5), 3


def outputs_for(binary: Iterable[bool], bins: int) -> int:
    """Count the outputs O of a network; without bins each target has one."""
    return sum(1 if yes else max(1, bins) for yes in binary)


class SoftBins:
    """How outputs are read as values, and how far they are from labels.

    Parameters
    ----------
    labels : list of ndarray of shape (n,)
        Of training people, standardised, by target; nothing else of anybody defines bins.
    kinds : ndarray of shape (T,)
        Whether each target is binary.
    bins : int
        K.

    Attributes
    ----------
    centres, widths : torch.Tensor of shape (C, K) and (C, 1)
        Bins of a target are alike.
    """

    def __init__(self, labels: list[Floats], kinds: NDArray[np.bool_], bins: int) -> None:
        ends = np.array([_ends(own) for own, yes in zip(labels, kinds, strict=True) if not yes])
        low, high = ends.reshape(-1, 2).T
        widths = (high - low) / (bins - 2 * BEYOND)
        centres = low[:, None] + widths[:, None] * (np.arange(bins) + 0.5 - BEYOND)
        self.centres = torch.from_numpy(centres).float()
        self.widths = torch.from_numpy(widths[:, None]).float()
        self.binary = int(kinds.sum())
        self.continuous = torch.from_numpy(np.flatnonzero(~kinds))
        # Where each target is when binary ones come first.
        self.order = torch.from_numpy(np.argsort(np.argsort(~kinds, kind="stable")))

    def to(self, device: torch.device) -> None:
        """Move bins to where the network is."""
        for name in ("centres", "widths", "continuous", "order"):
            setattr(self, name, getattr(self, name).to(device))

    def read(self, outputs: torch.Tensor) -> torch.Tensor:
        """Read outputs (N, O) as logits and means of bins (N, T)."""
        means = (self._logits(outputs).softmax(-1) * self.centres).sum(-1)
        return torch.cat([outputs[:, : self.binary], means], dim=1)[:, self.order]

    def losses(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Half the divergence (N, T) of outputs (N, O) from labels (N, T); of binary targets 0.

        A label is a Gaussian with an SD of one bin. Half of its Kullback-Leibler divergence is
        about a squared error's size at chance.
        """
        apart = (y[:, self.continuous, None] - self.centres) / self.widths
        expected = (-0.5 * apart**2).log_softmax(-1)
        named = self._logits(outputs).log_softmax(-1)
        each = 0.5 * kl_div(named, expected, reduction="none", log_target=True).sum(-1)
        none = each.new_zeros(len(each), self.binary)
        return torch.cat([none, each], dim=1)[:, self.order]

    def _logits(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs[:, self.binary :].unflatten(1, self.centres.shape)


def _ends(labels: Floats) -> Floats:
    """Give the ends of some labels; any where they do not vary, since no loss is taken of them."""
    low, high = np.percentile(labels, PERCENTILES)
    if low == high:
        low, high = labels.min(), labels.max()
    return np.array([low, high if high > low else low + 1])
