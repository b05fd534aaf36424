"""What weighted sums share: arrays of numbers, division by nothing, and what is rounding error."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A weighted variance below this share of the unweighted one is rounding error of a constant.
ROUNDING = 1e-12


def ratio(above: Floats, below: Floats) -> Floats:
    """Divide arrays of one shape, and give NaN where the divisor is not above 0."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
