from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest
from modelling_cases import MODELLING, changed

from ukb_brain.grid import Cell, Inputs
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.training.cells import TargetJob, features_of, fit_heads, why_not
from ukb_brain.training.people import People
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
CELLS = {name: Cell("y", Inputs(*own, name)) for name, own in INPUTS.items()}
ENCODINGS, BLOCKS = ("a", "b", "a+b"), ("c", "d")


@dataclass(frozen=True)
class Case:
    """A target, what is read of people and known of them, and the cells that are fitted."""

    kind: str
    penalties: Penalties
    y: np.ndarray
    part: np.ndarray
    features: dict
    cells: tuple = tuple(CELLS.values())

    @property
    def held(self):
        return self.part == "validation"

    @cached_property
    def job(self):
        people = People(
            fold=0,
            eid=np.arange(N),
            instance=np.full(N, 2),
            family=np.arange(N) // 3,
            site=np.zeros(N, dtype=np.int64),
            phase=np.zeros(N, dtype=np.int64),
            part=self.part,
            targets={"y": self.y},
            blocks={name: self.features[name] for name in BLOCKS},
            has={"a": np.ones(N, dtype=bool), "b": rows_of("b")},
        )
        heads = self.penalties.model_dump(mode="json")
        settings = changed(MODELLING, heads=heads, cross_fits=4)
        return TargetJob("y", self.kind, self.cells, ("a", "b"), people, [], {}, settings)

    def fitted(self):
        return fit_heads(self.job, {name: self.features[name] for name in ENCODINGS})


def case(kind="continuous", penalties=ONE_CHOICE, seed=0):
    rng = np.random.default_rng(seed)
    features = {name: rng.normal(size=(N, 3)) for name in "abcd"}
    y = sum(f[:, 0] for f in features.values()) + rng.normal(size=N)
    y = (y > 0).astype(float) if kind == "binary" else 20 + 4 * y
    part = np.repeat(["train", "validation", "test"], [TRAINING, HELD - TRAINING, N - HELD])
    return Case(kind, penalties, y, part, features | {"a+b": rng.normal(size=(N, 3))})


def rows_of(images):
    """Everybody, but a few who lack b."""
    rows = np.ones(N, dtype=bool)
    if "b" in images:
        rows[[5, 40, 95, 110]] = False
    return rows


def fits_of(case):
    return {cell.inputs.name: fit for cell, fit in case.fitted().items()}


def altered_in(case, name, rows=slice(None)):
    features = {k: v.copy() for k, v in case.features.items()}
    features[name][rows] = np.random.default_rng(9).normal(5, 7, features[name][rows].shape)
    return replace(case, features=features)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
@pytest.mark.parametrize("name", [*ENCODINGS, *BLOCKS])
def test_a_cell_uses_its_own_features_only(kind, name):
    first = case(kind)
    before, after = fits_of(first), fits_of(altered_in(first, name))
    for inputs, cell in CELLS.items():
        mine = name in features_of(cell)
        assert mine != (before[inputs].scores.tobytes() == after[inputs].scores.tobytes()), inputs
        same = before[inputs].coefficients.tobytes() == after[inputs].coefficients.tobytes()
        assert mine != same, inputs


def altered(case, rows):
    """The same people, but features and answers of some of them are others."""
    for name in case.features:
        case = altered_in(case, name, rows)
    return replace(case, y=np.where(rows, 1 - case.y, case.y))


def assert_same_fits(before, after):
    for inputs in INPUTS:
        one, two = before[inputs], after[inputs]
        assert one.coefficients.tobytes() == two.coefficients.tobytes()
        assert one.scores[:TRAINING].tobytes() == two.scores[:TRAINING].tobytes()
        np.testing.assert_array_equal(one.image_penalty, two.image_penalty)
        np.testing.assert_array_equal(one.trait_penalty, two.trait_penalty)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_people_in_test_choose_and_fit_nothing(kind):
    first = case(kind, SEVERAL)
    before, after = fits_of(first), fits_of(altered(first, TESTED))
    assert_same_fits(before, after)
    for inputs in INPUTS:
        assert before[inputs].loss == after[inputs].loss
        assert before[inputs].scores[:HELD].tobytes() == after[inputs].scores[:HELD].tobytes()


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_people_in_validation_fit_nothing_given_the_penalties(kind):
    first = case(kind, ONE_CHOICE)
    before, after = fits_of(first), fits_of(altered(first, first.held))
    assert_same_fits(before, after)
    for inputs in INPUTS:
        assert before[inputs].loss != after[inputs].loss
        assert before[inputs].scores[HELD:].tobytes() == after[inputs].scores[HELD:].tobytes()


def test_people_in_validation_help_to_choose_penalties():
    first = case(penalties=SEVERAL)
    turned = first.y.copy()
    turned[first.held] = 20 - 30 * (turned[first.held] - 20)
    before, after = (fits_of(c) for c in (first, replace(first, y=turned)))
    assert before["A"].image_penalty < after["A"].image_penalty == 1000
    nobody = replace(first, part=np.where(first.held, "test", first.part))
    assert_same_fits(fits_of(nobody), fits_of(replace(nobody, y=turned)))


def test_losses_are_of_people_whom_no_fit_has_seen():
    for kind in ("binary", "continuous"):
        first = case(kind)
        for inputs, fit in fits_of(first).items():
            rows = rows_of(INPUTS[inputs][0])
            training, unseen = rows & ~HELD_OUT, rows & ~TESTED
            centre, spread = KINDS[kind].centre_and_spread(first.y[training])
            errors = ((first.y - centre) / spread - fit.scores)[unseen] ** 2
            weights = KINDS[kind].class_weights(first.y[training], first.y[unseen])
            assert fit.loss == pytest.approx(np.average(errors, weights=weights))


def test_scores_of_people_outside_training_are_the_coefficients_applied():
    first = case()
    for inputs, fit in fits_of(first).items():
        X = np.hstack([first.features[name] for name in features_of(CELLS[inputs])])
        applied = fit.coefficients[0] + X @ fit.coefficients[1:]
        rows = rows_of(INPUTS[inputs][0])
        held_out = rows & HELD_OUT
        np.testing.assert_allclose(fit.scores[held_out], applied[held_out])
        assert np.isnan(fit.scores[~rows]).all()
        training = rows & ~held_out
        assert np.abs(fit.scores - applied)[training].min() > 1e-12
        assert np.corrcoef(fit.scores[held_out], first.y[held_out])[0, 1] > 0.2


def test_cells_come_in_order_with_their_penalties_and_seconds():
    first = case(penalties=SEVERAL)
    fits = fits_of(first)
    assert list(fits) == list(INPUTS)
    assert list(fits_of(replace(first, cells=first.cells[::-1]))) == list(INPUTS)[::-1]
    for inputs, fit in fits.items():
        images, traits = INPUTS[inputs]
        assert fit.status == "ok"
        assert (fit.image_penalty in SEVERAL.images) if images else np.isnan(fit.image_penalty)
        assert (fit.trait_penalty in SEVERAL.traits) if traits else np.isnan(fit.trait_penalty)
        assert fit.seconds > 0 and fit.flops > 0


def test_a_feature_of_noise_gets_the_larger_penalty():
    first = case(penalties=SEVERAL)
    useless = replace(first, y=first.y[np.random.default_rng(1).permutation(N)])
    assert {f.image_penalty for k, f in fits_of(useless).items() if "A" in k} == {1000.0}
    assert fits_of(first)["A"].image_penalty < 1000


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [("binary", 1.0, "one class in training"), ("continuous", 7.0, "no variation in training")],
)
def test_a_target_of_one_value_in_training_is_recorded_and_empty(kind, value, reason):
    first = case(kind)
    y = np.where(HELD_OUT, first.y, value)
    for fit in fits_of(replace(first, y=y)).values():
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
    first = case("binary")
    lacks_b = ~rows_of(("b",)) & ~HELD_OUT
    fits = fits_of(replace(first, y=lacks_b.astype(float)))
    assert {inputs for inputs, fit in fits.items() if fit.status == "ok"} == {
        "A", "C", "A + C", "A + C + D",
    }  # fmt: skip
    assert fits["B"].status == fits["A + B"].status == "one class in training"


def test_encodings_that_are_not_finite_are_recorded_and_others_go_on():
    first = case(penalties=SEVERAL)
    features = first.features | {"b": np.full((N, 3), np.nan)}
    fits = fits_of(replace(first, features=features))
    assert fits["B"].status == fits["A + B"].status == "an encoder failed"
    assert np.isnan(fits["A + B"].scores).all()
    for inputs in ("A", "C", "A + C", "A + C + D"):
        assert fits[inputs].status == "ok"
        assert np.isfinite(fits[inputs].scores).all()


def test_a_cell_without_any_column_is_the_mean_of_training():
    first = case()
    empty = replace(first, features=first.features | {"b": np.empty((N, 0))})
    fit = fits_of(empty)["B"]
    assert fit.status == "ok"
    held_out = rows_of(("b",)) & HELD_OUT
    np.testing.assert_allclose(fit.scores[held_out], 0, atol=1e-9)


def test_more_choices_and_more_columns_cost_more():
    once, often = (fits_of(case(penalties=p)) for p in (ONE_CHOICE, SEVERAL))
    for inputs in INPUTS:
        assert once[inputs].flops < often[inputs].flops
    assert often["A"].flops < often["A + C"].flops < often["A + C + D"].flops
