import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from modelling_cases import GRID, MODELLING, PARTS, N, scans_of
from optuna.trial import create_trial
from pydantic import ValidationError
from search_cases import NEVER, RATE, SPACE, WIDTH, read_space

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.search.encoders import EncoderTrial, RelativeTrainer, judge_encoders
from ukb_brain.search.heads import chosen_targets, judged_parts
from ukb_brain.search.plans import without_test
from ukb_brain.search.settings import Pruner, Search, ends_of, read, stored
from ukb_brain.search.space import changed, check_networks, check_space, values_now
from ukb_brain.search.study import attempted
from ukb_brain.training.encode import EncoderJob
from ukb_brain.training.tasks import Tasks

# ---- the space ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ({"kind": "float", "low": 2, "high": 1}, "low=2.*high=1"),
        ({"kind": "float", "low": 0, "high": 1, "log": True}, "low > 0"),
        ({"kind": "int", "low": 1, "high": 9, "step": 2, "log": True}, "step.*log"),
        ({"kind": "choice", "of": [1]}, "at least 2"),
        ({"kind": "choice", "of": [[1, 2], [1, 2]]}, "none twice"),
        ({"kind": "float", "low": 0, "hihg": 1}, "hihg"),
        ({"kind": "choice", "of": [1, 2], "log": True}, "'float', 'int', 'choice'"),
        ({"kind": "gaussian", "low": 0, "high": 1}, "'float', 'int', 'choice'"),
    ],
)
def test_a_parameter_that_is_none_is_refused(parameter, said):
    with pytest.raises(ValidationError, match=said):
        read_space({RATE: parameter})


def test_null_takes_a_parameter_out_of_the_space():
    study = {"trials": 2, "round": 1, "space": {RATE: SPACE[RATE], WIDTH: None}}
    search = Search(encoders=study, heads=study | {"trials": 0})
    assert set(search.encoders.space) == {RATE}
    with pytest.raises(ValidationError, match="space is empty"):
        Search(encoders=study | {"space": {WIDTH: None}}, heads=study)


def test_settings_are_changed_where_paths_say_and_nowhere_else():
    values = {RATE: 0.5, WIDTH: 6, "encoders.network.dropout": 0.0, "heads.images": [2, 5]}
    new = changed(MODELLING, values)
    assert new.encoders.loop.learning_rate == 0.5
    assert new.encoders.network.options == {"volume": {"stem": 2, "width": 6}}
    assert new.heads.images == (2.0, 5.0)
    back = changed(new, {path: values_now(MODELLING)[path] for path in values})
    assert back == MODELLING
    assert changed(MODELLING, {}) == MODELLING


@pytest.mark.parametrize(
    ("study", "path", "parameter", "said"),
    [
        ("encoders", "encoders.loop.learning_rat", {}, "no setting .* learning_rate"),
        ("encoders", "encoders.loop.epochs.more", {}, "no setting of modelling"),
        ("encoders", "encoders.network.options.voxel.width", {}, "no setting of modelling"),
        ("encoders", "encoders.loop", {}, "this study cannot vary"),
        ("encoders", "ladder", {}, "this study cannot vary; expected encoders.network.…"),
        ("encoders", "encoders.loop.balance", {}, "cannot be searched: trials are compared"),
        ("encoders", "encoders.network.dropout", {"high": 1.5}, "with the value 1.5: .* less"),
        ("heads", "heads.liver", {}, "beside it there are images, traits"),
        ("heads", "kernels.pooling", {}, "this study cannot vary"),
        # Kernels have learnt from those who judge a trial.
        ("heads", "average", {"kind": "choice", "of": [["head"], []]}, "this study cannot vary"),
        ("heads", "heads.images", {}, "with the value 0.1: .*tuple"),
        ("heads", "heads.images", {"kind": "choice", "of": [[1], []]}, r"with the value \[\]"),
    ],
)
def test_what_cannot_be_searched_is_one_line(study, path, parameter, said):
    given = {"kind": "float", "low": 0.1, "high": 0.5} if "kind" not in parameter else {}
    space = read_space({path: given | parameter})
    with pytest.raises(InputError, match=said) as caught:
        check_space(study, space, MODELLING)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("parameters_search.yml.")


@pytest.mark.parametrize(
    ("path", "parameter", "said"),
    [
        (
            WIDTH.replace("width", "widht"),
            {"kind": "int", "low": 2, "high": 4},
            "no option 'widht'",
        ),
        (WIDTH, {"kind": "choice", "of": [4, 0]}, "'width' .* is 0"),
        ("encoders.network.volume", {"kind": "choice", "of": ["light", "heavy"]}, "no encoder"),
        # Each by itself could be built.
        ("encoders.network.volume", {"kind": "choice", "of": ["light", "study"]}, "no option"),
    ],
)
def test_networks_that_cannot_be_built_are_found_before_anything_runs(path, parameter, said):
    dropout = {"kind": "float", "low": 0.0, "high": 0.5}
    space = read_space({path: parameter, "encoders.network.dropout": dropout})
    check_space("encoders", space, MODELLING)
    with pytest.raises(InputError, match=said) as caught:
        check_networks(space, MODELLING, lambda pooling: {"structural": (2, 6, 8, 8)})
    assert "\n" not in str(caught.value)


def test_values_are_those_of_the_space_after_being_stored():
    of = [[0.1, 3, 1000], [1, 2.0], True, "light", None]
    choice = read_space({RATE: {"kind": "choice", "of": of}})[RATE]
    assert [read(choice, stored(choice, value)) for value in of] == of
    assert stored(choice, [0.1, 3.0, 1000.0]) == json.dumps(of[0])
    assert stored(choice, 1) is stored(choice, "heavy") is None
    width = SPACE[WIDTH]
    assert [stored(width, value) for value in (2, 4, 5, 12)] == [2, 4, None, None]
    with pytest.warns(UserWarning, match="not divisible by `step`"):
        uneven = read_space({RATE: {"kind": "int", "low": 1, "high": 8, "step": 3}})[RATE]
    assert ends_of(uneven) == [1, 7]


# ---- encoders -----------------------------------------------------------------------------------


def encoder_trial(fold, stored, pruner=NEVER, finished=(), **loop):
    people = without_test(fold)
    settings = changed(MODELLING, {f"encoders.loop.{k}": v for k, v in loop.items()}).encoders
    binary = {key: target.kind == "binary" for key, target in GRID.targets.items()}
    parts = people.cross_fits(settings.cross_fits)
    job = EncoderJob(people, scans_of(stored), binary, settings, 11, "cpu", parts, 0)
    return EncoderTrial(job, pruner, finished)


def test_nobody_is_both_trained_on_and_judged_and_test_people_are_neither(fold, stored):
    trial = encoder_trial(fold, stored)
    judged, fitted = trial.judged, trial.job.fitted
    assert not (judged & fitted).any()
    np.testing.assert_array_equal(judged | fitted, PARTS != "test")
    assert (judged & (PARTS == "train")).any()
    families = fold.family[judged & (PARTS == "train")]
    assert not set(families) & set(fold.family[fitted])


def test_nothing_is_left_of_test_people(fold):
    people, gone = without_test(fold), PARTS == "test"
    for y in people.targets.values():
        assert np.isnan(y[gone]).all()
    for name, traits in people.blocks.items():
        assert not traits[gone].any()
        np.testing.assert_array_equal(traits[~gone], fold.blocks[name][~gone])
    assert not any(has[gone].any() for has in people.has.values())
    assert set(people.part[gone]) == {"left out"}


@pytest.mark.parametrize("balance", ["weights", "none"])
def test_the_loss_relative_to_the_mean_is_what_numpy_says(fold, balance):
    rng = np.random.default_rng(0)
    targets = {
        "worry": np.where(rng.random(N) < 0.1, np.nan, (rng.random(N) < 0.3) * 1.0),
        "age": rng.normal(64, 7, N),
        "guilty": np.zeros(N),
    }
    fitted, rows = np.arange(N) < 60, np.arange(60, N)
    binary = {"worry": True, "age": False, "guilty": True}
    loop = MODELLING.encoders.loop.model_copy(update={"balance": balance, "precision": "float32"})
    tasks = Tasks(targets, binary, fitted, loop)
    outputs = torch.from_numpy(rng.normal(size=(N, 3))).float()

    class Given(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = torch.nn.Parameter(torch.ones(1))

        def forward(self, inputs, used):
            return inputs["rows"] * self.one

    class Data:
        def read(self, rows, rng):
            return {"rows": outputs[rows], "used": torch.ones(len(rows), 1)}

    trainer = RelativeTrainer(Given(), Data(), tasks, loop, torch.device("cpu"), 0)
    found = trainer.relative(rows).numpy()
    y, p = targets["worry"][rows], 1 / (1 + np.exp(-outputs[rows, 0].double().numpy()))
    share = np.nanmean(targets["worry"][fitted])
    mean = 0.5 if balance == "weights" else share
    weights = np.where(y > 0, 0.5 / share, 0.5 / (1 - share)) if balance == "weights" else 1 + 0 * y

    def crossed(p):
        return np.nansum(-weights * (y * np.log(p) + (1 - y) * np.log(1 - p)))

    age = targets["age"]
    standard = (age - age[fitted].mean()) / age[fitted].std()
    errors = (standard[rows] - outputs[rows, 1].double().numpy()) ** 2
    expected = [crossed(p) / crossed(mean), errors.sum() / (standard[rows] ** 2).sum()]
    np.testing.assert_allclose(found[:2], expected, rtol=1e-4)
    assert np.isnan(found[2])
    assert trainer.evaluate(rows) == pytest.approx(np.mean(expected), rel=1e-4)


def test_a_trial_of_the_encoders_learns_and_says_so_for_every_target(fold, stored, tmp_path):
    card = attempted(
        judge_encoders, encoder_trial(fold, stored, epochs=12, weight_decay=0.0), tmp_path
    ).card
    assert card["state"] == "complete"
    assert set(card["losses"]) == {"sex", "age", "smoking", "body_fat", "worry"}
    assert card["value"] == pytest.approx(np.mean(list(card["losses"].values())))
    assert card["value"] == pytest.approx(min(card["curve"]), rel=1e-4)
    assert card["value"] < 0.95 < card["curve"][0]
    assert len(card["curve"]) == 12


def test_a_trial_that_was_killed_goes_on_and_ends_the_same(fold, stored, tmp_path, monkeypatch):
    trial = encoder_trial(fold, stored, epochs=4)
    expected = attempted(judge_encoders, trial, tmp_path / "left alone").card
    evaluate, calls = RelativeTrainer.evaluate, []

    def dies(self, rows):
        calls.append(rows)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(self, rows)

    monkeypatch.setattr(RelativeTrainer, "evaluate", dies)
    with pytest.raises(KeyboardInterrupt):
        attempted(judge_encoders, trial, tmp_path / "killed")
    assert attempted(judge_encoders, trial, tmp_path / "killed").card == expected
    assert len(calls) == 3 + 2


def test_a_network_that_learns_nothing_is_cut_short(fold, stored, tmp_path):
    good = [
        create_trial(value=0.1, intermediate_values=dict.fromkeys(range(1, 6), 0.1))
        for _ in range(2)
    ]
    pruner = Pruner(startup=2, warm_up=2)
    trial = encoder_trial(fold, stored, pruner, tuple(good), epochs=5)
    card = attempted(judge_encoders, trial, tmp_path / "pruned").card
    assert (card["state"], len(card["curve"])) == ("pruned", 2)
    assert card["value"] == card["curve"][-1]
    alone = replace(trial, earlier=tuple(good[:1]))
    assert attempted(judge_encoders, alone, tmp_path / "whole").card["state"] == "complete"


def test_a_network_that_diverges_failed_and_says_why(fold, stored, tmp_path):
    trial = encoder_trial(fold, stored, learning_rate=1e30, clip=1e30, warm_up=0.0)
    card = attempted(judge_encoders, trial, tmp_path).card
    assert card["state"] == "failed"
    assert "not finite" in card["why"]


# ---- heads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3])
def test_judged_parts_are_of_whole_training_families_and_not_those_of_cross_fitting(fold, n):
    dealt = judged_parts(fold, n)
    assert set(dealt[fold.train]) == set(range(n))
    assert (dealt[~fold.train] == -1).all()
    for family in np.unique(fold.family[fold.train]):
        assert len(set(dealt[fold.train & (fold.family == family)])) == 1
    # Cross-fitting into as many parts must find all of its own in what is left.
    for part in range(n):
        assert len(set(fold.cross_fits(n)[fold.train & (dealt != part)])) == n


def test_some_targets_stand_for_all_spread_over_domains():
    assert chosen_targets(GRID, 0) == tuple(GRID.targets)
    for number in range(1, len(GRID.targets) + 1):
        chosen = chosen_targets(GRID, number)
        assert len(chosen) == number
        assert list(chosen) == [t for t in GRID.targets if t in chosen]
        counts = [sum(GRID.targets[t].domain == d for t in chosen) for d in GRID.domains]
        sizes = [len(GRID.targets_of(d)) for d in GRID.domains]
        spread = [c for c, size in zip(counts, sizes, strict=True) if c < size]
        assert not spread or max(counts) - min(spread) <= 1
    turned = Grid(**GRID.model_dump() | {"targets": dict(reversed(GRID.targets.items()))})
    assert set(chosen_targets(turned, 3)) == set(chosen_targets(GRID, 3))
