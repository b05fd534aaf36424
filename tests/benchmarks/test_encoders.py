"""Encoders at equal cost, on a few people whose volumes are just large enough for all of them."""

from pathlib import Path

import modelling_cases
import numpy as np
import pytest
import torch
from modelling_cases import GRID, invented_cohort

from benchmarks import encoders
from ukb_brain.pipelines import feature_tabular
from ukb_brain.training.network import build_encoders

SECONDS = 0.2
FEW = {name: encoders.NETWORKS[name] for name in ("light", "sfcn, 40 bins")}
KNOWN = {"sex", "age", "smoking", "body_fat", "worry"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data root as it is before modelling."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modelling_cases, "SHAPE", (17, 18, 19))
        pipeline = feature_tabular.create_pipeline()
        folder = tmp_path_factory.mktemp("encoders")
        return modelling_cases.run(folder, invented_cohort(), pipeline=pipeline)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def figures(root, home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders, "NETWORKS", FEW)
        return encoders.measure(root, SECONDS, GRID, home)


def test_every_network_has_a_figure_and_says_how_it_was_trained(figures):
    for figure, name in zip(figures, FEW, strict=True):
        assert name in figure.name
        assert figure.more["why"] == ""
        assert 1 <= figure.more["best_epoch"] <= figure.more["epochs"]
        assert figure.more["seconds"] > 0
    one, other = (figure.more["parameters"] for figure in figures)
    assert one != other


def test_the_time_says_how_many_epochs_there_are_the_quickest_that_was_timed_being_one(
    root, monkeypatch
):
    asked, train = [], encoders.trained

    def timed(job):
        asked.append(job.settings.loop.epochs)
        # What is trained for long is not needed here.
        settings = encoders.settings_of(FEW["light"], 1)
        return train(encoders.replace(job, settings=settings))[0], [0.5, 0.3][: asked[-1] - 1]

    monkeypatch.setattr(encoders, "trained", timed)
    found = encoders.compared(encoders.job_of(root, GRID), FEW["light"], 10.0)
    assert asked == [encoders.TIMED, 33]
    assert found["epochs"] == 33
    assert found["seconds"] == pytest.approx(0.3 + 0.8)
    assert encoders.epochs_within(0.1, 3) == 1


def test_every_network_takes_the_grid_of_the_preset():
    for changes in encoders.NETWORKS.values():
        with torch.device("meta"):
            build_encoders(encoders.settings_of(changes, 1).network, {"t1": (2, 27, 32, 27)})


def test_scores_are_of_every_target_that_validation_people_have_both_of(figures):
    for figure in figures:
        scores = figure.more["scores"]
        assert set(scores) == KNOWN
        assert all(-3 < score <= 1 for score in scores.values())
        assert np.isfinite(figure.value)


def test_networks_differ_in_what_their_name_says():
    made = {name: encoders.settings_of(changes, 7) for name, changes in encoders.NETWORKS.items()}
    for name, s in made.items():
        assert s.network.volume == name.split(",")[0]
        assert s.loop.bins == (40 if "bins" in name else 0)
        assert (s.loop.epochs, s.loop.patience, s.network.pooling) == (7, 0, 1)
    assert len({str(s) for s in made.values()}) == len(made)
    loops = {str(s.loop) for name, s in made.items() if "bins" not in name}
    assert len(loops) == 1


def test_a_network_that_learned_scores_what_numpy_says(root):
    job = encoders.job_of(root, GRID)
    found, seconds = encoders.trained(job)
    assert len(seconds) == 0 and job.settings.loop.epochs == 1
    rows = np.flatnonzero((job.people.part == "validation") & job.people.having(job.groups))
    inputs = found.trainer.data.read(rows, None)
    predicted = found.trainer.predict(inputs).detach().double().numpy()[:, 1]
    y, mine = job.people.targets["age"], job.people.targets["age"][job.fitted]
    y = (y[rows] - mine.mean()) / mine.std()
    expected = 1 - ((y - predicted) ** 2).mean() / y.var()
    assert encoders.scores_of(found, job)["age"] == pytest.approx(expected, abs=0.02)


def test_what_was_measured_is_kept_and_another_time_is_measured_anew(
    root, home, figures, monkeypatch
):
    def fail(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(encoders, "trained", fail)
    monkeypatch.setattr(encoders, "NETWORKS", FEW)
    again = encoders.measure(root, SECONDS, GRID, home)
    assert [figure.more for figure in again] == [figure.more for figure in figures]
    with pytest.raises(AssertionError, match="trained again"):
        encoders.measure(root, 2 * SECONDS, GRID, home)
    assert len(list(Path(home).glob("*.json"))) == len(FEW)
