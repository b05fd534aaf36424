import numpy as np
import pytest
from scan_cases import zipped

from ukb_brain.imaging.bulk import BulkFile


@pytest.fixture
def zip_of(tmp_path):
    """Write members into a zip of the test's folder."""

    def write(members, name="scan.zip"):
        path = tmp_path / name
        path.write_bytes(zipped(members))
        return BulkFile(path)

    return write


@pytest.fixture
def volume():
    """Unequal axes expose a swap."""
    return np.random.default_rng(0).uniform(1, 2, (7, 8, 9)).astype(np.float32)
