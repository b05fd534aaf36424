"""One affine and one interpolation from a scan's voxels to the common grid, in torch.

Where voxels grow, the grid is sampled more finely and then averaged, so that what is finer than a
voxel becomes neither noise nor structure that is not there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Filter = Literal["gaussian", "area", "none"]
Interpolation = Literal["linear", "nearest"]
Floats = NDArray[np.float64]
Shape = tuple[int, int, int]
# Where values are interpolated; everywhere, but without telling what is inside, or both.
Where = Literal["inside", "everywhere", "both"]

# SD of the Gaussian in target voxels, other blur included; chosen by `benchmarks/resampling.py`.
SIGMA = 0.4
# Variance that a sample has without it, in source voxels: of a voxel's own width, and on average of
# linear interpolation.
OWN_VARIANCE = 1 / 12 + 1 / 6
# Samples lie at most so many source voxels apart, so that every voxel counts.
WIDEST_STEP = 1.5
# Source voxels along the edge of the cells that are searched for anything but 0.
CELL = 8
# Points interpolated at a time; on the CPU what its cache holds.
POINTS, POINTS_ON_DEVICE = 1 << 17, 1 << 24


def samples_per_voxel(growth: float, kind: Filter) -> int:
    """Count samples along the edge of a target voxel that is `growth` source voxels long."""
    return 1 if kind == "none" else max(1, math.ceil(growth / WIDEST_STEP - 1e-6))


def resample(
    volumes: Tensor,
    to_source: Floats,
    shape: Shape,
    growth: float = 1.0,
    kind: Filter = "none",
    interpolation: Interpolation = "linear",
    only_inside: bool = False,
) -> tuple[Tensor, Tensor]:
    """Resample volumes of one shape.

    Parameters
    ----------
    volumes : Tensor of shape (n, z, y, x)
        As NIfTI has them, x running fastest, of at least 2 voxels along each axis; integers or
        float32, on any device.
    to_source : ndarray of shape (n, 4, 4)
        From voxels of the target, in x, y and z, to those of each volume.
    shape : tuple of int
        Voxels of the target in x, y and z.
    growth : float
        Edge of a target voxel in source voxels, from which follows how much is averaged.
    kind : {"gaussian", "area", "none"}
        With weights of SD `SIGMA` target voxels; over a target voxel alike; or not at all.
    interpolation : {"linear", "nearest"}
    only_inside : bool
        Whether values are wanted inside alone, which is quicker; what they are elsewhere is not
        said then.

    Returns
    -------
    values : Tensor of shape (n, x, y, z)
        float32; 0 outside the volumes.
    inside : Tensor of shape (n, x, y, z)
        Whether the nearest voxel is not 0: the brain of one that was extracted.
    """
    if volumes.numel() >= 2**31:
        raise ValueError("voxels are numbered in 32 bits")
    volumes = volumes.contiguous()
    cells = _cells(volumes)
    n = 1 if interpolation == "nearest" else samples_per_voxel(growth, kind)
    if n == 1:
        where: Where = "inside" if only_inside or interpolation == "nearest" else "both"
        return _sampled(volumes, cells, to_source, shape, where, interpolation)
    finer = np.diag([1 / n, 1 / n, 1 / n, 1.0])
    finer[:3, 3] = (1 / n - 1) / 2
    x, y, z = (n * voxels for voxels in shape)
    fine, _ = _sampled(volumes, cells, to_source @ finer, (x, y, z), "everywhere")
    of_x, of_y, of_z = (
        torch.from_numpy(_weights(voxels, n, growth, kind)).to(fine.device) for voxels in shape
    )
    values = (of_x @ (of_y @ (fine @ of_z.T)).flatten(2)).unflatten(2, shape[1:])
    return values, _sampled(volumes, cells, to_source, shape, "inside", "nearest")[1]


@lru_cache(maxsize=64)
def _weights(voxels: int, n: int, growth: float, kind: Filter) -> NDArray[np.float32]:
    """Weights of samples along one axis, (voxels, n · voxels); the sum of each row is 1."""
    distance = (np.arange(n * voxels) + 0.5) / n - 0.5 - np.arange(voxels)[:, None]
    if kind == "area":
        weights = (np.abs(distance) < 0.5).astype(float)
    else:
        weights = np.exp(-(distance**2) / 2 / (SIGMA**2 - OWN_VARIANCE / growth**2))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _sampled(
    volumes: Tensor,
    cells: NDArray[np.bool_],
    to_source: Floats,
    shape: Shape,
    where: Where,
    interpolation: Interpolation = "linear",
) -> tuple[Tensor, Tensor]:
    """Interpolate at all points of a grid, or at those inside, a slab along z at a time."""
    n, depth, height, width = volumes.shape
    filled = _Filled(cells, to_source, shape)
    flat, sizes = volumes.reshape(-1), (width, height, depth)
    out = torch.zeros((n, *shape), device=volumes.device)
    inside = torch.zeros((n, *shape), device=volumes.device, dtype=torch.bool)
    most = POINTS if volumes.device.type == "cpu" else POINTS_ON_DEVICE
    slab = max(1, most // (n * shape[0] * shape[1]))
    for start in range(0, shape[2], slab):
        box = filled.slab(start, min(start + slab, shape[2]))
        if box is None:
            continue
        (i0, j0, k0), (i1, j1, k1) = box
        part = slice(i0, i1), slice(j0, j1), slice(k0, k1)
        places, outside = _places(to_source, box, sizes, volumes.device)
        first = torch.arange(n, dtype=torch.int32, device=volumes.device)
        first = first[:, None, None, None] * (width * height * depth)
        if where != "everywhere":
            nearest = _nearest(flat, first, places, sizes)
            there = nearest != 0
            if outside is not None:
                there.logical_and_(outside.logical_not())
            inside[:, *part] = there.permute(0, 3, 2, 1)
        if interpolation == "nearest":
            values = nearest.float().mul_(there)
        elif where == "inside":
            # That is less than half of all points.
            at = there.reshape(-1).nonzero()[:, 0]
            own = [place.reshape(-1).index_select(0, at) for place in places]
            begin = first.reshape(-1)
            if n > 1:
                begin = first.expand(there.shape).reshape(-1).index_select(0, at)
            values = torch.zeros(there.shape, device=volumes.device)
            values.reshape(-1).scatter_(0, at, _linear(flat, begin, own, sizes))
        else:
            values = _linear(flat, first, places, sizes)
            if outside is not None:
                values.masked_fill_(outside, 0)
        out[:, *part] = values.permute(0, 3, 2, 1)
    return out, inside


def _cells(volumes: Tensor) -> NDArray[np.bool_]:
    """Cells (z, y, x) of which a voxel may not be 0; on an accelerator looking saves nothing."""
    if volumes.device.type != "cpu":
        return np.ones([-(-size // CELL) for size in volumes.shape[1:]], dtype=bool)
    # Bits are quicker than numbers.
    bits = volumes.numpy().view(np.uint8)
    bits = bits[0] if len(bits) == 1 else np.bitwise_or.reduce(bits, axis=0)
    for axis, size in enumerate(bits.shape):
        step = CELL * volumes.element_size() if axis == 2 else CELL
        parts = np.split(bits, range(step, size, step), axis=axis)
        bits = np.stack([np.bitwise_or.reduce(part, axis=axis) for part in parts], axis=axis)
    return bits != 0


class _Filled:
    """Where in a grid anything lies."""

    def __init__(self, cells: NDArray[np.bool_], to_source: Floats, shape: Shape) -> None:
        back = np.linalg.inv(to_source)[:, :3]
        middle = np.argwhere(cells)[:, ::-1].T * CELL + (CELL - 1) / 2
        places = back[:, :, :3] @ middle + back[:, :, 3:]
        # Interpolation reaches one voxel beyond each cell.
        half = (np.abs(back[:, :, :3]) @ np.full(3, (CELL + 1) / 2))[:, :, None]
        # In x, y and z, of all cells of all volumes.
        self.below = (places - half).swapaxes(0, 1).reshape(3, -1)
        self.above = (places + half).swapaxes(0, 1).reshape(3, -1)
        self.shape = np.array(shape)

    def slab(self, start: int, stop: int) -> tuple[Shape, Shape] | None:
        """Box between two places in z, from its first voxel to the one after its last."""
        hit = np.flatnonzero((self.below[2] < stop) & (self.above[2] >= start))
        if not len(hit):
            return None
        # Clipped before they are whole numbers, since a matrix may lead anywhere.
        low = np.clip(np.ceil(self.below[:, hit].min(axis=1)), (0, 0, start), self.shape)
        high = np.clip(np.floor(self.above[:, hit].max(axis=1)) + 1, 0, (*self.shape[:2], stop))
        (i0, j0, k0), (i1, j1, k1) = low.astype(int).tolist(), high.astype(int).tolist()
        return ((i0, j0, k0), (i1, j1, k1)) if i0 < i1 and j0 < j1 and k0 < k1 else None


def _places(
    to_source: Floats, box: tuple[Shape, Shape], sizes: Shape, device: torch.device
) -> tuple[list[Tensor], Tensor | None]:
    """Places of a box's points in the source, (n, z, y, x) along each axis, clamped to it.

    Beside them, which points lie outside; None if none.
    """
    i, j, k = (
        torch.arange(low, high, dtype=torch.float32, device=device)
        for low, high in zip(*box, strict=True)
    )
    j, k = j[:, None], k[:, None, None]
    maps = torch.from_numpy(to_source.astype(np.float32)).to(device)[:, :, :, None, None, None]
    places, outside = [], None
    for axis, size in enumerate(sizes):
        a, b, c, d = maps[:, axis].unbind(1)
        place = (c * k + d + b * j) + a * i
        corners = place[:, :: max(1, len(k) - 1), :: max(1, len(j) - 1), :: max(1, len(i) - 1)]
        if corners.min() < 0 or corners.max() > size - 1:
            beyond = (place < 0) | (place > size - 1)
            outside = beyond if outside is None else outside.logical_or_(beyond)
            place.clamp_(0, size - 1)
        places.append(place)
    return places, outside


def _nearest(flat: Tensor, first: Tensor, places: list[Tensor], sizes: Shape) -> Tensor:
    """Values of the voxels nearest to places; volumes begin at the voxels `first`."""
    voxel, stride = first, 1
    for place, size in zip(places, sizes, strict=True):
        voxel = torch.add(voxel, (place + 0.5).to(torch.int32), alpha=stride)
        stride *= size
    return flat.index_select(0, voxel.reshape(-1)).reshape(voxel.shape)


def _linear(flat: Tensor, first: Tensor, places: list[Tensor], sizes: Shape) -> Tensor:
    """Values between the voxels around places; volumes begin at the voxels `first`."""
    voxel, stride, strides, shares = first, 1, [], []
    for place, size in zip(places, sizes, strict=True):
        # Between a voxel and a next one: in float32, below the last one.
        place.clamp_(max=float(np.nextafter(np.float32(size - 1), np.float32(0))))
        voxel = torch.add(voxel, place.to(torch.int32), alpha=stride)
        shares.append(place.frac_())
        strides.append(stride)
        stride *= size
    return _between(flat, voxel, strides, shares)


def _between(flat: Tensor, voxel: Tensor, strides: Sequence[int], shares: list[Tensor]) -> Tensor:
    """Values at voxels, or between them and the next ones along each axis that has shares."""
    if not shares:
        return flat.index_select(0, voxel.reshape(-1)).float().reshape(voxel.shape)
    stride = strides[len(shares) - 1]
    here = _between(flat, voxel, strides, shares[:-1])
    return here.lerp_(_between(flat[stride:], voxel, strides, shares[:-1]), shares[-1])
