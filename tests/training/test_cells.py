from dataclasses import replace

import numpy as np
import pytest

from ukb_brain.statistics.kinds import KINDS
from ukb_brain.training.cells import (
    CellSpec,
    TargetJob,
    fit_target,
    why_not,
)
from ukb_brain.training.settings import Penalties

N, TRAINING, HELD = 120, 90, 105
HELD_OUT, TESTED = np.arange(N) >= TRAINING, np.arange(N) >= HELD
ONE_CHOICE = Penalties(images=(1.0,), traits=(0.1,))
SEVERAL = Penalties(images=(0.1, 1.0, 1000.0), traits=(0.03, 1000.0))
INPUTS = {
    "A": (("a",), ()),
    "B": (("b",), ()),
    "A + B": (("a", "b"), ()),
    "C": ((), ("c",)),
    "A + C": (("a",), ("c",)),
    "A + C + D": (("a",), ("c", "d")),
}


def job(kind="continuous", penalties=ONE_CHOICE, seed=0):
    rng = np.random.default_rng(seed)
    features = {name: rng.normal(size=(N, 3)) for name in "abcd"}
    y = sum(f[:, 0] for f in features.values()) + rng.normal(size=N)
    y = (y > 0).astype(float) if kind == "binary" else 20 + 4 * y
    parts = np.where(np.arange(N) < TRAINING, np.arange(N) // 3 % 4, -1)
    cells = tuple(CellSpec(k, *v, rows_of(v[0])) for k, v in INPUTS.items())
    return TargetJob("y", kind, y, parts, HELD_OUT & ~TESTED, features, cells, penalties)


def rows_of(images):
    """Everybody, but a few who lack b."""
    rows = np.ones(N, dtype=bool)
    if "b" in images:
        rows[[5, 40, 95, 110]] = False
    return rows


def fits_of(job):
    return {fit.inputs: fit for fit in fit_target(job)}


def changed(job, name, rows=slice(None)):
    features = {k: v.copy() for k, v in job.features.items()}
    features[name][rows] = np.random.default_rng(9).normal(5, 7, features[name][rows].shape)
    return replace(job, features=features)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
@pytest.mark.parametrize("name", list("abcd"))
def test_a_cell_uses_its_own_features_only(kind, name):
    first = job(kind)
    before, after = fits_of(first), fits_of(changed(first, name))
    for inputs, (images, traits) in INPUTS.items():
        mine = name in images + traits
        assert mine != (before[inputs].scores.tobytes() == after[inputs].scores.tobytes()), inputs
        same = before[inputs].coefficients.tobytes() == after[inputs].coefficients.tobytes()
        assert mine != same, inputs


def altered(job, rows):
    """The same people, but features and answers of some of them are others."""
    for name in "abcd":
        job = changed(job, name, rows)
    return replace(job, y=np.where(rows, 1 - job.y, job.y))


def assert_same_fits(before, after):
    for inputs in INPUTS:
        one, two = before[inputs], after[inputs]
        assert one.coefficients.tobytes() == two.coefficients.tobytes()
        assert one.scores[:TRAINING].tobytes() == two.scores[:TRAINING].tobytes()
        np.testing.assert_array_equal(one.image_penalty, two.image_penalty)
        np.testing.assert_array_equal(one.trait_penalty, two.trait_penalty)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_people_in_test_choose_and_fit_nothing(kind):
    first = job(kind, SEVERAL)
    before, after = fits_of(first), fits_of(altered(first, TESTED))
    assert_same_fits(before, after)
    for inputs in INPUTS:
        assert before[inputs].loss == after[inputs].loss
        assert before[inputs].scores[:HELD].tobytes() == after[inputs].scores[:HELD].tobytes()


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_people_in_validation_fit_nothing_given_the_penalties(kind):
    first = job(kind, ONE_CHOICE)
    before, after = fits_of(first), fits_of(altered(first, first.held))
    assert_same_fits(before, after)
    for inputs in INPUTS:
        assert before[inputs].loss != after[inputs].loss
        assert before[inputs].scores[HELD:].tobytes() == after[inputs].scores[HELD:].tobytes()


def test_people_in_validation_help_to_choose_penalties():
    first = job(penalties=SEVERAL)
    turned = first.y.copy()
    turned[first.held] = 20 - 30 * (turned[first.held] - 20)
    before, after = (fits_of(j) for j in (first, replace(first, y=turned)))
    assert before["A"].image_penalty < after["A"].image_penalty == 1000
    nobody = replace(first, held=np.zeros(N, dtype=bool))
    assert_same_fits(fits_of(nobody), fits_of(replace(nobody, y=turned)))


def test_losses_are_of_people_whom_no_fit_has_seen():
    for kind in ("binary", "continuous"):
        first = job(kind)
        for inputs, fit in fits_of(first).items():
            rows = rows_of(INPUTS[inputs][0])
            training, unseen = rows & ~HELD_OUT, rows & ~TESTED
            centre, spread = KINDS[kind].centre_and_spread(first.y[training])
            errors = ((first.y - centre) / spread - fit.scores)[unseen] ** 2
            weights = KINDS[kind].class_weights(first.y[training], first.y[unseen])
            assert fit.loss == pytest.approx(np.average(errors, weights=weights))


def test_scores_of_people_outside_training_are_the_coefficients_applied():
    first = job()
    for inputs, fit in fits_of(first).items():
        names = sum(INPUTS[inputs], ())
        X = np.hstack([first.features[name] for name in names])
        applied = fit.coefficients[0] + X @ fit.coefficients[1:]
        rows = rows_of(INPUTS[inputs][0])
        held_out = rows & HELD_OUT
        np.testing.assert_allclose(fit.scores[held_out], applied[held_out])
        assert np.isnan(fit.scores[~rows]).all()
        training = rows & ~held_out
        assert np.abs(fit.scores - applied)[training].min() > 1e-12
        assert np.corrcoef(fit.scores[held_out], first.y[held_out])[0, 1] > 0.2


def test_cells_come_in_order_with_their_penalties_and_seconds():
    first = job(penalties=SEVERAL)
    fits = fit_target(first)
    assert [fit.inputs for fit in fits] == list(INPUTS)
    assert [fit.inputs for fit in fit_target(replace(first, cells=first.cells[::-1]))] == list(
        INPUTS
    )[::-1]
    for fit in fits:
        images, traits = INPUTS[fit.inputs]
        assert fit.status == "ok"
        assert (fit.image_penalty in SEVERAL.images) if images else np.isnan(fit.image_penalty)
        assert (fit.trait_penalty in SEVERAL.traits) if traits else np.isnan(fit.trait_penalty)
        assert fit.seconds > 0 and fit.flops > 0


def test_a_feature_of_noise_gets_the_larger_penalty():
    first = job(penalties=SEVERAL)
    useless = replace(first, y=first.y[np.random.default_rng(1).permutation(N)])
    assert {f.image_penalty for f in fit_target(useless) if "A" in f.inputs} == {1000.0}
    assert fits_of(first)["A"].image_penalty < 1000


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [("binary", 1.0, "one class in training"), ("continuous", 7.0, "no variation in training")],
)
def test_a_target_of_one_value_in_training_is_recorded_and_empty(kind, value, reason):
    first = job(kind)
    y = np.where(first.parts >= 0, value, first.y)
    for fit in fit_target(replace(first, y=y)):
        assert fit.status == reason
        assert np.isnan(fit.scores).all()
        assert not len(fit.coefficients)
        assert np.isnan([fit.image_penalty, fit.trait_penalty, fit.loss]).all()


def test_one_class_is_told_from_few_people_and_one_family():
    y, parts = np.array([0.0, 1.0] * 5), np.array([0, 1] * 5)
    assert why_not(y, "binary", parts) == "ok"
    assert why_not(y[:9], "binary", parts[:9]) == "fewer than ten people in training"
    assert why_not(y, "binary", parts * 0) == "one family part in training"


def test_one_class_is_judged_by_people_who_have_the_images():
    first = job("binary")
    lacks_b = ~rows_of(("b",)) & (first.parts >= 0)
    fits = fits_of(replace(first, y=lacks_b.astype(float)))
    assert {inputs for inputs, fit in fits.items() if fit.status == "ok"} == {
        "A", "C", "A + C", "A + C + D",
    }  # fmt: skip
    assert fits["B"].status == fits["A + B"].status == "one class in training"


def test_encodings_that_are_not_finite_are_recorded_and_others_go_on():
    first = job(penalties=SEVERAL)
    features = first.features | {"b": np.full((N, 3), np.nan)}
    fits = fits_of(replace(first, features=features))
    assert fits["B"].status == fits["A + B"].status == "an encoder failed"
    assert np.isnan(fits["A + B"].scores).all()
    for inputs in ("A", "C", "A + C", "A + C + D"):
        assert fits[inputs].status == "ok"
        assert np.isfinite(fits[inputs].scores).all()


def test_a_cell_without_any_column_is_the_mean_of_training():
    first = job()
    empty = replace(first, features=first.features | {"b": np.empty((N, 0))})
    fit = fits_of(empty)["B"]
    assert fit.status == "ok"
    held_out = rows_of(("b",)) & (first.parts < 0)
    np.testing.assert_allclose(fit.scores[held_out], 0, atol=1e-9)


def test_more_choices_and_more_columns_cost_more():
    once, often = (fits_of(job(penalties=p)) for p in (ONE_CHOICE, SEVERAL))
    for inputs in INPUTS:
        assert once[inputs].flops < often[inputs].flops
    assert often["A"].flops < often["A + C"].flops < often["A + C + D"].flops
