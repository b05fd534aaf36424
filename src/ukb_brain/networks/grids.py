"""What all encoders of volumes have to know about grids.

Pooling halves an edge and rounds up: a network then takes any grid, the far end of the brain
counts as much as the near one, and on edges that are powers of two nothing differs from rounding
down, as the published networks do.
"""

from ukb_brain.errors import InputError


def halvings(edge: int) -> int:
    """Count how often an edge can be halved until it is two voxels long."""
    return (edge - 1).bit_length() - 1 if edge > 1 else 0


def require_edge(network: str, shape: tuple[int, ...], edge: int, smaller: str = "") -> None:
    """Refuse a grid on which a network's pooling would do nothing.

    That is an `InputError` where an edge of ``shape`` (C, X, Y, Z) has fewer than ``edge`` voxels.
    ``smaller`` names an option of the network that would help.
    """
    if min(shape[1:]) < edge:
        grid = " × ".join(str(size) for size in shape[1:])
        option = f"make its option {smaller!r} smaller, " if smaller else ""
        raise InputError(
            f"Encoder {network!r} of volumes needs edges of at least {edge} voxels, and the grid "
            f"is {grid}: {option}use finer volumes (imaging_preprocess.shape), pool them less "
            "(network.pooling), or take the encoder 'light', which has no smallest edge."
        )
