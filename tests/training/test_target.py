from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelling_cases import CONSTANT, GRID, MODELLING, N, changed
from pydantic import ValidationError

from ukb_brain.grid import Grid
from ukb_brain.ledger.artifact import Model, write_model
from ukb_brain.statistics.inputs.judged import judged_inputs
from ukb_brain.statistics.kinds import BINARY, KINDS
from ukb_brain.training.cells import CellFit, TargetJob, encodings_used, joined
from ukb_brain.training.inputs import subsets
from ukb_brain.training.items import cells_by_target
from ukb_brain.training.results import FINAL, UNREFINED, predicted_rows
from ukb_brain.training.target import (
    blend,
    choose_shares,
    climb,
    fit_cells_of_target,
    least_on_simplex,
    scale_encodings,
    shares_used,
)

GROUPS = tuple(GRID.imaging)
CELLS = cells_by_target(GRID)
BOTH = ("linear", "kernels")
FITTED = [target for target in GRID.targets if target not in CONSTANT]
OUTPUTS, PARTS = len(GRID.targets), MODELLING.encoders.cross_fits
ONE_CHOICE = changed(
    MODELLING,
    heads={"images": [1.0], "traits": [0.1]},
    strategies=["linear", "amortised"],
    ladder=False,
)


@pytest.fixture
def equal_shares(monkeypatch):
    """Shares are chosen over all cells of a target: here nothing of other cells shall come in."""
    monkeypatch.setattr(
        "ukb_brain.training.target.choose_shares",
        lambda job, members: dict.fromkeys(members, 1 / len(members)),
    )


def read_of(people, seed=0):
    """What is read of everybody from the scans of each group."""
    rng = np.random.default_rng(seed)
    known = np.nan_to_num(people.targets["body_fat"], nan=30.0)
    return {group: rng.normal(size=N) + (known - 30) / 5 for group in GROUPS}


def write_kernels(root, people, read, strategies):
    """Models of all sets of groups whose groups are read: means of those, and of blocks."""
    paths = {}
    for groups in {cell.inputs.groups for cell in GRID.cells}:
        if not set(groups) <= set(read):
            continue
        cells = [cell for cell in GRID.cells if cell.inputs.groups == groups]
        arrays, rows = {}, []
        for cell in cells:
            parts = [read[group] for group in groups]
            parts += [people.blocks[block][:, 0] for block in cell.inputs.blocks]
            status = "one class in training" if cell.target in CONSTANT else "ok"
            for strategy in strategies:
                row = {
                    "strategy": strategy, "target": cell.target, "inputs": cell.inputs.name,
                    "status": status,
                }  # fmt: skip
                if status == "ok":
                    # Kernels of one target are others, and else those of the linear strategy.
                    like = strategy if cell.target == "age" else "linear"
                    mean = np.mean(parts, axis=0)
                    mean = np.where(people.having(groups), mean, np.nan)
                    scores = np.sin(mean) if like == "kernels" else mean
                    arrays[f"scores/{like}/{cell.target}/{cell.inputs.name}"] = scores
                    row |= {
                        "like": like, "composition": "linear", "logistic": False,
                        "image_penalty": 1.0, "trait_penalty": None, "loss": 0.5,
                        "seconds": 0.1, "flops": 1e9,
                    }  # fmt: skip
                rows.append(row)
        paths[joined(groups)] = root / f"kernels-{joined(groups)}"
        write_model(paths[joined(groups)], Model(arrays, {"fits": rows}))
    return paths


def outputs_of(people, seed=1):
    """What encoders give: NaN for people in their training, and for who lacks a group."""
    rng = np.random.default_rng(seed)
    known = np.nan_to_num(people.targets["body_fat"], nan=30.0)
    outputs = rng.normal(size=(PARTS, len(subsets(GROUPS)), N, OUTPUTS))
    outputs[..., 0] += (known - 30) / 5
    parts = people.cross_fits(PARTS)
    for part in range(PARTS):
        outputs[part][:, people.train & (parts != part)] = np.nan
    for k, chosen in enumerate(subsets(GROUPS)):
        outputs[:, k, ~people.having(chosen)] = np.nan
    return outputs.astype(np.float32)


@pytest.fixture
def job_of(fold, tmp_path):
    """Write what kernels and encoders give, and make the job of a target that rests on it."""
    made = []

    def make(target, settings=ONE_CHOICE, people=fold, read=None, members=None):
        root = tmp_path / str(len(made))
        made.append(root)
        read = read_of(fold) if read is None else read
        members = [outputs_of(fold)] if members is None else members
        encoders = []
        kernels = write_kernels(root, people, read, [s for s in BOTH if s in settings.strategies])
        for member, outputs in enumerate(members):
            encoders.append({})
            for part, own in enumerate(outputs):
                if own is not None:
                    encoders[-1][part] = root / f"{member}-{part}"
                    write_model(encoders[-1][part], Model({"outputs": own}))
        return TargetJob(
            target,
            GRID.targets[target].kind,
            CELLS[target],
            GROUPS,
            people,
            encoders,
            kernels,
            settings,
        )

    return make


def fit(job, tmp_path):
    """Model of a target, with the rows of its card by strategy, seed and inputs."""
    model = fit_cells_of_target(job, tmp_path)
    rows = {(r["strategy"], r["seed"], r["inputs"]): r for r in model.card["cells"]}
    assert len(rows) == len(model.card["cells"])
    return model, rows


def prediction(model, target, strategy, inputs, member=0):
    return model.arrays[f"predictions/{strategy}/{member}/{target}/{inputs}"]


# ---- which features a cell has ------------------------------------------------------------------


def test_encodings_of_a_cell_are_of_its_groups_and_of_all_of_them_together():
    assert encodings_used(()) == ()
    assert encodings_used(("dwi",)) == ("dwi",)
    assert encodings_used(("t1", "dwi")) == ("t1", "dwi", "t1+dwi")


@pytest.mark.parametrize("name", ["structural", "dwi"])
def test_a_domain_is_not_called_like_what_its_features_would_replace(name):
    settings = GRID.model_dump()
    settings["domains"][name] = {"letter": "X"}
    settings["targets"]["more"] = settings["targets"]["age"] | {"domain": name, "name": "More"}
    with pytest.raises(ValidationError, match="and domains must differ"):
        Grid(**settings)


@pytest.mark.parametrize("target", list(GRID.targets))
def test_every_cell_is_fitted_by_both_strategies_or_says_why_not(job_of, tmp_path, target):
    model, rows = fit(job_of(target), tmp_path)
    expected = {(s, 0, c.inputs.name) for s in ("linear", "amortised") for c in CELLS[target]}
    assert set(rows) == expected
    assert {row["target"] for row in rows.values()} == {target}
    status = "one class in training" if target in CONSTANT else "ok"
    assert {row["status"] for row in rows.values()} == {status}
    predicted = {name for name in model.arrays if name.startswith("predictions/")}
    fitted = set() if target in CONSTANT else expected
    assert predicted == {f"predictions/{s}/{m}/{target}/{i}" for s, m, i in fitted}


@pytest.mark.parametrize("target", ["body_fat", "age"])
def test_cells_that_gains_are_judged_on_are_kept_as_they_were_before_the_ladder(
    job_of, tmp_path, target
):
    with_ladder, without = (
        fit(job_of(target, changed(ONE_CHOICE, ladder=ladder)), tmp_path)[0].arrays
        for ladder in (True, False)
    )
    judged = {one.name for one in judged_inputs([cell.inputs for cell in CELLS[target]])}
    kept = {name for name in with_ladder if name.startswith("unrefined/")}
    assert kept == {f"unrefined/amortised/0/{target}/{name}" for name in judged}
    assert 1 < len(judged) < len(CELLS[target])
    for name in kept:
        np.testing.assert_array_equal(with_ladder[name], without[name.replace(UNREFINED, FINAL)])
    assert not any(name.startswith("unrefined/") for name in without)


@pytest.mark.parametrize("target", FITTED)
def test_a_cell_has_a_coefficient_for_each_of_its_columns_and_no_other(job_of, tmp_path, target):
    model, _ = fit(job_of(target), tmp_path)
    traits = {domain: 2 * len(GRID.targets_of(domain)) for domain in GRID.domains}
    for cell in CELLS[target]:
        own = 1 + sum(traits[block] for block in cell.inputs.blocks)
        encodings = OUTPUTS * len(encodings_used(cell.inputs.groups))
        name = cell.inputs.name
        assert len(model.arrays[f"coefficients/amortised/0/{name}"]) == own + encodings


@pytest.mark.usefixtures("equal_shares")
@pytest.mark.parametrize("group", GROUPS)
def test_what_is_seen_in_other_groups_reaches_no_cell(job_of, fold, tmp_path, group):
    """People swap what their scans of one group give; cells without the group stay as they are."""
    read = read_of(fold)
    outputs = outputs_of(fold)
    swapped = outputs.copy()
    for k, chosen in enumerate(subsets(GROUPS)):
        if group in chosen:
            swapped[:, k] = np.where(np.isnan(outputs[:, k]), np.nan, 3 - outputs[:, k] ** 2)
    other = read | {group: read[group][::-1] ** 2}
    before = fit(job_of("body_fat"), tmp_path)[0]
    after = fit(job_of("body_fat", read=other, members=[swapped]), tmp_path)[0]
    for cell in CELLS["body_fat"]:
        for strategy in ("linear", "amortised"):
            pair = [prediction(m, "body_fat", strategy, cell.inputs.name) for m in (before, after)]
            same = pair[0].tobytes() == pair[1].tobytes()
            assert same == (group not in cell.inputs.groups), (strategy, cell)


@pytest.mark.usefixtures("equal_shares")
def test_with_the_ladder_a_cell_still_has_nothing_of_other_groups(job_of, fold, tmp_path):
    settings = changed(ONE_CHOICE, ladder=True)
    read = read_of(fold)
    other = read | {"diffusion": read["diffusion"][::-1] ** 2}
    before, after = (
        fit(job_of("body_fat", settings, read=each), tmp_path)[0] for each in (read, other)
    )
    for cell in CELLS["body_fat"]:
        if "diffusion" not in cell.inputs.groups:
            pair = [
                prediction(m, "body_fat", "amortised", cell.inputs.name) for m in (before, after)
            ]
            assert pair[0].tobytes() == pair[1].tobytes()


# ---- encodings ----------------------------------------------------------------------------------


def test_encodings_are_scaled_by_training_people(fold):
    rng = np.random.default_rng(0)
    outputs = 5 + 3 * rng.normal(size=(len(subsets(GROUPS)), N, 4))
    outputs[..., 3] = 2.0
    scaled = scale_encodings(outputs, fold, GROUPS)
    other = outputs.copy()
    other[:, ~fold.train] = 1e6
    again = scale_encodings(other, fold, GROUPS)
    for chosen in subsets(GROUPS):
        mine = scaled[joined(chosen)][fold.train & fold.having(chosen)]
        np.testing.assert_allclose(mine.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(mine.std(axis=0), [1, 1, 1, 0], atol=1e-12)
        now = again[joined(chosen)][fold.train & fold.having(chosen)]
        assert now.tobytes() == mine.tobytes()


def test_encodings_of_groups_that_nobody_in_training_has_stay_as_they_are(fold):
    nobody = replace(fold, has=fold.has | {"diffusion": ~fold.train})
    outputs = np.full((len(subsets(GROUPS)), N, 2), 3.0)
    assert (scale_encodings(outputs, nobody, GROUPS)["diffusion"] == 3).all()


# ---- who chooses, who fits ----------------------------------------------------------------------


def altered(fold, rows):
    """People of whom every answer, block and scan is another, and what is read of them."""
    change = {t: np.where(rows, 1 - 3 * y, y) for t, y in fold.targets.items()}
    for t in GRID.targets:
        if GRID.targets[t].kind == "binary":
            change[t] = np.where(rows, 1 - fold.targets[t], fold.targets[t])
    blocks = {d: np.where(rows[:, None], 2 - b, b) for d, b in fold.blocks.items()}
    read = {g: np.where(rows, -2 * x, x) for g, x in read_of(fold).items()}
    outputs = np.where(rows[:, None], -2 * outputs_of(fold), outputs_of(fold))
    return replace(fold, targets=change, blocks=blocks), read, outputs


NOT_OF_FITTING = ("seconds", "loss")


def assert_same_fits(before, after, but=NOT_OF_FITTING):
    """Everything but predictions; of the rows, everything that is fitted or chosen."""
    for name, array in before[0].arrays.items():
        if not name.startswith((f"{FINAL}/", f"{UNREFINED}/")):
            assert array.tobytes() == after[0].arrays[name].tobytes(), name
    for key, row in before[1].items():
        kept = ({k: v for k, v in r.items() if k not in but} for r in (row, after[1][key]))
        assert next(kept) == next(kept), key


@pytest.mark.parametrize("target", ["age", "smoking"])
def test_people_in_test_choose_and_fit_nothing(job_of, fold, tmp_path, target):
    tested = fold.part == "test"
    people, read, outputs = altered(fold, tested)
    before = fit(job_of(target, MODELLING), tmp_path)
    after = fit(job_of(target, MODELLING, people, read, [outputs]), tmp_path)
    assert_same_fits(before, after, ("seconds",))
    kept = (fold.part == "validation")[predicted_rows(fold)]
    for name, array in before[0].arrays.items():
        if name.startswith((f"{FINAL}/", f"{UNREFINED}/")):
            assert array[kept].tobytes() == after[0].arrays[name][kept].tobytes(), name
            assert array[~kept].tobytes() != after[0].arrays[name][~kept].tobytes(), name


@pytest.mark.usefixtures("equal_shares")
@pytest.mark.parametrize("target", ["age", "smoking"])
def test_people_in_validation_fit_nothing_given_the_choices(job_of, fold, tmp_path, target):
    people, read, outputs = altered(fold, fold.part == "validation")
    before = fit(job_of(target), tmp_path)
    after = fit(job_of(target, ONE_CHOICE, people, read, [outputs]), tmp_path)
    assert_same_fits(before, after, (*NOT_OF_FITTING, "cross_fit_loss"))
    for key, row in before[1].items():
        # That of linear cells is what their kernels say.
        same = row["cross_fit_loss"] == after[1][key]["cross_fit_loss"]
        assert same == (key[0] == "linear"), key


def test_people_in_training_change_everything(job_of, fold, tmp_path):
    rows = np.arange(N) == 3
    people, read, outputs = altered(fold, rows)
    before = fit(job_of("age"), tmp_path)[0]
    after = fit(job_of("age", ONE_CHOICE, people, read, [outputs]), tmp_path)[0]
    for name, array in before.arrays.items():
        assert array.tobytes() != after.arrays[name].tobytes(), name


# ---- blends -------------------------------------------------------------------------------------


def right_for(job, good, seed=3):
    """Fits whose scores are right for people left out where they are good, and noise elsewhere."""
    rng = np.random.default_rng(seed)
    fits = {}
    for cell in job.cells:
        training = job.people.usable(cell) & job.people.train
        status = "one class in training" if job.target in CONSTANT else "ok"
        right = np.zeros(N)
        if status == "ok":
            centre, spread = KINDS[job.kind].centre_and_spread(job.y[training])
            right = (job.y - centre) / spread
        scores = np.where(job.people.usable(cell), right if good else rng.normal(size=N), np.nan)
        fits[cell] = CellFit(status, scores, loss=0.5)
    return fits


@pytest.mark.parametrize("target", list(GRID.targets))
def test_the_better_strategy_gets_the_larger_share(job_of, target):
    job = job_of(target)
    good, bad = (right_for(job, g) for g in (True, False))
    for names in (("one", "two"), ("two", "one")):
        shares = choose_shares(job, dict(zip(names, (good, bad), strict=True)))
        # Where nothing could be fitted, none is better.
        assert shares[names[0]] == (0.5 if target in CONSTANT else pytest.approx(1, abs=0.05))
        assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("target", FITTED)
def test_strategies_whose_errors_differ_are_mixed(job_of, target):
    job = job_of(target)
    right, noise = right_for(job, True), np.random.default_rng(0).normal(size=(2, N))
    members = {
        name: {k: replace(v, scores=v.scores + error) for k, v in right.items()}
        for name, error in (("a", noise[0]), ("b", noise[1]), ("c", -noise.sum(axis=0)))
    }
    shares = choose_shares(job, members)
    np.testing.assert_allclose(list(shares.values()), 1 / 3, atol=1e-6)


def test_shares_are_those_with_the_least_weighted_error_of_people_left_out(job_of, fold):
    job = job_of("smoking")
    # Of very different worth, so that nearly all of the best shares is kept.
    heads, linear = right_for(job, False, 4), right_for(job, True)
    rng = np.random.default_rng(6)
    linear = {k: replace(v, scores=v.scores + rng.normal(size=N) / 2) for k, v in linear.items()}
    grid = np.linspace(0, 1, 1001)
    losses, gains = np.zeros(len(grid)), []
    images = [cell for cell in job.cells if cell.inputs.groups]
    for cell in images:
        usable = fold.usable(cell)
        rows = usable & (fold.part != "test")
        weights = BINARY.class_weights(job.y[usable & fold.train], job.y[rows])
        head, line = heads[cell].scores[rows], linear[cell].scores[rows]
        y = 2 * job.y[rows] - 1
        errors = np.stack([(y - s * head - (1 - s) * line) ** 2 for s in grid])
        losses += errors @ weights / weights.sum() / len(images)
        gains.append((rows, errors, weights / weights.sum()))
    best = int(np.argmin(losses))
    gain = np.zeros(N)
    for rows, errors, weights in gains:
        gain[rows] += weights * (errors[500] - errors[best]) / len(images)
    known = gain[gain != 0]
    kept = 1 - len(known) * known.var() / known.sum() ** 2
    expected = 0.5 + kept * (grid[best] - 0.5)
    assert 0.5 < kept < 1
    found = choose_shares(job, {"head": heads, "linear": linear})
    assert found["head"] == pytest.approx(expected, abs=2e-3)


def test_equal_strategies_share_equally(job_of):
    job = job_of("age")
    same = right_for(job, False)
    shares = choose_shares(job, {"a": same, "b": same, "c": same})
    np.testing.assert_allclose(list(shares.values()), 1 / 3, atol=1e-9)


@given(st.integers(2, 4), st.integers(0, 10_000))
def test_shares_are_the_best_of_all_on_the_simplex(m, seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(m, m))
    found = least_on_simplex(root @ root.T)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    others = rng.dirichlet(np.full(m, 0.5), size=500)
    losses = np.einsum("ki,ij,kj->k", others, root @ root.T, others)
    assert found @ root @ root.T @ found <= losses.min() + 1e-6


def test_people_in_test_choose_no_shares_and_those_in_validation_do(job_of, fold):
    job = job_of("age")
    good, bad = (right_for(job, g) for g in (True, False))

    def share(fits, job=job):
        return choose_shares(job, {"good": fits, "bad": bad})["good"]

    def spoilt(rows):
        """The good fit is far off for some people."""
        return share({k: replace(v, scores=np.where(rows, 1e5, v.scores)) for k, v in good.items()})

    whole = share(good)
    assert whole > 0.95
    assert spoilt(fold.part == "test") == whole
    assert spoilt(fold.part == "validation") < 0.5
    y = np.where(fold.part == "test", np.nan, job.y)
    unknown = replace(job, people=replace(fold, targets=fold.targets | {"age": y}))
    assert share(good, unknown) == whole


def test_cells_that_could_not_be_fitted_choose_no_shares(job_of):
    job = job_of("age")
    good, bad = (right_for(job, g) for g in (True, False))
    broken = {k: replace(v, status="broken", scores=np.full(N, np.nan)) for k, v in good.items()}
    first = next(cell for cell in job.cells if cell.inputs.groups)
    failed = bad | {first: broken[first]}
    assert choose_shares(job, {"a": good, "b": failed})["a"] > 0.95
    assert choose_shares(job, {"a": broken, "b": good, "c": bad})["b"] > 0.95
    assert choose_shares(job, {"a": broken, "b": good})["a"] == 0


def test_a_blend_is_an_average_and_falls_back_on_what_could_be_fitted():
    head = CellFit("ok", np.array([1.0, 2.0]), np.ones(3), 0.1, 0.2, 0.4, 2.0, 10.0)
    line = replace(head, scores=np.array([3.0, 0.0]), coefficients=np.ones(9), loss=0.8, seconds=1)
    chosen = {"head": 0.25, "linear": 0.75}

    def mixed(one, two):
        fits = {"head": one, "linear": two}
        used = shares_used(fits, chosen)
        return blend(fits, used), used

    fit, used = mixed(head, line)
    np.testing.assert_allclose(fit.scores, [2.5, 0.5])
    assert (fit.loss, fit.seconds, fit.image_penalty) == (pytest.approx(0.7), 3, 0.1)
    assert fit.flops == 20
    assert used == chosen
    broken, failed = replace(line, status="broken"), replace(head, status="its encoder failed")
    fit, used = mixed(head, broken)
    np.testing.assert_allclose(fit.scores, head.scores)
    assert used == {"head": 1, "linear": 0}
    fit, used = mixed(failed, line)
    np.testing.assert_allclose(fit.scores, line.scores)
    assert used == {"head": 0, "linear": 1}
    # What has no share has all of it where nothing else could be fitted.
    assert shares_used({"head": head, "linear": broken}, {"head": 0.0, "linear": 1.0}) == used | {
        "head": 1,
        "linear": 0,
    }
    assert mixed(failed, broken)[0].status == "its encoder failed"


# ---- the ladder ---------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["age", "smoking"])
def test_on_the_ladder_a_cell_is_a_mean_of_fitted_cells_of_its_subsets(job_of, fold, target):
    job = job_of(target)
    fits = right_for(job, False)
    right = right_for(job, True)
    fits = {c: replace(f, scores=0.3 * f.scores + 0.3 * right[c].scores) for c, f in fits.items()}
    climbed, rungs = climb(job, fits)
    own_units, by_name = {}, {cell.inputs.name: cell for cell in job.cells}
    for cell, each in fits.items():
        centre, spread = KINDS[job.kind].centre_and_spread(job.y[fold.usable(cell) & fold.train])
        own_units[cell.inputs.name] = centre + spread * each.scores
    known = np.isfinite(job.y) & fold.train
    centre, spread = KINDS[job.kind].centre_and_spread(job.y[known])
    averaged = 0
    for cell, each in climbed.items():
        weights = rungs[cell].weights
        assert sum(weights.values()) == pytest.approx(1)
        inputs = {*cell.inputs.groups, *cell.inputs.blocks}
        for name in weights:
            assert {*by_name[name].inputs.groups, *by_name[name].inputs.blocks} <= inputs
        mean = sum(weight * own_units[name] for name, weight in weights.items())
        # Whoever lacks an input has no score, even if the cell is left to its subsets.
        mean = np.where(fold.usable(cell), mean, np.nan)
        np.testing.assert_allclose(centre + spread * each.scores, mean, atol=1e-9)
        averaged += len(weights) > 1
    assert averaged > len(job.cells) / 2


def test_people_in_test_weigh_nothing_on_the_ladder(job_of, fold):
    job = job_of("age")
    tested = fold.part == "test"
    fits = right_for(job, False)
    other = {c: replace(f, scores=np.where(tested, 99.0, f.scores)) for c, f in fits.items()}
    y = np.where(tested, -5.0, job.y)
    unknown = replace(job, people=replace(fold, targets=fold.targets | {"age": y}))
    before, after = climb(job, fits)[1], climb(unknown, other)[1]
    assert {c: r.weights for c, r in before.items()} == {c: r.weights for c, r in after.items()}


def test_the_ladder_is_noted_and_can_be_left_out(job_of, tmp_path):
    with_it, without = (
        fit(job_of("smoking", changed(ONE_CHOICE, ladder=ladder)), tmp_path)
        for ladder in (True, False)
    )
    for key, row in with_it[1].items():
        on_it = key[0] == "amortised"
        assert ("own_share" in row) == ("mean_of" in row) == on_it
        assert "own_share" not in without[1][key]
        if on_it:
            assert 0 <= row["own_share"] <= 1
    assert any(row.get("own_share", 1) < 1 for row in with_it[1].values())
    for name in (n for n in with_it[0].arrays if n.startswith("predictions/linear")):
        assert with_it[0].arrays[name].tobytes() == without[0].arrays[name].tobytes()


# ---- strategies, ensembles, failures ------------------------------------------------------------


def test_the_linear_strategy_alone_is_what_it_is_beside_the_other(job_of, tmp_path):
    both, _ = fit(job_of("age"), tmp_path)
    alone, rows = fit(job_of("age", changed(ONE_CHOICE, strategies=["linear"])), tmp_path)
    assert {key[0] for key in rows} == {"linear"}
    for name, array in alone.arrays.items():
        assert array.tobytes() == both.arrays[name].tobytes()


def test_each_member_of_an_ensemble_has_its_own_heads_and_blend(job_of, fold, tmp_path):
    members = [outputs_of(fold, seed) for seed in (1, 2)]
    both, rows = fit(job_of("age", members=members), tmp_path)
    for member, outputs in enumerate(members):
        alone, _ = fit(job_of("age", members=[outputs]), tmp_path)
        for cell in CELLS["age"]:
            name = cell.inputs.name
            expected = prediction(alone, "age", "amortised", name)
            found = prediction(both, "age", "amortised", name, member)
            assert found.tobytes() == expected.tobytes()
    seeds = {strategy: {key[1] for key in rows if key[0] == strategy} for strategy, *_ in rows}
    assert seeds == {"linear": {0}, "amortised": {0, 1}}


@pytest.mark.usefixtures("equal_shares")
@pytest.mark.parametrize("lost", ["is not there", "diverged"])
@pytest.mark.parametrize("how_many", [1, PARTS])
def test_where_an_encoder_failed_cells_fall_back_on_linear(job_of, fold, tmp_path, lost, how_many):
    whole = outputs_of(fold)
    gone = [None if lost == "is not there" else np.full_like(whole[0], np.nan)] * how_many
    sound, _ = fit(job_of("body_fat"), tmp_path)
    model, rows = fit(job_of("body_fat", members=[[*whole[how_many:], *gone]]), tmp_path)
    for cell in CELLS["body_fat"]:
        name = cell.inputs.name
        linear = prediction(model, "body_fat", "linear", name)
        assert linear.tobytes() == prediction(sound, "body_fat", "linear", name).tobytes()
        fallen = prediction(model, "body_fat", "amortised", name)
        row = rows["amortised", 0, name]
        assert row["status"] == "ok"
        # Cells of traits alone have a head without any encoder.
        assert row["head_share"] == (0 if cell.inputs.groups else 0.5)
        if cell.inputs.groups:
            assert fallen.tobytes() == linear.tobytes()
            assert f"coefficients/amortised/0/{name}" not in model.arrays


@pytest.mark.usefixtures("equal_shares")
def test_where_kernels_failed_cells_say_so_and_heads_stand_alone(job_of, fold, tmp_path):
    read = read_of(fold)
    del read["diffusion"]
    _, rows = fit(job_of("age", read=read), tmp_path)
    for cell in CELLS["age"]:
        hit = "diffusion" in cell.inputs.groups
        name = cell.inputs.name
        assert rows["linear", 0, name]["status"] == ("its kernels failed" if hit else "ok")
        assert rows["amortised", 0, name]["status"] == "ok"
        assert rows["amortised", 0, name]["head_share"] == (1.0 if hit else 0.5)
    nothing = [[None] * PARTS]
    _, rows = fit(job_of("age", read=read, members=nothing), tmp_path)
    for cell in CELLS["age"]:
        expected = "an encoder failed" if "diffusion" in cell.inputs.groups else "ok"
        assert rows["amortised", 0, cell.inputs.name]["status"] == expected


@pytest.mark.parametrize("target", ["age", "body_fat"])
def test_kernels_are_read_where_they_are_kept(job_of, tmp_path, target):
    """What both strategies chose is kept under the name of the first."""
    settings = changed(ONE_CHOICE, strategies=["linear", "kernels"])
    model, rows = fit(job_of(target, settings), tmp_path)
    assert {key[0] for key in rows} == {"linear", "kernels"}
    for cell in CELLS[target]:
        name = cell.inputs.name
        pair = [prediction(model, target, strategy, name) for strategy in BOTH]
        assert rows["kernels", 0, name]["image_penalty"] == 1
        assert (pair[1].tobytes() == pair[0].tobytes()) == (target != "age")
