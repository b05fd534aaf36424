"""The light encoder of volumes, for small grids and processors.

Shapes: N people, C channels, (X, Y, Z) voxels, E embedding.
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
        self.embedding = embedding
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


def light_volume(
    shape: tuple[int, ...], embedding: int, dropout: float, stem: int = 2, width: int = 32
) -> VolumeEncoder:
    """Build the light encoder of volumes.

    Parameters
    ----------
    shape : tuple of int
        Channels and voxels along each axis; any number of voxels.
    embedding : int
        Length of the embedding.
    dropout : float
        Before the last layer.
    stem, width : int
        Edge of the cubes of voxels that become channels; channels after them.

    Returns
    -------
    VolumeEncoder
    """
    channels, x, y, z = shape
    return VolumeEncoder(channels, (x, y, z), stem, width, embedding, dropout)
