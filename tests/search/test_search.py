import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from modelling_cases import MODELLING
from optuna.trial import TrialState, create_trial
from scipy import stats
from search_cases import NEVER, RATE, SPACE, WIDTH, read_space

from ukb_brain.cluster import Compute, workers_kept
from ukb_brain.ledger import fingerprint_of
from ukb_brain.search.record import (
    SearchTrials,
    best_of,
    importances,
    improvement,
    report,
    trials_table,
)
from ukb_brain.search.settings import Pruner, StudySettings
from ukb_brain.search.space import changed
from ukb_brain.search.study import StudyPlan, open_storage, run_study

ONE, TWO = Compute(workers=1, device="cpu"), Compute(workers=2, device="cpu")
EPOCHS, ROUND = 6, 4
START = {RATE: 1.0, WIDTH: 10, "encoders.loop.schedule": "cosine"}


# ---- a study whose values are known -------------------------------------------------------------


def bowl(payload, scratch):
    """Lowest at a rate of 0.01 and a width of 4; leaves a trace of every start."""
    values, pruner, earlier, traces, accident = payload
    number = int(scratch.parent.name.rpartition("-")[2])
    begun = len(list(Path(traces).glob(f"{number}-*")))
    (Path(traces) / f"{number}-{begun}-{os.getpid()}").touch()
    if (accident, number, begun) == ("interrupt", 5, 0):
        raise KeyboardInterrupt
    if (accident, number) == ("error", 2):
        raise RuntimeError("no luck with 1234567\nat all")
    depth = (np.log10(values[RATE]) + 2) ** 2 + 0.1 * abs(values[WIDTH] - 4)
    assert len(earlier) == number // ROUND * ROUND
    trial, curve = pruner.begin(earlier), []
    for epoch in range(1, EPOCHS + 1):
        curve.append(depth + 1 / epoch)
        trial.report(curve[-1], epoch)
        if trial.should_prune():
            return {"state": "pruned", "value": curve[-1], "curve": curve}
    losses = {"a": depth, "b": depth + 0.1, "c": depth + 0.3}
    return {"state": "complete", "value": depth, "losses": losses, "curve": curve}


def plan_of(traces, trials=8, pruner=NEVER, accident="", space=SPACE, seed=0):
    traces.mkdir(parents=True, exist_ok=True)
    start = {path: START[path] for path in space if path in START}
    search = StudySettings(trials=trials, round=ROUND, at_random=3, space=space)
    return StudyPlan(
        "encoders", fingerprint_of(*space, seed), search, start, seed,
        bowl, lambda values, earlier: (values, pruner, earlier, str(traces), accident),
    )  # fmt: skip


def run(tmp_path, name, compute=ONE, **given):
    home = tmp_path / name
    plan = plan_of(home / "traces", **given)
    storage = open_storage(home / "trials.db")
    return run_study(plan, storage, home / "ledger", compute).get_trials()


def tried(trials):
    """All that a study says, but for times."""
    return [
        (t.number, t.state, t.value, t.params, t.user_attrs["values"], t.intermediate_values)
        for t in trials
    ]


def starts(tmp_path, name):
    return sorted(int(path.name.split("-")[0]) for path in (tmp_path / name / "traces").iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"), "study", trials=16, pruner=Pruner(startup=3))


def test_the_first_trial_is_the_settings_as_they_are_and_the_best_is_not_worse(whole):
    assert whole[0].user_attrs["values"] == START
    assert whole[0].state == TrialState.COMPLETE
    assert best_of(whole).value < whole[0].value
    assert [t.number for t in whole] == list(range(16))


def test_settings_outside_the_space_are_tried_too(tmp_path):
    space = read_space({RATE: {"kind": "float", "low": 1e-4, "high": 0.5}, WIDTH: SPACE[WIDTH]})
    trials = run(tmp_path, "narrow", trials=4, space=space)
    assert trials[0].params == {WIDTH: 10}
    assert trials[0].user_attrs["values"][RATE] == 1.0
    assert all(t.params[RATE] <= 0.5 for t in trials[1:])


def test_a_trial_that_is_hopeless_is_cut_short(whole):
    pruned = [t for t in whole if t.state == TrialState.PRUNED]
    assert pruned
    for trial in pruned:
        last = max(trial.intermediate_values)
        assert trial.value == trial.intermediate_values[last]
        earlier = [
            t.intermediate_values[last]
            for t in whole[: trial.number // 4 * 4]
            if t.state == TrialState.COMPLETE
        ]
        assert len(earlier) >= 3
        assert min(trial.intermediate_values.values()) > np.median(earlier)
    # The warm-up.
    assert min(len(t.intermediate_values) for t in pruned) == 3


@pytest.mark.parametrize("steps", [(4, 16), (6, 7, 16), (16,)])
def test_a_study_that_goes_on_ends_as_one_that_was_never_stopped(tmp_path, whole, steps):
    for trials in steps:
        found = run(tmp_path, "study", trials=trials, pruner=Pruner(startup=3))
    assert tried(found) == tried(whole)
    assert starts(tmp_path, "study") == list(range(16))


def test_a_finished_study_adds_nothing(tmp_path, whole):
    before = run(tmp_path, "study")
    database = (tmp_path / "study" / "trials.db").read_bytes()
    assert tried(run(tmp_path, "study")) == tried(before) == tried(run(tmp_path, "study", trials=3))
    assert (tmp_path / "study" / "trials.db").read_bytes() == database


def test_a_killed_round_is_finished_without_repeating_what_it_had_done(tmp_path):
    expected = run(tmp_path, "left alone")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "killed", accident="interrupt")
    storage = open_storage(tmp_path / "killed" / "trials.db")
    plan = plan_of(tmp_path / "killed" / "traces")
    left = optuna.load_study(study_name=plan.study, storage=storage).get_trials()
    assert [t.state.is_finished() for t in left] == [True] * 4
    assert tried(run(tmp_path, "killed", accident="interrupt")) == tried(expected)
    assert starts(tmp_path, "killed") == [0, 1, 2, 3, 4, 5, 5, 6, 7]


@workers_kept()
def test_the_number_of_workers_changes_nothing(tmp_path):
    given = {"trials": 8, "pruner": Pruner(startup=2, warm_up=1)}
    one = run(tmp_path, "one", **given)
    two = run(tmp_path, "two", compute=TWO, **given)
    assert tried(one) == tried(two)
    processes = {p.name.split("-")[2] for p in (tmp_path / "two" / "traces").iterdir()}
    assert str(os.getpid()) not in processes


def test_another_seed_is_another_search(tmp_path):
    one, two = (run(tmp_path, str(seed), seed=seed) for seed in (0, 1))
    assert tried(one)[1:] != tried(two)[1:]


def test_a_failing_trial_is_recorded_and_the_rest_goes_on(tmp_path, caplog):
    trials = run(tmp_path, "failing", accident="error")
    states = [t.state for t in trials]
    assert states == [TrialState.FAIL if k == 2 else TrialState.COMPLETE for k in range(8)]
    assert trials[2].user_attrs["reason"] == "RuntimeError: no luck with ####### at all"
    assert trials[2].value is None
    assert "trial 2 failed: RuntimeError" in caplog.text
    assert starts(tmp_path, "failing") == list(range(8))
    text = report({"encoders": trials, "heads": []}, MODELLING, "")
    assert "1 failed" in text
    assert "Trial 2 failed: RuntimeError" in text


# ---- the record ---------------------------------------------------------------------------------


def trial_of(number, losses, values=None, **params):
    space = dict.fromkeys(params, SPACE[RATE])
    attributes = {"losses": losses, "values": values or {}, "seconds": 1.0, "reason": ""}
    trial = create_trial(
        value=float(np.mean(list(losses.values()))),
        user_attrs=attributes | {"epochs": 0},
        params=params,
        distributions=space,
    )
    trial.number = number
    return trial


def test_an_improvement_is_paired_over_targets_as_in_scipy():
    rng = np.random.default_rng(3)
    one, two = rng.random((2, 9))
    first, best = (
        trial_of(k, dict(zip("abcdefghi", x, strict=True))) for k, x in enumerate((one, two))
    )
    test = stats.ttest_rel(one, two)
    interval = test.confidence_interval(0.95)
    expected = [(one - two).mean(), interval.low, interval.high]
    np.testing.assert_allclose(improvement(first, best), expected)
    few = improvement(*(trial_of(k, {"a": float(k), "b": 1.0}) for k in range(2)))
    assert few[0] == -0.5
    assert np.isnan(few[1:]).all()


@pytest.mark.parametrize("sure", [True, False])
def test_the_report_gives_settings_that_can_be_pasted(sure):
    import yaml

    values = {RATE: 3.2e-05, WIDTH: 6, "encoders.loop.warm_up": 0.15}
    gain = {"a": 0.1, "b": 0.11, "c": 0.09} if sure else {"a": 0.5, "b": -0.2, "c": 0.001}
    losses = dict.fromkeys("abc", 0.9)
    trials = [
        trial_of(0, losses),
        trial_of(1, {name: 0.9 - gain[name] for name in losses}, values),
    ]
    text = report({"encoders": trials, "heads": []}, MODELLING, "SYNTHETIC data")
    assert "**SYNTHETIC data.**" in text
    assert ("keep the settings as they are" in text) != sure
    pasted = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert set(pasted) == {"encoders"}
    assert type(MODELLING)(**MODELLING.model_dump() | pasted) == changed(MODELLING, values)
    assert "Not searched." in text


def test_a_search_that_found_nothing_better_says_so():
    losses = dict.fromkeys("abc", 0.5)
    trials = [trial_of(0, losses), trial_of(1, dict.fromkeys("abc", 0.5))]
    text = report({"encoders": [], "heads": trials}, MODELLING, "")
    assert "Nothing was better than the settings as they are (0.5000)" in text
    assert "yaml" not in text


def test_importance_finds_the_parameter_that_matters():
    rng = np.random.default_rng(0)
    trials = []
    for k in range(24):
        one, two = 10 ** rng.uniform(-4, 0, 2)
        trials.append(trial_of(k, {"a": float(np.log10(one) ** 2)}, one=one, two=two))
    found = importances(trials)
    assert next(iter(found)) == "one"
    assert found["one"] > 0.8
    assert importances(trials[:9]) == {}


def test_the_table_keeps_every_study_and_every_parameter(tmp_path):
    home = tmp_path / "studies"
    first = run(tmp_path, "studies", trials=3, accident="error")
    space = read_space(
        {RATE: SPACE[RATE], WIDTH: SPACE[WIDTH], "x": {"kind": "choice", "of": [[1], 2]}}
    )
    start = dict(START)
    del start["encoders.loop.schedule"]
    plan = replace(plan_of(home / "more", 6, space=space), fingerprint="f" * 64, start=start)
    storage = open_storage(home / "trials.db")
    run_study(plan, storage, home / "ledger", ONE)
    table = SearchTrials.validate(trials_table(storage))
    assert table["study"].nunique() == 2
    assert list(table.columns)[:6] == ["study", "number", "state", "value", "epochs", "seconds"]
    old = table[table["study"] != plan.study]
    assert old["state"].tolist() == ["complete", "complete", "failed"]
    assert old["reason"].tolist()[2].startswith("RuntimeError")
    assert old[RATE].tolist() == [t.user_attrs["values"][RATE] for t in first]
    assert set(table["encoders.loop.schedule"].dropna()) <= {'"cosine"', '"constant"'}
    new = table.loc[table["study"] == plan.study, "x"]
    assert set(new.dropna()) == {"[1]", "2"}
    # The settings as they are do not say.
    assert new.isna().tolist() == [True] + [False] * 5
    assert old["x"].isna().all()
    table.to_parquet(tmp_path / "table.parquet")
