"""The simple fully convolutional network of Peng et al., Medical Image Analysis 68:101871 (2021).

Shapes: N people, C channels, (X, Y, Z) voxels, E embedding.
"""

from itertools import pairwise

import torch
from torch import nn

from ukb_brain.networks.grids import require_edge

CHANNELS = (32, 64, 128, 256, 256)
LAST = 64
# The fifth halving still halves.
SMALLEST_EDGE = 17


class SFCN(nn.Module):
    """Volumes (N, C, X, Y, Z) to (N, E).

    Five 3×3×3 convolutions, each halving the grid, one of 1×1×1, and the mean over the grid. The
    article's last layer has 40 classes of age, and a dropout of 0.5 before it; here it gives the
    embedding. Refuses edges of less than 17 voxels.
    """

    def __init__(self, shape: tuple[int, ...], embedding: int, dropout: float) -> None:
        super().__init__()
        require_edge("sfcn", shape, SMALLEST_EDGE)
        self.embedding = embedding
        layers: list[nn.Module] = []
        for before, after in pairwise((shape[0], *CHANNELS)):
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
        """Encode volumes (N, C, X, Y, Z) as (N, E)."""
        return self.last(self.features(x).mean(dim=(2, 3, 4)))
