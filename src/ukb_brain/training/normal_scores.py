"""Numbers of the main table as normal scores, by the quantiles of training people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from ukb_brain.imaging.store import Key
from ukb_brain.training.steps import Source, Vectors

# About where normal scores of a thousand people end: whoever is beyond everybody in training is no
# farther out than that.
FARTHEST = 3.0
