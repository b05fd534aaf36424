from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelling_cases import GRID, PARTS, REPEATED, TESTED_TWICE, N, invented_cohort, people_of

from ukb_brain.grid import Cell, Grid
from ukb_brain.training.people import REPEAT, People


def cell(target, *groups):
    return Cell(target, GRID.inputs(groups, ()))


def bare(family, part, fold=0):
    n = len(family)
    eid, family = np.arange(n) + 1, np.asarray(family)
    site = np.zeros(n, dtype=np.int64)
    return People(fold, eid, np.full(n, 2), family, site, site, np.asarray(part), {}, {}, {})


def test_everybody_is_there_once_at_the_first_visit_by_eid(fold, invented):
    np.testing.assert_array_equal(fold.eid, invented.eid)
    assert (fold.instance == 2).all()
    np.testing.assert_array_equal(fold.part, PARTS)
    first = invented.tables["primary.targets"][:N]
    for target in GRID.targets:
        np.testing.assert_array_equal(fold.targets[target], first[target])


def test_test_people_alone_are_there_again_at_later_visits():
    invented = invented_cohort(twice=TESTED_TWICE)
    fold = people_of(invented)
    again = fold.part == REPEAT
    twice = [number for number in TESTED_TWICE if PARTS[number] == "test"]
    assert 0 < len(twice) < len(TESTED_TWICE)
    np.testing.assert_array_equal(fold.eid[again], invented.eid[twice])
    np.testing.assert_array_equal(fold.part[~again], PARTS)
    assert (fold.instance[again] == 3).all()
    later = invented.tables["primary.targets"].set_index(["eid", "instance"])
    for target in GRID.targets:
        expected = later.loc[fold.keys(again), target]
        np.testing.assert_array_equal(fold.targets[target][again], expected)


def test_the_order_of_rows_in_the_tables_changes_nothing(fold, invented):
    shuffled = invented.copy()
    for name, table in shuffled.tables.items():
        shuffled.tables[name] = table.sample(frac=1, random_state=3)
    again = people_of(shuffled)
    for name in ("eid", "instance", "family", "part"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fold, name))
    for name in ("targets", "blocks", "has"):
        old, new = getattr(fold, name), getattr(again, name)
        assert list(old) == list(new)
        for key in old:
            np.testing.assert_array_equal(old[key], new[key])
    assert again.fingerprint == fold.fingerprint


def test_a_block_holds_its_domains_traits_then_their_masks(fold):
    assert list(fold.blocks) == list(GRID.domains)
    for domain, block in fold.blocks.items():
        traits = GRID.targets_of(domain)
        values, masks = np.split(block, 2, axis=1)
        known = np.stack([np.isfinite(fold.targets[trait]) for trait in traits], axis=1)
        np.testing.assert_array_equal(masks, ~known)
        assert (values[~known] == 0).all()
        assert np.abs(values[fold.train].mean(axis=0)).max() < 1e-6


def test_a_group_needs_all_its_modalities(invented):
    changed = invented.copy()
    quality = changed.tables["primary.quality"]
    quality["status"] = "ok"
    broken = (quality["eid"] == invented.eid[3]) & (quality["modality"] == "flair")
    quality.loc[broken, "status"] = "broken"
    absent = (quality["eid"] == invented.eid[4]) & (quality["modality"] == "dwi")
    changed.tables["primary.quality"] = quality[~absent]
    people = people_of(changed)
    expected = {"structural": [3], "diffusion": [4], "functional": []}
    assert {g: np.flatnonzero(~has).tolist() for g, has in people.has.items()} == expected


def test_a_second_visit_does_not_stand_in_for_the_first(invented):
    changed = invented.copy()
    quality = changed.tables["primary.quality"]
    mine = quality["eid"] == invented.eid[0]
    quality.loc[mine, "status"] = np.where(quality.loc[mine, "instance"] == 3, "ok", "missing")
    assert REPEATED > 0
    assert not any(has[0] for has in people_of(changed).has.values())


def test_people_are_usable_who_have_the_target_and_all_groups(fold):
    n = len(fold.eid)
    has = {group: np.ones(n, dtype=bool) for group in GRID.imaging}
    has["diffusion"][[1, 2]] = False
    worry = np.zeros(n)
    worry[[2, 5]] = np.nan
    people = replace(fold, has=has, targets=fold.targets | {"worry": worry})
    assert np.flatnonzero(~people.usable(cell("worry"))).tolist() == [2, 5]
    assert np.flatnonzero(~people.usable(cell("worry", "diffusion"))).tolist() == [1, 2, 5]
    assert np.flatnonzero(~people.usable(cell("sex", "structural", "diffusion"))).tolist() == [1, 2]
    assert people.keys(~people.usable(cell("worry"))) == [(9_000_003, 2), (9_000_006, 2)]


def test_only_the_fold_that_is_asked_for_counts(invented):
    both = invented.copy()
    splits = both.tables["primary.splits"]
    turned = splits.assign(fold=1, part=splits["part"].to_numpy()[::-1])
    both.tables["primary.splits"] = pd.concat([turned, splits])
    np.testing.assert_array_equal(people_of(both).part, PARTS)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(0, 3))
def test_families_stay_whole_in_a_cross_fit_and_others_are_in_none(seed, n, number):
    rng = np.random.default_rng(seed)
    family = rng.integers(0, 30, 80)
    part = np.where(family % 3 == 0, "test", "train")
    dealt = bare(family, part, number).cross_fits(n)
    assert ((dealt == -1) == (part == "test")).all()
    assert set(dealt[part == "train"]) <= set(range(n))
    assert all(len(set(dealt[family == f])) == 1 for f in set(family))
    kept = rng.random(80) < 0.5
    some = bare(family[kept], part[kept], number).cross_fits(n)
    np.testing.assert_array_equal(some, dealt[kept])


def test_parts_of_a_cross_fit_are_of_like_size_and_differ_between_folds():
    family = np.arange(3000)
    dealt = bare(family, ["train"] * 3000).cross_fits(5)
    assert np.bincount(dealt).min() > 520
    other = bare(family, ["train"] * 3000, fold=1).cross_fits(5)
    assert 0.7 < (dealt != other).mean() < 0.9


@pytest.mark.parametrize("moved", ["a training person", "a test person"])
def test_the_fingerprint_is_of_training_people(fold, moved):
    part = fold.part.copy()
    if moved == "a training person":
        part[0] = "test"
        assert replace(fold, part=part).fingerprint != fold.fingerprint
    else:
        part[-1] = "validation"
        assert replace(fold, part=part).fingerprint == fold.fingerprint
    changed = {target: values + 1 for target, values in fold.targets.items()}
    assert replace(fold, targets=changed).fingerprint == fold.fingerprint


def test_a_fitted_cut_off_is_the_folds_own_and_test_people_do_not_move_it(invented):
    dump = GRID.model_dump()
    fat = dump["targets"]["body_fat"] | {"kind": "binary", "rule": "binned", "quantile": 0.5}
    grid = Grid(**(dump | {"targets": dump["targets"] | {"body_fat": fat}}))
    before = people_of(invented, grid).targets["body_fat"]
    measured = people_of(invented).targets["body_fat"]
    cut = np.nanmedian(measured[PARTS == "train"])
    known = np.isfinite(measured)
    np.testing.assert_array_equal(before[known], measured[known] > cut)
    np.testing.assert_array_equal(np.isfinite(before), known)
    others = invented.of("test")
    after = people_of(invented.overwrite(others), grid).targets["body_fat"]
    kept = ~np.isin(invented.eid, others)
    np.testing.assert_array_equal(after[kept], before[kept])
    assert not np.array_equal(after[~kept], before[~kept], equal_nan=True)
