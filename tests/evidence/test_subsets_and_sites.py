from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from modelling_cases import GRID, PARTS, invented_cohort, people_of

from ukb_brain.evidence.folds import (
    Subset,
    kept_families,
    leave_sites_out,
    take_subset,
    take_subsets,
)
from ukb_brain.evidence.settings import Evidence
from ukb_brain.tables.blocks import apply_scaling, fit_scaling
from ukb_brain.tables.splits import Splitting
from ukb_brain.training import items
from ukb_brain.training.people import gather_people

COHORT = invented_cohort()
PEOPLE = people_of(COHORT)
SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)


@given(seed=st.integers(0, 10**6), repeat=st.integers(0, 99), odd=st.booleans())
def test_subsets_are_nested_hold_whole_families_and_have_their_size(seed, repeat, odd):
    # Families of five do not divide the sizes asked for.
    people = replace(PEOPLE, family=np.arange(len(PEOPLE.eid)) // 5) if odd else PEOPLE
    train, held = people.train, people.part == "validation"
    if odd:
        own = people.family + 1000 * (2 * held + (people.part == "test"))
        people = replace(people, family=np.where(train, people.family, own))
    before = np.zeros(len(train), dtype=bool)
    for share in SHARES:
        kept = kept_families(people, Subset(share, repeat), seed)
        assert (kept | ~before).all()
        largest = np.unique(people.family, return_counts=True)[1].max()
        for part in (train, held):
            assert not np.isin(people.family[part & ~kept], people.family[kept]).any()
            assert 0 <= (kept & part).sum() - share * part.sum() < largest
        assert not (kept & ~train & ~held).any()
        before = kept
    np.testing.assert_array_equal(before, train | held)


def test_seed_and_repeat_decide_and_nothing_else():
    subset = Subset(0.5, 1)
    kept = kept_families(PEOPLE, subset, 3)
    shuffled = np.random.default_rng(0).permutation(len(PEOPLE.eid))
    rows = {n: getattr(PEOPLE, n)[shuffled] for n in ("eid", "instance", "family", "part")}
    again = kept_families(replace(PEOPLE, **rows), subset, 3)
    assert set(PEOPLE.eid[kept]) == set(PEOPLE.eid[shuffled][again])
    for other, seed in ((Subset(0.5, 0), 3), (subset, 4)):
        assert (kept_families(PEOPLE, other, seed) != kept).any()


def test_it_is_as_if_the_others_had_never_been_asked():
    """Against the earlier pipelines' own functions, on splits without those who are left out."""
    subset = Subset(0.25, 1)
    found = take_subset(PEOPLE, subset, 3, GRID)
    learnt = PEOPLE.train | (PEOPLE.part == "validation")
    gone = PEOPLE.eid[learnt & ~kept_families(PEOPLE, subset, 3)]
    tables = {name.removeprefix("primary."): table for name, table in COHORT.tables.items()}
    splits = tables["splits"][~tables["splits"]["eid"].isin(gone)].assign(fold=subset.number)
    targets = tables["targets"]
    scaling = fit_scaling(targets, splits, list(GRID.targets))
    blocks = apply_scaling(targets, splits, scaling)
    participants, quality = tables["participants"], tables["quality"]
    tables = (targets, blocks, scaling, splits, participants, quality)
    expected = gather_people(*tables, GRID)[subset.number]
    held = int((PEOPLE.part == "validation").sum())
    assert len(gone) == 48 + held - -(-held // 4)
    assert items.people_fingerprint(found) == items.people_fingerprint(expected)
    assert found.fingerprint == expected.fingerprint != PEOPLE.fingerprint
    for domain, block in expected.blocks.items():
        np.testing.assert_array_equal(found.blocks[domain], block)
        assert len(block) == 16 + (held - (len(gone) - 48)) + 16


def test_people_who_are_tested_stay():
    part, found = "test", take_subset(PEOPLE, Subset(0.125, 0), 3, GRID)
    np.testing.assert_array_equal(found.eid[found.part == part], COHORT.of(part))
    theirs, mine = found.part == part, part == PARTS
    np.testing.assert_array_equal(found.targets["age"][theirs], PEOPLE.targets["age"][mine])


def test_all_of_them_are_the_fold_itself():
    found = take_subset(PEOPLE, Subset(1.0, 0), 3, GRID)
    same = replace(found, fold=PEOPLE.fold)
    assert items.people_fingerprint(same) == items.people_fingerprint(PEOPLE)


def test_subsets_are_named_and_numbered_apart_from_folds_of_splits():
    found = take_subsets(PEOPLE, (0.5, 0.125), 2, 3, GRID)
    expected = [Subset(0.125, 0), Subset(0.125, 1), Subset(0.5, 0), Subset(0.5, 1)]
    assert list(found) == expected
    numbers = [people.fold for people in found.values()]
    assert numbers == [subset.number for subset in found]
    assert len(set(numbers)) == len(found) and min(numbers) > 1000
    assert [int(people.train.sum()) for people in found.values()] == [8, 8, 32, 32]


def test_people_of_a_left_out_site_who_are_set_aside_are_not_tested():
    tables = {name.removeprefix("primary."): t for name, t in COHORT.tables.items()}
    people = tables["participants"]
    people = people.assign(site=np.where(people["family"] % 2, 11026, 11025))
    for aside, folds in ((0, 2), (6, 2), (60, 0)):
        splitting = Splitting(scheme="hold_out", min_per_part=2, set_aside=aside)
        given = (tables["targets"], people, tables["quality"], splitting, GRID, Evidence(), 3)
        found = leave_sites_out(*given)
        assert len(found) == folds
        for one in found.values():
            (site,) = np.unique(one.site[one.part == "test"])
            own = one.part == "set_aside"
            assert own.sum() == aside
            assert (one.site[own] == site).all()
            assert not (one.site[one.train] == site).any()
