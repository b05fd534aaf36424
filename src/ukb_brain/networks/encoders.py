"""Encoders of imaging groups, and the network that joins them.

Shapes: N people, C channels, (X, Y, Z) voxels, E embedding, G imaging groups, T targets.
"""

from __future__ import annotations

import math

import torch
from torch import nn


class _Residual(nn.Sequential):
    """Batch norm, GELU and one convolution, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.BatchNorm3d(channels), nn.GELU(), nn.Conv3d(channels, channels, 3, padding=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


class VolumeEncoder(nn.Module):
    """A light encoder of volumes for small grids and processors.

    The stem turns cubes of voxels into channels, so that convolutions run on few places; the last
    layer knows where it looks, since brains in MNI space lie alike.

    Parameters
    ----------
    channels : int
        Modalities of the group.
    shape : tuple of int
        Voxels.
    stem : int
        Edge of the cubes.
    width, embedding : int
        Channels after the stem, and length of the embedding.
    dropout : float
        Before the last layer.
    """

    def __init__(
        self,
        channels: int,
        shape: tuple[int, int, int],
        stem: int,
        width: int,
        embedding: int,
        dropout: float,
    ) -> None:
        super().__init__()
        # Volumes are padded to whole cubes, and to an even number of them.
        self.padding = [(-size) % (2 * stem) for size in shape]
        places = math.prod((n + p) // (2 * stem) for n, p in zip(shape, self.padding, strict=True))
        self.layers = nn.Sequential(
            nn.Conv3d(channels, width, stem, stem),
            _Residual(width),
            nn.BatchNorm3d(width),
            nn.GELU(),
            nn.Conv3d(width, 2 * width, 2, 2),
            _Residual(2 * width),
            nn.BatchNorm3d(2 * width),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(2 * width * places, embedding),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode volumes.

        Parameters
        ----------
        x : torch.Tensor of shape (N, C, X, Y, Z)
            Pooled volumes.

        Returns
        -------
        torch.Tensor of shape (N, E)
        """
        pads = [side for size in reversed(self.padding) for side in (0, size)]
        return self.layers(nn.functional.pad(x, pads))


class VectorEncoder(nn.Module):
    """A linear map beside a small network, for connectivity vectors.

    Parameters
    ----------
    length, embedding : int
        Of the vector and of the embedding.
    hidden : int
        Units of the network.
    dropout : float
        Before each of its layers.
    """

    def __init__(self, length: int, embedding: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(length, affine=False)
        self.line = nn.Linear(length, embedding)
        self.network = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(length, hidden),
            nn.BatchNorm1d(hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, embedding),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode vectors.

        Parameters
        ----------
        x : torch.Tensor of shape (N, length)
            Connectivity.

        Returns
        -------
        torch.Tensor of shape (N, E)
        """
        scaled = self.scale(x)
        return self.line(scaled) + self.network(scaled)


class JointNetwork(nn.Module):
    """An encoder for each imaging group, and one head for all targets that takes any subset.

    Parameters
    ----------
    encoders : dict of str to Module
        By imaging group.
    embedding, targets : int
        Length of an embedding; number of outputs.
    dropout : float
        Within the head.
    """

    def __init__(
        self, encoders: dict[str, nn.Module], embedding: int, targets: int, dropout: float
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        joined = embedding * len(encoders)
        self.line = nn.Linear(joined, targets)
        self.network = nn.Sequential(
            nn.Linear(joined, embedding),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(embedding, targets),
        )

    def embed(self, scans: dict[str, torch.Tensor]) -> torch.Tensor:
        """Encode every imaging group.

        Parameters
        ----------
        scans : dict of str to torch.Tensor
            By imaging group.

        Returns
        -------
        torch.Tensor of shape (N, G, E)
        """
        return torch.stack([e(scans[group]) for group, e in self.encoders.items()], dim=1)

    def predict(self, embeddings: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
        """Predict all targets from some of the imaging groups.

        Parameters
        ----------
        embeddings : torch.Tensor of shape (N, G, E)
            From `embed`.
        used : torch.Tensor of shape (N, G)
            1 for groups to use; the others are replaced by zeros.

        Returns
        -------
        torch.Tensor of shape (N, T)
            Standardised values, or logits.
        """
        # Not a product: what is not finite would stay so.
        joined = torch.where(used[..., None] > 0, embeddings, 0.0).flatten(1)
        return self.line(joined) + self.network(joined)
