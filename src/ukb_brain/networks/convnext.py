"""ConvNeXt in three dimensions: an efficient network of volumes.

Shapes: N people, C channels, (X, Y, Z) voxels, W width, E embedding.
"""

from itertools import pairwise

import torch
from torch import nn

from ukb_brain.networks.grids import require_edge

# Of the four stages: each is twice as wide as the one before, and the third is the deepest.
WIDER, DEEPER = (1, 2, 4, 8), (1, 1, 3, 1)
EXPANSION = 4
EPSILON = 1e-6


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each voxel: (N, W, X, Y, Z) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise; the result lies in memory with channels last."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class ResponseNorm(nn.Module):
    """Global response normalisation of (N, X, Y, Z, W): channels compete by their norm over space.

    It begins as the identity.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise each person on their own."""
        # A sum of squares over a volume is beyond half precision.
        wide = torch.promote_types(x.dtype, torch.float32)
        norm = torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True, dtype=wide)
        factor = 1 + self.weight * norm / (norm.mean(-1, keepdim=True) + EPSILON)
        # One pass over what is the widest of the network.
        return torch.addcmul(self.bias.to(x.dtype), x, factor.to(x.dtype))


class Block(nn.Module):
    """A depthwise convolution and two pointwise layers, added to what came in."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv3d(width, width, kernel, padding="same", groups=width)
        self.pointwise = nn.Sequential(
            nn.LayerNorm(width, eps=EPSILON),
            nn.Linear(width, EXPANSION * width),
            nn.GELU(),
            ResponseNorm(EXPANSION * width),
            nn.Linear(EXPANSION * width, width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode (N, W, X, Y, Z) as the same shape."""
        # Pointwise layers are products of matrices where channels come last.
        return x + self.pointwise(self.depthwise(x).movedim(1, -1)).movedim(-1, 1)


class Patches(nn.Conv3d):
    """Turn cubes of voxels into one each; the far end is padded to whole cubes."""

    def __init__(self, channels: int, width: int, edge: int) -> None:
        super().__init__(channels, width, edge, edge)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode (N, channels, X, Y, Z) as (N, W, X / edge, …), edges rounded up."""
        # So no volume is shorter than the kernel, which bf16 on processors does not bear.
        edge = self.kernel_size[0]
        pads = [side for size in reversed(x.shape[2:]) for side in (0, -size % edge)]
        return super().forward(nn.functional.pad(x, pads))


class ConvNeXt(nn.Module):
    """ConvNeXt V2 of volumes: (N, C, X, Y, Z) to (N, E).

    Liu et al., CVPR 2022; Woo et al., CVPR 2023. Response normalisation, the second's, stands in
    place of the first's layer scale, by which blocks begin near the identity: trainings of a few
    hundred steps have no time for that. There is no stochastic depth, and weights begin as
    torch's layers do. Dropout is before the last layer. Refuses edges
    of fewer than 4 × ``stem`` + 1 voxels, where the last of three halvings would not halve.

    ``stem`` is the edge of the cubes that the first layer takes; ``width`` is of the first stage,
    and doubled in each further one; ``depth`` is the number of blocks of a stage, of which the
    third has three times as many; ``kernel`` is the edge of depthwise convolutions. The articles
    have depths of 2 and 3 (tiny: width 96) and kernels of 7.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        embedding: int,
        dropout: float,
        stem: int = 4,
        width: int = 32,
        depth: int = 2,
        kernel: int = 3,
    ) -> None:
        super().__init__()
        require_edge("convnext", shape, 4 * stem + 1, "stem")
        self.embedding = embedding
        widths = [width * times for times in WIDER]
        depths = [depth * times for times in DEEPER]
        layers: list[nn.Module] = [Patches(shape[0], width, stem), ChannelNorm(width)]
        for (before, after), blocks in zip(pairwise((width, *widths)), depths, strict=True):
            if before != after:
                layers += [ChannelNorm(before), Patches(before, after, 2)]
            layers += [Block(after, kernel) for _ in range(blocks)]
        self.features = nn.Sequential(*layers)
        self.last = nn.Sequential(
            nn.LayerNorm(widths[-1], eps=EPSILON),
            nn.Dropout(dropout),
            nn.Linear(widths[-1], embedding),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode volumes (N, C, X, Y, Z) as (N, E)."""
        return self.last(self.features(x).mean(dim=(2, 3, 4)))
