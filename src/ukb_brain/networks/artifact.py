"""How every model is kept: named arrays, and a card that says what they are."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Model:
    """A fitted model.

    Attributes
    ----------
    arrays : dict of str to ndarray
        What was fitted: saved as safetensors.
    card : dict
        Strategy, settings, counts, a hash of each fold's people, and what was chosen: JSON.
    """

    arrays: dict[str, NDArray[np.generic]]
    card: dict[str, Any] = field(default_factory=dict)
