import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from modelling_cases import EDGES, GRID, MODELLING, N, scans_of

from ukb_brain.training import loop
from ukb_brain.training.encode import (
    EncoderJob,
    cross_fitted,
    train_encoders,
)
from ukb_brain.training.inputs import TRAITS, subsets
from ukb_brain.training.network import build_encoders
from ukb_brain.training.settings import Network

GROUPS = tuple(GRID.imaging)
BINARY = {key: target.kind == "binary" for key, target in GRID.targets.items()}


@pytest.fixture(scope="module")
def job(fold, stored):
    """The first of two networks."""
    parts = fold.cross_fits(2)
    return EncoderJob(fold, scans_of(stored), BINARY, MODELLING.encoders, 11, "cpu", parts, 0)


@pytest.fixture(scope="module")
def both(job):
    return [encoded(job), encoded(replace(job, part=1, seed=12))]


def encoded(job):
    """Train without a state of anybody before."""
    with tempfile.TemporaryDirectory() as folder:
        return train_encoders(job, Path(folder))


def outputs_of(model):
    return model.arrays["outputs"]


def weights_of(model):
    prefix = "weights/"
    return {k.removeprefix(prefix): v for k, v in model.arrays.items() if k.startswith(prefix)}


def losses_of(model):
    return model.card["curves"]["train"]


def combined(job, both):
    return cross_fitted({part: outputs_of(model) for part, model in enumerate(both)}, job.parts)


def with_loop(job, **changes):
    s = job.settings
    return replace(job, settings=s.model_copy(update={"loop": s.loop.model_copy(update=changes)}))


def with_network(job, **changes):
    s = job.settings
    network = s.network.model_copy(update=changes)
    return replace(job, settings=s.model_copy(update={"network": network}))


def with_targets(job, rows, change):
    """The same people, but answers of some of them are others."""
    targets = {t: np.where(rows, change(y), y) for t, y in job.people.targets.items()}
    return replace(job, people=replace(job.people, targets=targets))


def same(one, two):
    assert losses_of(one) == losses_of(two)
    assert set(one.arrays) == set(two.arrays)
    for name, array in one.arrays.items():
        assert array.tobytes() == two.arrays[name].tobytes(), name


def test_a_seed_decides_everything(job, both):
    again = encoded(job)
    same(both[0], again)
    assert both[0].card["curves"] == again.card["curves"]
    other = encoded(replace(job, seed=13))
    assert losses_of(other) != losses_of(both[0])


def test_scans_read_anew_give_the_same_as_scans_kept_in_memory(job, both):
    anew = job.settings.model_copy(update={"cache_gb": 0})
    same(both[0], encoded(replace(job, settings=anew)))


def test_a_training_that_was_lost_ends_as_one_left_alone(job, both, tmp_path, monkeypatch):
    class Lost(Exception):
        pass

    save = loop.save_state

    def lose(folder, tensors, progress):
        save(folder, tensors, progress)
        if progress["epoch"] == 2:
            raise Lost

    monkeypatch.setattr(loop, "save_state", lose)
    with pytest.raises(Lost):
        train_encoders(job, tmp_path)
    monkeypatch.setattr(loop, "save_state", save)
    epochs = []
    run = loop.Trainer.run_epoch
    monkeypatch.setattr(
        loop.Trainer, "run_epoch", lambda *given: epochs.append(given[2]) or run(*given)
    )
    model = train_encoders(job, tmp_path)
    assert epochs == [2]
    same(model, both[0])


def test_the_network_learns(job):
    longer = encoded(with_loop(with_network(job, dropout=0.0), epochs=12))
    assert len(losses_of(longer)) == len(longer.card["curves"]["validation"]) == 12
    assert losses_of(longer)[-1] < 0.8 * losses_of(longer)[0]


def test_outputs_are_predictions_where_targets_are_read_from_bins(job, both):
    binned = encoded(with_loop(with_network(job, dropout=0.0), bins=24, epochs=12))
    outputs, plain = outputs_of(binned), outputs_of(both[0])
    assert outputs.shape == plain.shape
    np.testing.assert_array_equal(np.isfinite(outputs), np.isfinite(plain))
    rows = np.flatnonzero(job.people.having(GROUPS) & ~job.fitted)
    age = list(BINARY).index("age")
    assert np.corrcoef(outputs[-1, rows, age], job.people.targets["age"][rows])[0, 1] > 0.5
    # A mean of bins lies between them.
    assert np.abs(outputs[-1, rows, age]).max() < 5
    assert losses_of(binned)[-1] < 0.8 * losses_of(binned)[0]


def test_people_in_training_have_no_output_and_all_others_have(job, both):
    outputs = outputs_of(both[0])
    assert outputs.shape == (len(subsets(GROUPS)), N, len(BINARY))
    for k, chosen in enumerate(subsets(GROUPS)):
        unseen = ~job.fitted & job.people.having(chosen)
        np.testing.assert_array_equal(np.isfinite(outputs[k]).all(axis=1), unseen)
        np.testing.assert_array_equal(np.isnan(outputs[k]).all(axis=1), ~unseen)


def test_a_persons_output_comes_from_the_network_that_left_them_out(job, both):
    outputs = cross_fitted({1: outputs_of(both[1]), 0: outputs_of(both[0])}, job.parts)
    for part, model in enumerate(both):
        mine = job.parts == part
        np.testing.assert_array_equal(outputs[:, mine], outputs_of(model)[:, mine])
    others = ~job.people.train
    mean = np.mean([outputs_of(each)[:, others].astype(np.float64) for each in both], axis=0)
    np.testing.assert_array_equal(outputs[:, others], mean)


def test_people_without_a_group_have_no_output_of_it(job, both):
    outputs = combined(job, both)
    for k, chosen in enumerate(subsets(GROUPS)):
        finite = np.isfinite(outputs[k]).all(axis=1)
        np.testing.assert_array_equal(finite, job.people.having(chosen))
    assert not job.people.having(GROUPS).all()


def test_an_output_is_of_its_own_groups_only(job, both, invented, tmp_path):
    """A person's outputs of sets without a group are the same whatever is seen in that group."""
    person = np.flatnonzero(~job.fitted & job.people.having(GROUPS))[0]
    other = outputs_of(encoded(altered(job, invented, tmp_path, "dwi", person, 5.0)))
    changed = (other[:, person] != outputs_of(both[0])[:, person]).any(axis=1)
    np.testing.assert_array_equal(changed, ["diffusion" in chosen for chosen in subsets(GROUPS)])


def test_targets_of_people_left_out_do_not_reach_the_network(job, both):
    # Validation people say which epoch is kept.
    out = ~job.fitted & (job.people.part != "validation")
    same(both[0], encoded(with_targets(job, out, lambda y: 1 - 2 * y)))
    other = encoded(with_targets(job, job.fitted, lambda y: 1 - y))
    assert losses_of(other) != losses_of(both[0])


def test_validation_people_choose_the_epoch_and_test_people_nothing(job):
    patient = with_loop(job, epochs=8, patience=8)
    before = encoded(patient)
    validation = before.card["curves"]["validation"]
    assert before.card["best_epoch"] == 1 + int(np.argmin(validation))
    tested = encoded(with_targets(patient, job.people.part == "test", lambda y: 1 - 2 * y))
    assert before.card["curves"] == tested.card["curves"]
    same(before, tested)
    shuffled = with_targets(patient, job.people.part == "validation", lambda y: y[::-1])
    after = encoded(shuffled)
    assert losses_of(after) == losses_of(before)
    chosen = after.card["curves"]["validation"]
    assert after.card["best_epoch"] == 1 + int(np.argmin(chosen))
    assert chosen != validation


def test_unknown_targets_and_constant_ones_weigh_nothing(job, both):
    nobody = job.people.targets | {"guilty": np.full(N, np.nan)}
    known = encoded(replace(job, people=replace(job.people, targets=nobody)))
    assert losses_of(known) == losses_of(both[0])


def test_a_group_that_nobody_in_training_has_is_left_out(job):
    has = job.people.has | {"diffusion": ~job.people.train}
    model = encoded(replace(job, people=replace(job.people, has=has)))
    assert not any("diffusion" in name for name in weights_of(model))
    for k, chosen in enumerate(subsets(GROUPS)):
        assert np.isnan(outputs_of(model)[k]).all() == ("diffusion" in chosen)


def assert_nothing_is_given(model, reason):
    assert np.isnan(outputs_of(model)).all()
    assert weights_of(model) == {}
    assert reason in model.card["diverged"]


def test_a_training_that_diverges_is_recorded_told_and_gives_nothing(job, caplog):
    model = encoded(with_loop(job, learning_rate=1e30))
    assert_nothing_is_given(model, "the loss was not finite in epoch 1, 3 times")
    assert "gave no model: the loss was not finite" in caplog.text
    assert len(losses_of(model)) < job.settings.loop.epochs


def test_a_second_attempt_at_a_lower_rate_may_succeed(job, monkeypatch):
    monkeypatch.setattr(loop, "LOWER_RATE", 1e-32)
    model = encoded(with_loop(job, learning_rate=1e30))
    assert np.isfinite(losses_of(model)).all()
    assert len(losses_of(model)) == job.settings.loop.epochs
    assert weights_of(model) and model.card["diverged"] == ""


def altered(job, invented, folder, modality, rows, value):
    other = invented.copy()
    other.scans[modality][rows] = value
    other.save_scans(folder)
    return replace(job, scans=scans_of(folder))


def test_scans_that_are_not_numbers_are_recorded_and_give_nothing(job, invented, tmp_path):
    broken = altered(job, invented, tmp_path, "dwi", np.flatnonzero(job.fitted)[:3], np.nan)
    assert_nothing_is_given(encoded(broken), "not finite")


def test_a_number_beyond_half_precision_spoils_nobody(job, both, invented, tmp_path):
    person = np.flatnonzero(~job.fitted & job.people.having(GROUPS))[0]
    before = outputs_of(both[0])
    after = outputs_of(encoded(altered(job, invented, tmp_path, "rsfmri", person, 1e9)))
    functional = ["functional" in chosen for chosen in subsets(GROUPS)]
    same_output = (after[:, person] == before[:, person]).all(axis=1)
    np.testing.assert_array_equal(same_output, ~np.array(functional))
    assert np.isfinite(after[:, person]).all()
    others = np.arange(N) != person
    np.testing.assert_array_equal(after[:, others], before[:, others])


def test_nobody_to_train_on_is_recorded(job):
    nobody = replace(job, parts=np.where(job.parts == 1, -1, job.parts))
    model = encoded(nobody)
    assert_nothing_is_given(model, "fewer than two people")
    assert model.card["curves"] == {}


def test_a_network_that_failed_leaves_its_part_and_everybody_else_without(job, both):
    failed = np.full_like(outputs_of(both[1]), np.nan)
    outputs = cross_fitted({0: outputs_of(both[0]), 1: failed}, job.parts)
    mine = (job.parts == 0) & job.people.having(GROUPS)
    assert np.isfinite(outputs[-1, mine]).all()
    assert np.isnan(outputs[:, job.parts != 0]).all()


def test_the_card_says_what_training_took(job, both):
    card = both[0].card
    fitted = job.fitted & np.any([job.people.has[g] for g in GROUPS], axis=0)
    assert card["n_fitted"] == fitted.sum()
    assert card["best_epoch"] == 1 + int(np.argmin(card["curves"]["validation"]))
    weights = weights_of(both[0])
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    learned = [w.size for name, w in weights.items() if not name.endswith(buffers)]
    assert card["parameters"] == sum(learned)
    steps = fitted.sum() * job.settings.loop.epochs
    assert card["flops"] == card["flops_per_sample"] * steps > 0


def test_encoders_are_of_each_input_or_of_all_volumes_together():
    shapes = {"t1": (2, 4, 4, 4), "dwi": (1, 4, 4, 4), "rest": (EDGES,), TRAITS: (6,)}
    options = {"volume": {"stem": 2, "width": 4}}
    apart, together = (Network(embedding=8, options=options, together=t) for t in (False, True))
    assert list(build_encoders(apart, shapes)) == ["t1", "dwi", "rest", TRAITS]
    assert list(build_encoders(together, shapes)) == ["t1+dwi", "rest", TRAITS]
    alone = {"t1": shapes["t1"], "rest": shapes["rest"]}
    assert list(build_encoders(together, alone)) == ["t1", "rest"]


def test_a_network_has_an_output_for_each_target(job):
    shapes = {"structural": (2, 3, 4, 4), "functional": (EDGES,)}
    network = job.network(shapes)
    assert network.inputs == ("structural", "functional")
    assert network.head.line.out_features == len(GRID.targets)
