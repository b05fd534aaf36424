"""The networks of the study: Ruffle et al., NeuroImage 291:120600 (2024).

Layers and their sizes are those of the article and its published code. Rates of dropout are fixed
too: 0.1 in the convolutional network, 0.5 in all layers of the connectivity network, 0.1 in all
layers of the network of traits and in the hidden ones of the head.

Shapes: N people, C channels, (X, Y, Z) voxels, E embedding.
"""

import math
from itertools import pairwise

import torch
from torch import nn

from ukb_brain.networks.grids import halvings, require_edge

CHANNELS = (32, 64, 128, 256, 256)
# From this edge on there is one more level, and the embedding is as long as it is wide.
LARGE_EDGE = 128
LARGE_CHANNELS = (*CHANNELS, 256)
SMALLEST_EDGE = 3
DENSE, LARGE_DENSE = 128, 256
VOLUME_DROPOUT, VECTOR_DROPOUT, TABLE_DROPOUT, HEAD_DROPOUT = 0.1, 0.5, 0.1, 0.1


class Level(nn.Module):
    """One level: two convolutions beside a skip convolution, and pooling of their sum."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.skip = nn.Conv3d(channels, width, 1)
        self.first = nn.Conv3d(channels, width, 3, padding=1)
        self.second = nn.Conv3d(width, width, 3, padding=1)
        self.after = nn.Sequential(
            nn.BatchNorm3d(width),
            nn.GELU(),
            nn.MaxPool3d(2, ceil_mode=True),
            nn.Dropout(VOLUME_DROPOUT),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode (N, channels, X, Y, Z) as (N, width, X / 2, Y / 2, Z / 2), edges rounded up."""
        return self.after(self.skip(x) + self.second(nn.functional.gelu(self.first(x))))


class StudyCNN(nn.Module):
    """The study's encoder of volumes: (N, C, X, Y, Z) to (N, E).

    At 64³ it has five levels, channels 32-64-128-256-256, and an embedding of 128; at 128³ and
    above one more level of 256, and an embedding of 256. A grid on which an edge would become
    shorter than two voxels gets as many levels as it bears; `reduced` then says that this is not
    the study's network. Refuses edges of less than three voxels.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        require_edge("study", shape, SMALLEST_EDGE)
        channels, *voxels = shape
        large = min(voxels) >= LARGE_EDGE
        widths: tuple[int, ...] = LARGE_CHANNELS if large else CHANNELS
        borne = min(len(widths), halvings(min(voxels)))
        self.reduced = borne < len(widths)
        widths = widths[:borne]
        self.embedding = LARGE_DENSE if large else DENSE
        self.levels = nn.Sequential(*(Level(a, b) for a, b in pairwise((channels, *widths))))
        places = math.prod(-(-size // 2**borne) for size in voxels)
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(widths[-1] * places, self.embedding),
            nn.BatchNorm1d(self.embedding),
            nn.GELU(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode volumes (N, C, X, Y, Z) as (N, E)."""
        return self.dense(self.levels(x))


class FNN(nn.Sequential):
    """The study's feed-forward network: each layer dense, batch norm, GELU, dropout."""

    def __init__(self, widths: tuple[int, ...], dropout: float) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [
                nn.Linear(before, after),
                nn.BatchNorm1d(after),
                nn.GELU(),
                nn.Dropout(dropout),
            ]
        super().__init__(*layers)
        self.embedding = widths[-1]


# Embedding and dropout are fixed by the study.


def study_volume(shape: tuple[int, ...], embedding: int, dropout: float) -> StudyCNN:
    """Build the study's encoder of volumes, of ``shape`` (C, X, Y, Z)."""
    return StudyCNN(shape)


def study_vector(shape: tuple[int, ...], embedding: int, dropout: float) -> FNN:
    """Build the study's encoder of connectivity, n-128-128."""
    return FNN((*shape, 128, 128), VECTOR_DROPOUT)


def study_table(shape: tuple[int, ...], embedding: int, dropout: float) -> FNN:
    """Build the study's encoder of traits, n-128-64-32."""
    return FNN((*shape, 128, 64, 32), TABLE_DROPOUT)


def study_head(joined: int, outputs: int) -> nn.Sequential:
    """Build the study's head, 256-256-outputs; the last layer is dense and nothing else."""
    return nn.Sequential(FNN((joined, 256, 256), HEAD_DROPOUT), nn.Linear(256, outputs))
