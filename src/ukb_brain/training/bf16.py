"""A guard against a fault of convolutions in bf16 on processors."""

import torch
from torch import nn


class GuardedConv3d(nn.Conv3d):
    """A convolution that leaves bf16 where its volume is shorter than its kernel.

    There oneDNN's gradient of the weights in bf16 reads memory that nobody wrote: it is another in
    every process, and may be any number (torch 2.13, volumes of 2 × n × m with a kernel of 3³, of
    5 × 1 × n with one of 5³).
    Layers on volumes so small cost next to nothing in float32.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve volumes of shape (N, C, X, Y, Z)."""
        # Where shapes alone are counted there is no autocast.
        if min(x.shape[2:]) >= max(self.kernel_size) or x.is_meta:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def guard_convolutions(network: nn.Module) -> None:
    """Put the guard on every convolution of volumes; weights and their names stay."""
    for module in network.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = GuardedConv3d
