from dataclasses import replace

import numpy as np
import pytest
from modelling_cases import GRID, MODELLING, N, scans_of

from ukb_brain.training.encode import Encoded, EncoderJob, combine, subsets, train_encoders

GROUPS = tuple(GRID.imaging)
BINARY = {key: target.kind == "binary" for key, target in GRID.targets.items()}


@pytest.fixture(scope="module")
def job(fold, stored):
    """The first of two networks."""
    parts = fold.cross_fits(2)
    return EncoderJob(0, parts, fold, scans_of(stored), BINARY, MODELLING.encoders, 11, "cpu")


@pytest.fixture(scope="module")
def both(job):
    return [train_encoders(job), train_encoders(replace(job, part=1, seed=12))]


def with_settings(job, **changes):
    return replace(job, settings=job.settings.model_copy(update=changes))


def same(one, two):
    assert one.outputs.tobytes() == two.outputs.tobytes()
    assert one.losses == two.losses
    assert {k: v.tobytes() for k, v in one.weights.items()} == {
        k: v.tobytes() for k, v in two.weights.items()
    }


def test_subsets_are_all_sets_small_ones_first():
    assert subsets(("a", "b", "c")) == (
        ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c"),
    )  # fmt: skip


def test_a_seed_decides_everything(job, both):
    same(both[0], train_encoders(job))
    other = train_encoders(replace(job, seed=13))
    assert other.losses != both[0].losses


def test_scans_read_anew_give_the_same_as_scans_kept_in_memory(job, both):
    same(both[0], train_encoders(with_settings(job, cache_gb=0)))


def test_the_network_learns(job):
    longer = train_encoders(with_settings(job, epochs=12, dropout=0.0))
    assert len(longer.losses) == 12
    assert longer.losses[-1] < 0.8 * longer.losses[0]


def test_people_in_training_have_no_output_and_all_others_have(job, both):
    for k, chosen in enumerate(subsets(GROUPS)):
        unseen = ~job.fitted & job.people.having(chosen)
        finite = np.isfinite(both[0].outputs[k]).all(axis=1)
        np.testing.assert_array_equal(finite, unseen)
        np.testing.assert_array_equal(np.isnan(both[0].outputs[k]).all(axis=1), ~unseen)


def test_a_persons_output_comes_from_the_network_that_left_them_out(job, both):
    outputs = combine(both[::-1], job.people, job.parts)
    for part, encoded in enumerate(both):
        mine = job.parts == part
        np.testing.assert_array_equal(outputs[:, mine], encoded.outputs[:, mine])
    others = ~job.people.train
    mean = np.mean([each.outputs[:, others].astype(np.float64) for each in both], axis=0)
    np.testing.assert_array_equal(outputs[:, others], mean)


def test_people_without_a_group_have_no_output_of_it(job, both):
    outputs = combine(both, job.people, job.parts)
    for k, chosen in enumerate(subsets(GROUPS)):
        finite = np.isfinite(outputs[k]).all(axis=1)
        np.testing.assert_array_equal(finite, job.people.having(chosen))
    assert not job.people.having(GROUPS).all()


def test_targets_of_people_left_out_do_not_reach_the_network(job, both):
    unseen = ~job.fitted
    targets = {t: np.where(unseen, 1 - 2 * y, y) for t, y in job.people.targets.items()}
    same(both[0], train_encoders(replace(job, people=replace(job.people, targets=targets))))
    targets = {t: np.where(unseen, y, 1 - y) for t, y in job.people.targets.items()}
    other = train_encoders(replace(job, people=replace(job.people, targets=targets)))
    assert other.losses != both[0].losses


def test_unknown_targets_and_constant_ones_weigh_nothing(job, both):
    people = job.people
    nobody = people.targets | {"guilty": np.full(N, np.nan)}
    known = train_encoders(replace(job, people=replace(people, targets=nobody)))
    assert known.losses == both[0].losses


def test_a_group_that_nobody_in_training_has_is_left_out(job):
    has = job.people.has | {"diffusion": ~job.people.train}
    encoded = train_encoders(replace(job, people=replace(job.people, has=has)))
    assert not any("diffusion" in name for name in encoded.weights)
    for k, chosen in enumerate(subsets(GROUPS)):
        assert np.isnan(encoded.outputs[k]).all() == ("diffusion" in chosen)


def test_a_training_that_diverges_is_recorded_and_gives_nothing(job):
    encoded = train_encoders(with_settings(job, learning_rate=1e30))
    assert np.isnan(encoded.outputs).all()
    assert encoded.weights == {}
    assert len(encoded.losses) < job.settings.epochs


def test_a_second_attempt_at_a_lower_rate_may_succeed(job, monkeypatch):
    monkeypatch.setattr("ukb_brain.training.encode.LOWER_RATE", 1e-32)
    encoded = train_encoders(with_settings(job, learning_rate=1e30))
    assert np.isfinite(encoded.losses).all()
    assert len(encoded.losses) == job.settings.epochs
    assert encoded.weights


def altered(job, invented, folder, modality, rows, value):
    other = invented.copy()
    other.scans[modality][rows] = value
    other.save_scans(folder)
    return replace(job, scans=scans_of(folder))


def test_scans_that_are_not_numbers_are_recorded_and_give_nothing(job, invented, tmp_path):
    broken = altered(job, invented, tmp_path, "dwi", np.flatnonzero(job.fitted)[:3], np.nan)
    encoded = train_encoders(broken)
    assert np.isnan(encoded.outputs).all()
    assert encoded.weights == {}


def test_a_number_beyond_half_precision_spoils_nobody(job, both, invented, tmp_path):
    person = np.flatnonzero(~job.fitted & job.people.having(GROUPS))[0]
    encoded = train_encoders(altered(job, invented, tmp_path, "rsfmri", person, 1e9))
    functional = ["functional" in chosen for chosen in subsets(GROUPS)]
    same_output = (encoded.outputs[:, person] == both[0].outputs[:, person]).all(axis=1)
    np.testing.assert_array_equal(same_output, ~np.array(functional))
    assert np.isfinite(encoded.outputs[:, person]).all()
    others = np.arange(N) != person
    np.testing.assert_array_equal(encoded.outputs[:, others], both[0].outputs[:, others])


def test_nobody_to_train_on_is_recorded(job):
    nobody = replace(job, parts=np.where(job.parts == 1, -1, job.parts))
    encoded = train_encoders(nobody)
    assert (encoded.losses, encoded.weights) == ([], {})
    assert np.isnan(encoded.outputs).all()


def test_a_network_that_failed_leaves_its_part_and_everybody_else_without(job, both):
    failed = Encoded(1, np.full_like(both[1].outputs, np.nan), {}, [], 0.0)
    outputs = combine([both[0], failed], job.people, job.parts)
    mine = (job.parts == 0) & job.people.having(GROUPS)
    assert np.isfinite(outputs[-1, mine]).all()
    assert np.isnan(outputs[:, job.parts != 0]).all()
