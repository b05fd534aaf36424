from dataclasses import replace

import numpy as np
import pytest
from reporting_cases import study_grid
from statsmodels.stats.multitest import multipletests

from ukb_brain.errors import InputError
from ukb_brain.statistics.certainty.delong import paired_delong
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.inputs.comparisons import difference
from ukb_brain.statistics.inputs.judged import ALL_IMAGES, judged_inputs, judged_pairs
from ukb_brain.statistics.inputs.nested_pairs import (
    NO_SCORE,
    SAME_SCORES,
    TOO_FEW,
    adds_table,
    compare_pairs,
    comparison_table,
)
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import headline
from ukb_brain.statistics.scores.target_predictions import TargetPredictions
from ukb_brain.statistics.tested import Tested
from ukb_brain.tables import reported

GRID = study_grid()
N, DRAWS, MARGIN = 120, 300, 0.03


def cells_of(target):
    return tuple(cell.inputs for cell in GRID.cells if cell.target == target)


def invented(target, seed=0):
    """Every cell reads the same latent, and the functional group adds to it."""
    rng = np.random.default_rng(seed)
    inputs = cells_of(target)
    latent, extra = rng.normal(size=(2, N))
    total = latent + extra + 0.3 * rng.normal(size=N)
    kind = GRID.targets[target].kind
    read = [latent + extra * ("functional" in one.groups) for one in inputs]
    y = (total > 0) * 1.0 if kind == "binary" else total
    predicted = np.column_stack(read)
    return people_of(target, y, predicted, rng.integers(0, 2, N), np.arange(N) // 2)


def people_of(target, y, predicted, fold, family):
    n, inputs = len(y), cells_of(target)
    names = {"target": target, "kind": GRID.targets[target].kind}
    return TargetPredictions(
        **names,
        inputs=tuple(one.name for one in inputs),
        visit=np.column_stack([np.arange(n), np.full(n, 2)]),
        family=family,
        fold=fold,
        y=y,
        predicted=predicted,
        threshold=np.zeros((2, len(inputs))),
        folds=(0, 1),
    )


def compared(tested, draws=None, **more):
    """Pairs of a target, as one family of tests."""
    pairs = compare_pairs(tested, cells_of(tested.target), draws or FAMILIES, MARGIN, **more)
    return [pair | {"tests": "all"} for pair in pairs]


FAMILIES = FamilyDraws(range(N), DRAWS, seed=3)
WEIGHTS = FAMILIES.weights


def test_pairs_are_the_fullest_cell_and_it_without_a_part():
    groups, domains = set(GRID.imaging), set(GRID.domains)
    for target, parts in (("age", groups), ("hypertension", groups | domains - {"disease"})):
        inputs = cells_of(target)
        pairs = judged_pairs(inputs)
        full = {(p.larger, *inputs[p.larger].groups, *inputs[p.larger].blocks) for p in pairs}
        ((at, *of_full),) = full
        assert set(of_full) == parts
        assert at == len(inputs) - 1
        for pair in pairs:
            small = inputs[pair.smaller]
            lacking = set(of_full) - {*small.groups, *small.blocks}
            assert lacking == (groups if pair.part == ALL_IMAGES else {pair.part})
        # The base block is never missing; without it a target of the base domain has no cell.
        told = {*groups, *(domains - {"disease", "constitutional"}), ALL_IMAGES}
        assert [p.part for p in pairs] == sorted(
            groups if target == "age" else told,
            key=[*GRID.imaging, *GRID.domains, ALL_IMAGES].index,
        )


def test_cells_that_are_kept_are_those_of_pairs_and_the_least_blocks():
    kept = judged_inputs(cells_of("age"))
    assert [len(one.groups) for one in kept] == [2, 2, 2, 3]
    kept = judged_inputs(cells_of("hypertension"))
    bare = [one for one in kept if not one.groups]
    assert {one.blocks for one in bare} == {
        ("constitutional",),
        ("constitutional", "serology", "psychology"),
    }
    assert len(kept) == 1 + 5 + len(bare) + 1
    assert judged_inputs([]) == []


def test_no_pair_without_its_smaller_cell():
    assert judged_pairs(cells_of("age")[-1:]) == []
    assert judged_pairs([]) == []


@pytest.mark.parametrize("target", ["age", "sex"])
def test_rows_are_comparisons_on_the_people_common_to_both(target):
    tested = invented(target)
    rng = np.random.default_rng(1)
    lacking = rng.random(tested.predicted.shape) < 0.1
    noise = 0.5 * rng.normal(size=lacking.shape)
    tested = replace(tested, predicted=np.where(lacking, np.nan, tested.predicted + noise))
    found = compared(tested, level=0.9)
    for pair, row in zip(judged_pairs(cells_of(target)), found, strict=True):
        both = tested.predicted[:, [pair.larger, pair.smaller]]
        common = np.isfinite(both).all(axis=1)
        weights = np.vstack([np.ones(common.sum()), WEIGHTS(tested.family[common])])
        given = tested.y[common], both[common], weights, tested.fold[common]
        skill = KINDS[tested.kind].skill(headline(tested.kind, *given))
        expected = difference(skill[0], skill[1:].T, MARGIN, 0.9)
        assert row["n"] == common.sum() < N
        assert row["skill"] == pytest.approx(skill[0, 0])
        assert row["skill_without"] == pytest.approx(skill[0, 1])
        names = ("low", "high", "se", "p")
        np.testing.assert_allclose(
            [row["difference"], *(row[name] for name in names)],
            [expected.estimate, *(getattr(expected, name) for name in names)],
        )
        assert row["upper"] == pytest.approx(expected.upper)
        assert row["p_equivalent"] == pytest.approx(expected.p_equivalent)
        if tested.kind == "continuous":
            assert np.isnan(row["p_delong"])
            continue
        of = tested.family[common], tested.fold[common]
        areas = paired_delong(tested.y[common], *both[common].T, *of)
        assert row["p_delong"] == pytest.approx(areas.p)


def test_a_cell_is_scored_once_for_the_same_people(monkeypatch):
    tested, asked = invented("age"), []

    def scorer(kind, y, predicted, weights, fold):
        asked.append(predicted.shape[1])
        return headline(kind, y, predicted, weights, fold)

    monkeypatch.setattr("ukb_brain.statistics.inputs.nested_pairs.headline", scorer)
    compared(tested)
    assert asked == [4]


def test_verdicts_tell_what_adds_from_what_does_not():
    rng, targets = np.random.default_rng(5), {}
    for target in ("age", "sex"):
        tested = invented(target)
        # Cells differ a little, as those that were fitted one by one do.
        noise = 0.02 * rng.normal(size=tested.predicted.shape)
        targets[target] = replace(tested, predicted=tested.predicted + noise)
    table = comparison_table(Tested(targets, FAMILIES, GRID), MARGIN)
    functional = table["part"] == "functional"
    assert set(table.loc[functional, "verdict"]) == {"adds"}
    assert set(table.loc[~functional, "verdict"]) == {"no gain"}
    assert (table["high"] > table["low"]).all()
    assert (table["note"] == "").all()
    assert table["target"].tolist() == ["age"] * 3 + ["sex"] * 3
    parts = "structural", "diffusion", "functional"
    assert set(table["tests"]) == {f"constitutional, {part}" for part in parts}
    for _, rows in table.groupby("tests"):
        expected = multipletests(rows["p"], method="holm")[1]
        np.testing.assert_allclose(rows["p_adjusted"], expected)
    assert not any("eid" in name for name in table)


@pytest.mark.parametrize("target", ["age", "sex"])
def test_the_same_predictions_are_no_evidence(target):
    """Without images the latent is read as well: to the test, as if the ladder had tied them."""
    table = adds_table(compared(invented(target)), MARGIN)
    tied = table[table["part"] != "functional"]
    assert (tied["difference"] == 0).all()
    assert tied[["low", "high", "upper", "p_below", "p_equivalent"]].isna().all(axis=None)
    assert set(tied["verdict"]) == {"unknown"}
    assert set(tied["note"]) == {SAME_SCORES}


@pytest.mark.parametrize(("target", "kept"), [("age", 59), ("sex", 100)])
def test_so_few_people_give_no_verdict(target, kept):
    """Nobody measured how the rule errs there: of sex fewer than 20 men are left."""
    tested = invented(target)
    order = np.argsort(tested.y, kind="stable")
    rows = order[: kept if target == "age" else int((tested.y == 0).sum()) + 19]
    few = replace(tested.restricted(rows), fold=0 * tested.fold[rows])
    table = adds_table(compared(few), MARGIN)
    row = table[table["part"] == "functional"].iloc[0]
    assert row["note"] == TOO_FEW
    assert row["verdict"] == "unknown"
    # The numbers are told all the same.
    assert row["low"] < row["difference"] < row["high"]


def test_what_cannot_be_scored_is_empty_and_unknown():
    tested = invented("sex")
    nobody = tested.predicted.copy()
    nobody[:, -2] = np.nan
    one_class = replace(tested, y=np.where(tested.fold == 0, 1.0, tested.y))
    for case, empty in ((replace(tested, predicted=nobody), 1), (one_class, 3)):
        table = adds_table(compared(case), MARGIN)
        lost = table["difference"].isna()
        assert lost.sum() == empty
        assert (table.loc[lost, "verdict"] == "unknown").all()
        assert (table.loc[lost, "note"] == NO_SCORE).all()


def test_bad_input_is_one_line():
    with pytest.raises(InputError, match="above 0"):
        comparison_table(Tested({"age": invented("age")}, FAMILIES, GRID), 0.0)


def test_a_grid_of_single_parts_has_nothing_to_compare():
    tested = invented("age")
    alone = replace(tested, inputs=tested.inputs[:1], predicted=np.zeros((N, 1)))
    nothing = compare_pairs(alone, cells_of("age")[:1], FAMILIES, MARGIN)
    table = adds_table(nothing, MARGIN)
    assert table.empty
    reported.comparisons.validate(table)


@pytest.mark.slow
def test_false_adds_in_a_family_of_equal_cells_are_within_five_per_cent():
    rng, trials, wrong = np.random.default_rng(4), 400, 0
    for trial in range(trials):
        latent = rng.normal(size=N)
        read = 0.4 * (latent[:, None] + rng.normal(size=(N, 1)) + rng.normal(size=(N, 7)))
        tested = people_of("age", latent, read, np.zeros(N, dtype=int), np.arange(N))
        rows = compared(tested, FamilyDraws(range(N), 500, trial))
        wrong += "adds" in set(adds_table(rows, MARGIN)["verdict"])
    print(f"any false adds: {wrong / trials:.3f}")
    assert wrong / trials <= 0.05
