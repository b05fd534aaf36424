"""Kernels of a set of imaging groups, and the ways in which they are put together."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

# Of the imaging group that leads where shares are not equal.
LEADING = 0.75
EQUAL = "linear"


@dataclass(frozen=True)
class Kernel:
    """A kernel of everybody with the people of a fit, or with some of many.

    Attributes
    ----------
    values : torch.Tensor of shape (n, m)
        Centred by the people whom it is with, with a mean of 1 on their diagonal.
    norms : torch.Tensor of shape (n,)
        Of everybody with themselves.
    """

    values: torch.Tensor
    norms: torch.Tensor


def centred(values: torch.Tensor, norms: torch.Tensor, learnt: torch.Tensor) -> Kernel:
    """Centre products, of shape (n, n_learnt), by the people of a fit, and scale them.

    ``norms``, of shape (n,), are everybody's with themselves; ``learnt`` are rows of those people.
    """
    rows = values.mean(1)
    means, grand = values[learnt].mean(0), values[learnt].mean()
    out = values - rows[:, None] - means + grand
    norms = norms - 2 * rows + grand
    scale = norms[learnt].mean()
    scale = scale if scale > 0 else torch.ones_like(scale)
    return Kernel(out / scale, norms / scale)


def mixed(kernels: Mapping[str, Kernel], shares: Mapping[str, float]) -> Kernel:
    """Add kernels of the same people in shares that sum to 1."""
    return Kernel(
        sum((s * kernels[name].values for name, s in shares.items()), start=torch.zeros(())),
        sum((s * kernels[name].norms for name, s in shares.items()), start=torch.zeros(())),
    )


def linear_shares(groups: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """List by name how groups are weighted: equally first; then each of several leads once."""
    equal = {EQUAL: dict.fromkeys(groups, 1 / len(groups))}
    if len(groups) == 1:
        return equal

    def shares(one: str, share: float) -> dict[str, float]:
        rest = (1 - share) / (len(groups) - 1)
        return {group: share if group == one else rest for group in groups}

    return equal | {f"{EQUAL}, {g} leads": shares(g, LEADING) for g in groups}


def radial(kernel: Kernel, learnt: torch.Tensor, width: float) -> Kernel:
    """Make a Gaussian radial kernel of the distances that a linear one implies.

    Its width is in mean distances of the people of the fit, whose rows are ``learnt``.
    """
    distances = kernel.norms[:, None] + kernel.norms[learnt] - 2 * kernel.values
    scale = width**2 * distances[learnt].mean().clamp_min(1e-12)
    values = torch.exp(-distances.clamp_min(0) / (2 * scale))
    return centred(values, torch.ones_like(kernel.norms), learnt)


def product(kernel: Kernel, trait: NDArray[np.float64], learnt: torch.Tensor) -> Kernel:
    """Let effects of images differ by everybody's standardised trait: products of both.

    The kernel is linear, the trait of shape (n,); ``learnt`` are rows of the people of the fit.
    """
    t = torch.from_numpy(trait).to(kernel.values)
    return centred(t[:, None] * kernel.values * t[learnt], t * t * kernel.norms, learnt)
