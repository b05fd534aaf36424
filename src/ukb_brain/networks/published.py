"""Networks of volumes that others published.

Shapes: N people, C channels, (X, Y, Z) voxels, E embedding.
"""

from itertools import pairwise

import torch
from torch import nn

from ukb_brain.networks.grids import require_edge

# The last of five halvings still halves.
SMALLEST_EDGE = 17
# Of SFCN: of its five levels, and after them.
CHANNELS, LAST = (32, 64, 128, 256, 256), 64


class SFCN(nn.Module):
    """The simple fully convolutional network: volumes (N, C, X, Y, Z) to (N, E).

    Peng et al., Medical Image Analysis 68:101871 (2021). Five 3×3×3 convolutions, each halving the
    grid, one of 1×1×1, and the mean over the grid. The article's last layer has 40 classes of age,
    and a dropout of 0.5 before it; here it gives the embedding. Refuses edges of less than 17
    voxels.
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
            *layers,
            nn.Conv3d(CHANNELS[-1], LAST, 1),
            nn.BatchNorm3d(LAST),
            nn.ReLU(),
        )
        self.last = nn.Sequential(nn.Dropout(dropout), nn.Linear(LAST, embedding))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode volumes (N, C, X, Y, Z) as (N, E)."""
        return self.last(self.features(x).mean(dim=(2, 3, 4)))


class Block(nn.Module):
    """Two 3×3×3 convolutions, added to what came in; a stride of 2 halves the grid."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(channels, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(),
            nn.Conv3d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm3d(width),
        )
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or channels != width:
            self.skip = nn.Sequential(
                nn.Conv3d(channels, width, 1, stride, bias=False), nn.BatchNorm3d(width)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode (N, channels, X, Y, Z) as (N, width, X / stride, …), edges rounded up."""
        return nn.functional.relu(self.skip(x) + self.layers(x))


class ResNet(nn.Module):
    """ResNet-18 of volumes: (N, C, X, Y, Z) to (N, E).

    He et al., CVPR 2016; three-dimensional kernels as in Hara et al., CVPR 2018. A stem that halves
    the grid twice, four stages of two blocks, and the mean over the grid. ``width`` is of the first
    stage, and doubled in each further one; the article has 64. Dropout is before the last layer.
    Refuses edges of less than 17 voxels.
    """

    def __init__(
        self, shape: tuple[int, ...], embedding: int, dropout: float, width: int = 32
    ) -> None:
        super().__init__()
        require_edge("resnet", shape, SMALLEST_EDGE)
        self.embedding = embedding
        self.stem = nn.Sequential(
            nn.Conv3d(shape[0], width, 7, 2, padding=3, bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(),
            nn.MaxPool3d(3, 2, padding=1),
        )
        stages = [Block(width, width, 1), Block(width, width, 1)]
        for before, after in pairwise((width, 2 * width, 4 * width, 8 * width)):
            stages += [Block(before, after, 2), Block(after, after, 1)]
        self.stages = nn.Sequential(*stages)
        self.last = nn.Sequential(nn.Dropout(dropout), nn.Linear(8 * width, embedding))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode volumes (N, C, X, Y, Z) as (N, E)."""
        return self.last(self.stages(self.stem(x)).mean(dim=(2, 3, 4)))
