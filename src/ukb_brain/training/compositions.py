"""Kernels of a set of imaging groups, and the ways in which they are put together."""

from __future__ import annotations

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
    """Centre a kernel by the people of a fit, and scale it.

    Parameters
    ----------
    values : torch.Tensor of shape (n, n_learnt)
        Products.
    norms : torch.Tensor of shape (n,)
        Of everybody with themselves.
    learnt : torch.Tensor of shape (n_learnt,)
        Rows of the people of the fit.

    Returns
    -------
    Kernel
    """
    rows = values.mean(1)
    means, grand = values[learnt].mean(0), values[learnt].mean()
    out = values - rows[:, None] - means + grand
    norms = norms - 2 * rows + grand
    scale = norms[learnt].mean()
    scale = scale if scale > 0 else torch.ones_like(scale)
    return Kernel(out / scale, norms / scale)


def mixed(kernels: Mapping[str, Kernel], shares: Mapping[str, float]) -> Kernel:
    """Add kernels.

    Parameters
    ----------
    kernels : dict of str to Kernel
        By name, of the same people.
    shares : dict of str to float
        Of each; they sum to 1.

    Returns
    -------
    Kernel
    """
    return Kernel(
        sum((s * kernels[name].values for name, s in shares.items()), start=torch.zeros(())),
        sum((s * kernels[name].norms for name, s in shares.items()), start=torch.zeros(())),
    )


def linear_shares(groups: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """List the ways in which imaging groups are weighted against each other.

    Parameters
    ----------
    groups : tuple of str
        In the order of the grid; at least one.

    Returns
    -------
    dict of str to dict of str to float
        By name, equal shares first; then each of several groups leads once.
    """
    equal = {EQUAL: dict.fromkeys(groups, 1 / len(groups))}
    if len(groups) == 1:
        return equal

    def shares(one: str, share: float) -> dict[str, float]:
        rest = (1 - share) / (len(groups) - 1)
        return {group: share if group == one else rest for group in groups}

    return equal | {f"{EQUAL}, {g} leads": shares(g, LEADING) for g in groups}


def radial(kernel: Kernel, learnt: torch.Tensor, width: float) -> Kernel:
    """Make a Gaussian radial kernel of the distances that a linear one implies.

    Parameters
    ----------
    kernel : Kernel
        Linear.
    learnt : torch.Tensor of shape (n_learnt,)
        Rows of the people of the fit.
    width : float
        Of the Gaussian, in mean distances of the people of the fit.

    Returns
    -------
    Kernel
    """
    distances = kernel.norms[:, None] + kernel.norms[learnt] - 2 * kernel.values
    scale = width**2 * distances[learnt].mean().clamp_min(1e-12)
    values = torch.exp(-distances.clamp_min(0) / (2 * scale))
    return centred(values, torch.ones_like(kernel.norms), learnt)


def product(kernel: Kernel, trait: NDArray[np.float64], learnt: torch.Tensor) -> Kernel:
    """Let effects of images differ by a trait.

    Parameters
    ----------
    kernel : Kernel
        Linear.
    trait : ndarray of shape (n,)
        Of everybody, standardised.
    learnt : torch.Tensor of shape (n_learnt,)
        Rows of the people of the fit.

    Returns
    -------
    Kernel
        Of the products of images with the trait.
    """
    t = torch.from_numpy(trait).to(kernel.values)
    return centred(t[:, None] * kernel.values * t[learnt], t * t * kernel.norms, learnt)
