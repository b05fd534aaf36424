"""What a network costs: parameters, floating-point operations and memory.

Everything is counted on shapes alone (PyTorch's "meta" tensors): a network at 128³ is counted in
seconds and without its activations being held.
"""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

Shape = tuple[int, ...]

# Batch norm needs two people. What one costs is the difference of two batches, since weights are
# saved for the backward pass too, but once.
FEW, MORE = 2, 4


class NetworkCost(NamedTuple):
    """What a network costs.

    Attributes
    ----------
    parameters
        Number of them.
    forward_flops, training_flops
        Operations for one person: to predict, and of one training step (forward and backward). A
        multiplication and an addition are two. Counted are convolutions and products of matrices,
        which are nearly all.
    activation_bytes
        Saved for the backward pass for one person, in float32; about half in bf16 and fp16. A
        training also needs room for what lives briefly: gradients of activations, and the working
        space of convolutions.
    """

    parameters: int
    forward_flops: int
    training_flops: int
    activation_bytes: int


def network_cost(network: nn.Module, shapes: Shape | Mapping[str, Shape]) -> NetworkCost:
    """Count what a network, on any device and not compiled, costs; it is left as it is.

    ``shapes`` are of one person's input, or of each input by name, as its ``forward`` takes them.
    """
    sketch = copy.deepcopy(network).to("meta").train()
    few, more = (_count(sketch, shapes, n) for n in (FEW, MORE))
    forward, training, saved = ((b - a) // (MORE - FEW) for a, b in zip(few, more, strict=True))
    parameters = sum(p.numel() for p in network.parameters())
    return NetworkCost(parameters, forward, training, saved)


def _count(network: nn.Module, shapes: Shape | Mapping[str, Shape], n: int) -> tuple[int, int, int]:
    """Operations forward, operations in all, and bytes saved, for a batch of n people."""
    # A storage is counted once, however many layers save it; kept, so that none takes its place.
    saved: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        saved[id(storage)] = storage
        return tensor

    inputs = (
        {name: torch.empty(n, *shape, device="meta") for name, shape in shapes.items()}
        if isinstance(shapes, Mapping)
        else torch.empty(n, *shapes, device="meta")
    )
    counted = {torch.ops.aten.convolution_backward: _gradients_of_convolution}
    with FlopCounterMode(display=False, custom_mapping=counted) as counter:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            predicted = network(inputs)
        forward = counter.get_total_flops()
        predicted.sum().backward()
    return forward, counter.get_total_flops(), sum(s.nbytes() for s in saved.values())


def _gradients_of_convolution(
    gradient: list[int], x: list[int], weight: list[int], *others: Any, out_shape: Any
) -> int:
    """Count both gradients, each of which costs what the convolution does.

    torch's own count multiplies channels of different groups, which a depthwise convolution keeps
    apart.
    """
    *_, transposed, _padding, _groups, wanted = others
    return sum(wanted[:2]) * conv_flop_count(x, weight, gradient, transposed)
