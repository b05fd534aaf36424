"""Encoders of connectivity vectors and of traits: (N people, length) to (N, embedding)."""

import torch
from torch import nn


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
