"""Structural connectomes of fields 31020 to 31026, as their makers write them.

Each zip holds one matrix a measure, of all streamlines between two regions: their number, SIFT2's
fibre bundle capacity, mean FA and mean length. Comma separated, without a header, symmetric; 0
where no streamline is; those that end in the region they began in are on the diagonal. Cortical
regions come first, then subcortical ones, each in the order of their atlas' numbers. Held against
the makers' own code (github.com/sina-mansour/UKB-connectomics) and that of MRtrix3.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ukb_brain.errors import InputError
from ukb_brain.imaging.bulk import LARGEST_NUMBER

CONNECTOME_FIELDS = range(31020, 31027)
EdgeScale = Literal["none", "log1p"]


def parse_connectome(text: str) -> NDArray[np.float64]:
    """Read a square, symmetric matrix of numbers that are finite and not below 0.

    Raises
    ------
    InputError
        If it is anything else, or has no streamline between two regions.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise InputError("the connectome is empty")
    if len({line.count(",") for line in lines}) > 1:
        raise InputError("the connectome has rows of different lengths")
    try:
        matrix = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2)
    except ValueError:
        raise InputError("the connectome holds something that is not a number") from None
    rows, columns = matrix.shape
    if rows != columns or rows < 2:
        raise InputError(f"the connectome has {rows} rows of {columns} numbers")
    if not np.isfinite(matrix).all():
        raise InputError("the connectome holds numbers that are not finite")
    if (matrix < 0).any():
        raise InputError("the connectome holds numbers below 0")
    if matrix.max() > LARGEST_NUMBER:
        raise InputError(f"the connectome holds numbers beyond {LARGEST_NUMBER:.0e}")
    # Both halves are of the same numbers, and so written alike.
    if not np.array_equal(matrix, matrix.T):
        raise InputError("the connectome is not symmetric")
    if not np.tril(matrix, -1).any():
        raise InputError("the connectome has no streamline between two regions")
    return matrix


def edges_of(matrix: NDArray[np.float64], scale: EdgeScale) -> NDArray[np.float32]:
    """Write a matrix as a vector: its strict upper triangle in MATLAB's column-wise order.

    ``log1p`` takes the logarithm of 1 more, since numbers of streamlines have heavy tails.
    """
    edges = matrix[np.tril_indices(len(matrix), -1)]
    return (np.log1p(edges) if scale == "log1p" else edges).astype(np.float32)
