from pathlib import Path

import numpy as np
import pytest

from ukb_brain.ledger import WorkItem
from ukb_brain.ledger.artifact import Model
from ukb_brain.ledger.attempts import Attempts, forget_peak, peak_memory

LINUX = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")


def fill(megabytes, folder):
    return Model({"sum": np.ones(megabytes * 125_000).sum()[None]})


@LINUX
def test_a_card_has_the_peak_of_its_own_work(tmp_path):
    attempts = Attempts(fill, tmp_path, "cpu", 1, "run")
    forget_peak()
    before = peak_memory()["process_bytes"]
    large, small = (
        attempts(WorkItem(str(size), "f" * 64, size))["process_bytes"] - before for size in (400, 1)
    )
    assert large == pytest.approx(4e8, rel=0.2)
    assert small < 1e8
