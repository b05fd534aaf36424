"""The networks of the study: Ruffle et al., NeuroImage 291:120600 (2024).

Layers and their sizes are those of the article and its published code. Rates of dropout are fixed
too: 0.1 in the convolutional network, 0.5 in all layers of the connectivity network, 0.1 in all
layers of the network of traits and in the hidden ones of the head.

Shapes: N people, C channels, (X, Y, Z) voxels, E embedding.
"""

from __future__ import annotations

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
    """One level: two convolutions beside a skip convolution, and pooling of their sum.

    Parameters
    ----------
    channels, width : int
        Coming in and going out.
    """

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
        """Encode one level.

        Parameters
        ----------
        x : torch.Tensor of shape (N, channels, X, Y, Z)
            Of the level before.

        Returns
        -------
        torch.Tensor of shape (N, width, X / 2, Y / 2, Z / 2)
            Edges rounded up.
        """
        return self.after(self.skip(x) + self.second(nn.functional.gelu(self.first(x))))


class StudyCNN(nn.Module):
    """The study's encoder of volumes.

    At 64³ it has five levels, channels 32-64-128-256-256, and an embedding of 128; at 128³ and
    above one more level of 256, and an embedding of 256. A grid on which an edge would become
    shorter than two voxels gets as many levels as it bears; `reduced` then says that this is not
    the study's network.

    Parameters
    ----------
    channels : int
        Modalities.
    shape : tuple of int
        Voxels.

    Attributes
    ----------
    embedding : int
        128 or 256.
    reduced : bool
        Whether it has fewer levels than the study's.

    Raises
    ------
    InputError
        If an edge has less than three voxels.
    """

    def __init__(self, channels: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        require_edge("study", (channels, *shape), SMALLEST_EDGE)
        large = min(shape) >= LARGE_EDGE
        widths: tuple[int, ...] = LARGE_CHANNELS if large else CHANNELS
        borne = min(len(widths), halvings(min(shape)))
        self.reduced = borne < len(widths)
        widths = widths[:borne]
        self.embedding = LARGE_DENSE if large else DENSE
        self.levels = nn.Sequential(*(Level(a, b) for a, b in pairwise((channels, *widths))))
        places = math.prod(-(-size // 2**borne) for size in shape)
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(widths[-1] * places, self.embedding),
            nn.BatchNorm1d(self.embedding),
            nn.GELU(),
        )

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
        return self.dense(self.levels(x))


class FNN(nn.Sequential):
    """The study's feed-forward network: each layer dense, batch norm, GELU, dropout.

    Parameters
    ----------
    widths : tuple of int
        Of the input, and of each layer.
    dropout : float
        After each layer.
    """

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


def study_volume(shape: tuple[int, ...], embedding: int, dropout: float) -> StudyCNN:
    """Build the study's encoder of volumes.

    Parameters
    ----------
    shape : tuple of int
        Channels and voxels along each axis.
    embedding, dropout : int, float
        Not used: the study fixes both.

    Returns
    -------
    StudyCNN
    """
    channels, x, y, z = shape
    return StudyCNN(channels, (x, y, z))


def study_vector(shape: tuple[int, ...], embedding: int, dropout: float) -> FNN:
    """Build the study's encoder of connectivity, n-128-128.

    Parameters
    ----------
    shape : tuple of int
        Length n of the vector.
    embedding, dropout : int, float
        Not used: the study fixes both.

    Returns
    -------
    FNN
    """
    return FNN((*shape, 128, 128), VECTOR_DROPOUT)


def study_table(shape: tuple[int, ...], embedding: int, dropout: float) -> FNN:
    """Build the study's encoder of traits, n-128-64-32.

    Parameters
    ----------
    shape : tuple of int
        Number n of traits.
    embedding, dropout : int, float
        Not used: the study fixes both.

    Returns
    -------
    FNN
    """
    return FNN((*shape, 128, 64, 32), TABLE_DROPOUT)


def study_head(joined: int, outputs: int) -> nn.Sequential:
    """Build the study's head, 256-256-outputs; the last layer is dense and nothing else.

    Parameters
    ----------
    joined, outputs : int
        Lengths of all embeddings together, and of what comes out.

    Returns
    -------
    Sequential
    """
    return nn.Sequential(FNN((joined, 256, 256), HEAD_DROPOUT), nn.Linear(256, outputs))
