"""Light encoders, for small grids and processors: of volumes, of connectivity vectors, of traits.

Shapes: N people, C channels, (X, Y, Z) voxels, E embedding.
"""

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
    """Volumes (N, C, X, Y, Z), of any edges, to (N, E).

    The stem turns cubes of ``stem`` voxels' edge into ``width`` channels, so that convolutions run
    on few places; the last layer, after the dropout, knows where it looks, since brains in MNI
    space lie alike.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        embedding: int,
        dropout: float,
        stem: int = 2,
        width: int = 32,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        channels, *voxels = shape
        # Volumes are padded to whole cubes, and to an even number of them.
        self.padding = [(-size) % (2 * stem) for size in voxels]
        places = math.prod((n + p) // (2 * stem) for n, p in zip(voxels, self.padding, strict=True))
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
        """Encode volumes (N, C, X, Y, Z) as (N, E)."""
        pads = [side for size in reversed(self.padding) for side in (0, size)]
        return self.layers(nn.functional.pad(x, pads))


class VectorEncoder(nn.Module):
    """A linear map beside a small network of ``hidden`` units, with dropout before its layers."""

    def __init__(
        self, shape: tuple[int, ...], embedding: int, dropout: float, hidden: int = 128
    ) -> None:
        super().__init__()
        self.embedding, (length,) = embedding, shape
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
        """Encode vectors (N, length) as (N, E)."""
        scaled = self.scale(x)
        return self.line(scaled) + self.network(scaled)


class LinearEncoder(nn.Sequential):
    """A linear map of standardised numbers, regularised by dropout.

    Dropout of inputs acts on a linear map as a ridge penalty on standardised numbers does (Wager
    et al., NeurIPS 2013), beside the weight decay of the training.
    """

    def __init__(self, shape: tuple[int, ...], embedding: int, dropout: float) -> None:
        (length,) = shape
        super().__init__(
            nn.BatchNorm1d(length, affine=False),
            nn.Dropout(dropout),
            nn.Linear(length, embedding),
        )
        self.embedding = embedding
