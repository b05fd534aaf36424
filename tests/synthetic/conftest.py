from pathlib import Path

import numpy as np
import pytest
from population import population

from ukb_brain.synthetic.anatomy import build_anatomy


@pytest.fixture(scope="session")
def anatomy():
    """The shared anatomy at 8 mm."""
    return build_anatomy(8)


@pytest.fixture(scope="session")
def anatomy_file(anatomy, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("anatomy") / "anatomy.npz"
    anatomy.save(path)
    return path


@pytest.fixture(scope="session")
def people():
    """Variates, latents and traits of 20,000 people, drawn from one stream."""
    return population(20_000, np.random.default_rng(7))
