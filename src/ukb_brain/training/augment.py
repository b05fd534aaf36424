"""Random changes of volumes on the device they are on, drawn anew for each person and step.

Shapes: N people, C channels, volumes (N, C, X, Y, Z). All volumes of a person change alike, so that
modalities stay aligned; noise excepted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ukb_brain.training.settings import Augment

# Random numbers along each axis, between which a field is linear.
WARP_KNOTS, BIAS_KNOTS = 5, 3
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Change:
    """What was drawn for some people; `draw_change` makes it.

    Attributes
    ----------
    mirrored : Tensor of shape (N, 1, 1, 1, 1), optional
        Whose left and right are swapped.
    steps : Tensor of shape (N, 3), optional
        Whole voxels by which each is moved.
    places : Tensor of shape (N, X, Y, Z, 3), optional
        Where each voxel's value is taken from, as torch's `grid_sample` has it.
    gain : Tensor of shape (N, 1, X, Y, Z) or (N, 1, 1, 1, 1), optional
        Factor of intensities.
    noise : float
        SD.
    """

    mirrored: Tensor | None
    steps: Tensor | None
    places: Tensor | None
    gain: Tensor | None
    noise: float

    def applied(self, volumes: Tensor) -> Tensor:
        """Change volumes of the shape it was drawn for.

        The background stays what it is, moves in from outside, and is what intensities are counted
        from: there a scan is 0, wherever that lies on its scale.
        """
        outside = background(volumes)
        brain = volumes - outside
        if self.mirrored is not None:
            brain = torch.where(self.mirrored, brain.flip(2), brain)
        if self.places is not None:
            brain = functional.grid_sample(brain, self.places, align_corners=False)
        elif self.steps is not None:
            brain = _moved(brain, self.steps)
        if self.gain is not None:
            brain = brain * self.gain
        if self.noise:
            brain = brain + self.noise * torch.randn_like(brain) * (brain != 0)
        return brain + outside


def draw_change(n: int, shape: Shape, settings: Augment, device: torch.device) -> Change:
    """Draw for `n` people.

    All but the noise is drawn on the CPU, so that every device gives the same.
    """
    mirrored = steps = places = gain = None
    if settings.flip:
        mirrored = (torch.rand(n, 1, 1, 1, 1) < 0.5).to(device)
    if settings.warps:
        places = _warped(n, shape, settings, device)
    elif settings.shift:
        steps = torch.randint(-settings.shift, settings.shift + 1, (n, 3)).to(device)
    if settings.intensity:
        gain = (1 + settings.intensity * torch.randn(n, 1, 1, 1, 1)).to(device)
    if settings.bias:
        field = _field(n, 1, BIAS_KNOTS, settings.bias, shape, device).exp()
        gain = field if gain is None else gain * field
    return Change(mirrored, steps, places, gain, settings.noise)


def background(volumes: Tensor) -> Tensor:
    """Value of each volume's background (N, C, 1, 1, 1): that of most of its corners."""
    steps = [max(1, size - 1) for size in volumes.shape[2:]]
    corners = volumes[:, :, :: steps[0], :: steps[1], :: steps[2]].flatten(2)
    return corners.median(2).values[:, :, None, None, None]


def _uniform(n: int, columns: int, largest: float) -> Tensor:
    return (2 * torch.rand(n, columns) - 1) * largest


def _field(
    n: int, columns: int, knots: int, largest: float, shape: Shape, device: torch.device
) -> Tensor:
    """Smooth random fields (N, columns, X, Y, Z) between two bounds, linear between knots."""
    known = _uniform(n, columns * knots**3, largest).view(n, columns, knots, knots, knots)
    return functional.interpolate(known.to(device), shape, mode="trilinear", align_corners=True)


def _warped(n: int, shape: Shape, settings: Augment, device: torch.device) -> Tensor:
    """Turn, scale and move about the middle, and displace on top: places for `grid_sample`."""
    x, y, z = torch.deg2rad(_uniform(n, 3, settings.rotation)).unbind(1)
    zero = torch.zeros(n)
    turn = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).view(n, 3, 3).matrix_exp()
    linear = turn * (1 + _uniform(n, 1, settings.scaling))[:, :, None]
    # From the middle to an end is 1 there, and the last axis comes first.
    half = torch.tensor(shape) / 2
    theta = (linear * half / half[:, None]).flip(1, 2)
    moved = (_uniform(n, 3, settings.shift) / half).flip(1)
    theta = torch.cat([theta, moved[:, :, None]], 2).to(device)
    places = functional.affine_grid(theta, [n, 1, *shape], align_corners=False)
    if settings.elastic:
        field = _field(n, 3, WARP_KNOTS, settings.elastic, shape, device).permute(0, 2, 3, 4, 1)
        places = places + field / half.flip(0).to(device)
    return places


def _moved(volumes: Tensor, steps: Tensor) -> Tensor:
    """Translate each person's volumes by whole voxels; 0 moves in."""
    most = int(steps.abs().max())
    padded = functional.pad(volumes, [most] * 6)
    for axis in range(3):
        size = volumes.shape[axis + 2]
        places = (steps[:, axis, None] + most) + torch.arange(size, device=volumes.device)
        view = [len(volumes), 1, 1, 1, 1]
        view[axis + 2] = size
        shape = list(padded.shape)
        shape[axis + 2] = size
        padded = padded.gather(axis + 2, places.view(view).expand(shape))
    return padded
