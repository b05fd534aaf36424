"""Changes of volumes on the device they are on."""

import torch

from ukb_brain.training.settings import Augment


def augment(volumes: torch.Tensor, settings: Augment) -> torch.Tensor:
    """Move, mirror, brighten and blur a batch of volumes, of shape (N, C, X, Y, Z), at random.

    All channels of a person are changed alike, so that modalities stay aligned; noise excepted.
    What is moved in from outside is zero: the background of preprocessed volumes.
    """
    n, device = len(volumes), volumes.device
    if settings.flip:
        mirrored = torch.rand(n, device=device) < 0.5
        volumes = torch.where(mirrored.view(n, 1, 1, 1, 1), volumes.flip(2), volumes)
    if settings.shift:
        volumes = _shift(volumes, settings.shift)
    if settings.intensity:
        factor = 1 + settings.intensity * torch.randn(n, 1, 1, 1, 1, device=device)
        volumes = volumes * factor.to(volumes.dtype)
    if settings.noise:
        volumes = volumes + settings.noise * torch.randn_like(volumes)
    return volumes


def _shift(volumes: torch.Tensor, most: int) -> torch.Tensor:
    """Translate each person's volumes by whole voxels, which needs no interpolation."""
    n, device = len(volumes), volumes.device
    padded = torch.nn.functional.pad(volumes, [most] * 6)
    starts = torch.randint(0, 2 * most + 1, (n, 3), device=device)
    for axis in range(3):
        size = volumes.shape[axis + 2]
        places = starts[:, axis, None] + torch.arange(size, device=device)
        view = [n, 1, 1, 1, 1]
        view[axis + 2] = size
        shape = list(padded.shape)
        shape[axis + 2] = size
        padded = padded.gather(axis + 2, places.view(view).expand(shape))
    return padded
