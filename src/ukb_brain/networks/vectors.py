"""Encoders of connectivity vectors and of traits.

Shapes: N people, E embedding.
"""

from __future__ import annotations

import torch
from torch import nn


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
        self.embedding = embedding
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


class LinearEncoder(nn.Sequential):
    """A linear map of standardised numbers, regularised by dropout.

    Dropout of inputs acts on a linear map as a ridge penalty on standardised numbers does (Wager
    et al., NeurIPS 2013), beside the weight decay of the training.

    Parameters
    ----------
    length, embedding : int
        Of the vector and of the embedding.
    dropout : float
        Of its numbers.
    """

    def __init__(self, length: int, embedding: int, dropout: float) -> None:
        super().__init__(
            nn.BatchNorm1d(length, affine=False),
            nn.Dropout(dropout),
            nn.Linear(length, embedding),
        )
        self.embedding = embedding


def light_vector(
    shape: tuple[int, ...], embedding: int, dropout: float, hidden: int = 128
) -> VectorEncoder:
    """Build the light encoder of connectivity.

    Parameters
    ----------
    shape : tuple of int
        Length of the vector.
    embedding : int
        Length of the embedding.
    dropout : float
        Before each layer of the network beside the linear map.
    hidden : int
        Units of that network.

    Returns
    -------
    VectorEncoder
    """
    return VectorEncoder(shape[0], embedding, hidden, dropout)


def linear(shape: tuple[int, ...], embedding: int, dropout: float) -> LinearEncoder:
    """Build the regularised linear encoder, of connectivity or of traits.

    Parameters
    ----------
    shape : tuple of int
        Length of the vector.
    embedding : int
        Length of the embedding.
    dropout : float
        Of the numbers that come in.

    Returns
    -------
    LinearEncoder
    """
    return LinearEncoder(shape[0], embedding, dropout)
