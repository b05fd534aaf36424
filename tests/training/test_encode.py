import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from modelling_cases import EDGES, GRID, MODELLING, N, scans_of

from ukb_brain.ledger.artifact import write_model
from ukb_brain.training import loop
from ukb_brain.training.encode import (
    EncoderJob,
    cross_fitted,
    train_encoders,
)
from ukb_brain.training.inputs import TRAITS, subsets
from ukb_brain.training.items import domains_of
from ukb_brain.training.network import build_encoders
from ukb_brain.training.settings import Network, Pretrain, Refine
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.weights import export_encoder

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


class Lost(Exception):
    pass


def lost_after(saves, job, folder, monkeypatch):
    """Train until a state was saved so many times."""
    save, done = loop.save_state, []

    def lose(*given):
        save(*given)
        done.append(given)
        if len(done) == saves:
            raise Lost

    with monkeypatch.context() as patched:
        patched.setattr(loop, "save_state", lose)
        with pytest.raises(Lost):
            train_encoders(job, folder)


def test_a_training_that_was_lost_ends_as_one_left_alone(job, both, tmp_path, monkeypatch):
    lost_after(2, job, tmp_path, monkeypatch)
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


def test_an_encoder_starts_from_a_file_and_the_rest_as_it_would(job, both, tmp_path):
    def kept(**changes):
        # A rate so low that nothing moves.
        return encoded(with_loop(with_network(job, **changes), learning_rate=1e-30))

    plain, file = kept(), tmp_path / "from.safetensors"
    write_model(tmp_path / "model", both[1])
    export_encoder(tmp_path / "model", "structural", file)
    started = kept(start={"structural": str(file)})
    prefix = "encoders.structural."
    learnt = ("weight", "bias")
    for name, weight in weights_of(started).items():
        if name.endswith(learnt):
            other = both[1] if name.startswith(prefix) else plain
            np.testing.assert_allclose(
                weight, weights_of(other)[name], rtol=0, atol=1e-20, err_msg=name
            )
    origin = started.card["origin"]
    assert origin["structural"]["parameters"] == origin["structural"]["of_parameters"]
    assert "origin" not in plain.card


def filling_in(job, **changes):
    own = {"epochs": 2, "cube": 2} | changes
    return replace(job, settings=job.settings.model_copy(update={"pretrain": Pretrain(**own)}))


@pytest.fixture(scope="module")
def filled(job):
    return encoded(filling_in(job))


def test_encoders_that_filled_in_first_say_so_and_what_it_cost(job, both, filled):
    before = filled.card["pretraining"]
    assert len(before["curve"]) == 2 and before["reason"] == ""
    volumes = job.people.has["structural"] | job.people.has["diffusion"]
    assert before["n_fitted"] == (job.fitted & volumes).sum()
    assert filled.card["flops"] == both[0].card["flops"] + before["flops"]
    assert 0 < before["flops"] < both[0].card["flops"]
    assert np.isfinite([before["validation"], before["of_mean"]]).all()
    assert losses_of(filled) != losses_of(both[0])
    assert set(filled.arrays) == set(both[0].arrays)
    assert "pretraining" not in both[0].card


@pytest.mark.parametrize("saves", [1, 2, 3, 4])
def test_filling_in_that_was_lost_ends_as_one_left_alone(job, filled, tmp_path, monkeypatch, saves):
    lost_after(saves, filling_in(job), tmp_path, monkeypatch)
    same(train_encoders(filling_in(job), tmp_path), filled)


def test_filling_in_that_diverges_is_recorded_and_gives_nothing(job):
    model = encoded(filling_in(job, learning_rate=1e30))
    assert_nothing_is_given(model, "in pretraining the loss was not finite")


def refining(job, **changes):
    own = {"rank": 2, "epochs": 2} | changes
    s = job.settings.model_copy(update={"refine": Refine(**own)})
    return replace(job, settings=s, domains=domains_of(GRID))


@pytest.fixture(scope="module")
def refined(job):
    return encoded(refining(job))


def places_of(domain):
    return [list(BINARY).index(target) for target in domains_of(GRID)[domain]]


def test_domains_that_were_refined_have_encodings_of_their_own_and_others_the_shared(
    job, both, refined
):
    cards, shared = refined.card["refined"], outputs_of(both[0])
    assert list(cards) == list(domains_of(GRID))
    assert {card["kept"] for card in cards.values()} == {True, False}
    for domain, card in cards.items():
        own, before = (made[..., places_of(domain)] for made in (outputs_of(refined), shared))
        np.testing.assert_array_equal(np.isnan(own), np.isnan(before))
        known = np.isfinite(before)
        assert (own[known] == before[known]).all() != card["kept"]
        assert (card["refined"] < card["shared"]) == card["kept"]
        arrays = [name for name in refined.arrays if name.startswith(f"refined/{domain}/")]
        assert bool(arrays) == card["kept"]
    # The shared network is as it is without.
    for name, weight in weights_of(both[0]).items():
        np.testing.assert_array_equal(weights_of(refined)[name], weight)
    assert refined.card["curves"] == both[0].card["curves"]
    spent = sum(card["flops"] for card in cards.values())
    assert refined.card["flops"] == both[0].card["flops"] + spent
    assert 0 < spent < 1.3 * both[0].card["flops"] * 2 * len(cards) / 3
    assert "refined" not in both[0].card


def test_validation_people_are_never_read_worse_by_what_was_refined(job, both, refined):
    s, held = job.settings.loop, job.people.part == "validation"
    everything = subsets(GROUPS).index(GROUPS)
    rows = np.flatnonzero(held & job.people.having(GROUPS))
    tasks = Tasks(job.people.targets, BINARY, job.fitted, s)
    ones = torch.ones(len(rows))

    def losses(model):
        given = torch.from_numpy(outputs_of(model)[everything, rows])
        sums, weights = tasks.losses(given, torch.from_numpy(rows), ones)
        return (sums / weights).numpy()

    for domain, card in refined.card["refined"].items():
        mine = [k for k in places_of(domain) if np.isfinite(losses(refined)[k])]
        own, shared = (losses(model)[mine].mean() for model in (refined, both[0]))
        # Those who lack a group were judged too.
        assert own <= shared * 1.05 if card["kept"] else own == shared


@pytest.mark.parametrize("saves", [3, 4, 6, 8])
def test_refining_that_was_lost_ends_as_one_left_alone(job, refined, tmp_path, monkeypatch, saves):
    lost_after(saves, refining(job), tmp_path, monkeypatch)
    again = train_encoders(refining(job), tmp_path)
    same(again, refined)
    assert again.card["refined"] == refined.card["refined"]


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
