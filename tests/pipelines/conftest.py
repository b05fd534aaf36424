import shutil

import pytest
from modelling_cases import EVERY, run
from modelling_runs import KINDS

from ukb_brain.pipelines.modelling import nodes


@pytest.fixture(scope="session")
def before(invented, tmp_path_factory):
    """Data root of a run of every strategy; to be copied before it is changed."""
    return run(tmp_path_factory.mktemp("before"), invented, modelling=EVERY)


@pytest.fixture
def again(before, tmp_path):
    """A copy of it, to go on with."""
    shutil.copytree(before, tmp_path / "again")
    return tmp_path / "again"


@pytest.fixture
def calls(monkeypatch):
    """Count how often each kind of work is done in this process."""
    counted = dict.fromkeys(KINDS, 0)

    def counting(kind, function):
        def call(job, folder):
            counted[kind] += 1
            return function(job, folder)

        return call

    for kind, name in KINDS.items():
        monkeypatch.setattr(nodes, name, counting(kind, getattr(nodes, name)))
    return counted
