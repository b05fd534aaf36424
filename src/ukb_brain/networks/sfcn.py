"""The simple fully convolutional network of Peng et al., Medical Image Analysis 68:101871 (2021).

Shapes: N people, C channels, (X, Y, Z) voxels, E embedding.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from ukb_brain.networks.grids import require_edge

CHANNELS = (32, 64, 128, 256, 256)
LAST = 64
# The fifth halving still halves.
SMALLEST_EDGE = 17


class SFCN(nn.Module):
    """Five 3×3×3 convolutions, each halving the grid, one of 1×1×1, and the mean over the grid.

    The article's last layer has 40 classes of age; here it gives the embedding.

    Parameters
    ----------
    channels : int
        Modalities.
    embedding : int
        Length of the embedding.
    dropout : float
        Before the last layer.
    """

    def __init__(self, channels: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.embedding = embedding
        layers: list[nn.Module] = []
        for before, after in pairwise((channels, *CHANNELS)):
            layers += [
                nn.Conv3d(before, after, 3, padding=1),
                nn.BatchNorm3d(after),
                nn.MaxPool3d(2, ceil_mode=True),
                nn.ReLU(),
            ]
        self.features = nn.Sequential(
            *layers, nn.Conv3d(CHANNELS[-1], LAST, 1), nn.BatchNorm3d(LAST), nn.ReLU()
        )
        self.last = nn.Sequential(nn.Dropout(dropout), nn.Linear(LAST, embedding))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode volumes.

        Parameters
        ----------
        x : torch.Tensor of shape (N, C, X, Y, Z)
            Volumes.

        Returns
        -------
        torch.Tensor of shape (N, E)
        """
        return self.last(self.features(x).mean(dim=(2, 3, 4)))


def sfcn(shape: tuple[int, ...], embedding: int, dropout: float) -> SFCN:
    """Build an SFCN.

    Parameters
    ----------
    shape : tuple of int
        Channels and voxels along each axis.
    embedding : int
        Length of the embedding.
    dropout : float
        Before the last layer; the article has 0.5.

    Returns
    -------
    SFCN

    Raises
    ------
    InputError
        If an edge has less than 17 voxels.
    """
    require_edge("sfcn", shape, SMALLEST_EDGE)
    return SFCN(shape[0], embedding, dropout)
