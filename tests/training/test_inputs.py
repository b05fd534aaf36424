from dataclasses import replace

import numpy as np
import pytest
import torch
from modelling_cases import EDGES, GRID, N, scans_of

from ukb_brain.training.inputs import LARGEST_HALF, TRAITS, NetworkData, subsets
from ukb_brain.training.trainer import MASK

GROUPS = tuple(GRID.imaging)
EVERYBODY = np.ones(N, dtype=bool)


@pytest.fixture(scope="module")
def scans(stored):
    return scans_of(stored)


def inputs(fold, scans, blocks=(), rows=EVERYBODY, cache_gb=1.0, masked=False):
    return NetworkData(fold, scans, blocks, rows, cache_gb, masked)


def test_subsets_are_all_sets_small_ones_first():
    assert subsets(("a", "b", "c")) == (
        ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c"),
    )  # fmt: skip


def test_everybody_gets_their_own_scans_and_zeros_for_what_they_lack(fold, scans):
    rows = np.random.default_rng(0).permutation(N)
    read = inputs(fold, scans).read(rows, None)
    for group in GROUPS:
        has = fold.has[group][rows]
        assert 0 < has.sum() < N
        keys = [key for key, own in zip(keys_of(fold, rows), has, strict=True) if own]
        expected = scans[group].read(keys).astype(np.float16)
        np.testing.assert_array_equal(read[group].numpy()[has], expected)
        assert (read[group].numpy()[~has] == 0).all()


def keys_of(fold, rows):
    return [(int(fold.eid[row]), int(fold.instance[row])) for row in rows]


def test_shapes_are_of_one_person(fold, scans):
    data = inputs(fold, scans, ("disease",))
    assert data.shapes == {
        "structural": (2, 3, 4, 4),
        "diffusion": (1, 3, 4, 4),
        "functional": (EDGES,),
        TRAITS: (2 * len(GRID.targets_of("disease")),),
    }
    read = data.read(np.arange(5), None)
    assert {name: tuple(read[name].shape[1:]) for name in data.shapes} == data.shapes


@pytest.mark.parametrize("masked", [False, True])
def test_scans_read_anew_are_those_kept_in_memory(fold, scans, masked):
    rows = np.array([3, 90, 41, 2])
    kept, anew = (inputs(fold, scans, cache_gb=gb, masked=masked) for gb in (1.0, 0.0))
    assert kept.kept and not anew.kept
    one, two = (each.read(rows, np.random.default_rng(4)) for each in (kept, anew))
    assert list(one) == list(two)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_nobody_else_is_kept_in_memory(fold, scans):
    some = np.arange(N) % 3 == 0
    data = inputs(fold, scans, rows=some)
    assert {len(held) for held in data.kept.values()} == {some.sum()}
    rows = np.flatnonzero(some)[::-1].copy()
    everybody = inputs(fold, scans).read(rows, None)
    for name, tensor in data.read(rows, None).items():
        assert torch.equal(tensor, everybody[name])


def test_what_is_used_is_what_a_person_has(fold, scans):
    rows = np.arange(N)
    read = inputs(fold, scans).read(rows, None)
    np.testing.assert_array_equal(read[MASK], np.stack([fold.has[g] for g in GROUPS], 1))


def test_training_hides_every_set_alike_and_never_what_is_asked_for_without_training(fold, scans):
    complete = np.flatnonzero(fold.having(GROUPS))
    rows = np.tile(complete, 2100 // len(complete) + 1)[:2100]
    data = inputs(fold, scans, masked=True)
    assert (data.read(complete, None)[MASK] == 1).all()
    used = data.read(rows, np.random.default_rng(0))[MASK].numpy().astype(int)
    numbers = np.bincount(used @ [1, 2, 4], minlength=8)
    # Seven sets of expected 300; never the empty one.
    assert numbers[0] == 0
    assert ((numbers[1:] > 235) & (numbers[1:] < 365)).all()
    unmasked = inputs(fold, scans).read(rows, np.random.default_rng(0))[MASK]
    assert (unmasked == 1).all()


def test_training_never_gives_what_a_person_lacks(fold, scans):
    data, rows = inputs(fold, scans, masked=True), np.arange(N)
    for seed in range(5):
        used = data.read(rows, np.random.default_rng(seed))[MASK].numpy() > 0
        assert not (used & ~np.stack([fold.has[g] for g in GROUPS], 1)).any()


def test_traits_are_those_of_the_blocks_and_always_used(fold, scans):
    blocks = ("disease", "psychology")
    data = inputs(fold, {"diffusion": scans["diffusion"]}, blocks, masked=True)
    rows = np.array([5, 0, 77])
    read = data.read(rows, np.random.default_rng(0))
    expected = np.hstack([fold.blocks[block][rows] for block in blocks])
    np.testing.assert_array_equal(read[TRAITS], expected.astype(np.float32))
    assert (read[MASK][:, 1] == 1).all()
    assert read[MASK].shape == (3, 2)


def test_traits_alone_need_no_scans(fold):
    read = inputs(fold, {}, ("disease",)).read(np.arange(4), None)
    assert set(read) == {TRAITS, MASK}
    assert (read[MASK] == 1).all()


def test_a_number_beyond_half_precision_stays_finite(fold, stored, invented, tmp_path):
    absurd = invented.copy()
    row = int(np.flatnonzero(fold.has["functional"])[0])
    absurd.scans["rsfmri"][row, :2] = [1e9, -1e9]
    absurd.save_scans(tmp_path)
    read = inputs(fold, scans_of(tmp_path)).read(np.array([row]), None)["functional"]
    assert read[0, :2].tolist() == [LARGEST_HALF, -LARGEST_HALF]


def test_a_group_that_the_network_does_not_see_is_never_read(fold, scans, tmp_path):
    gone = replace(scans["functional"], vectors=tmp_path / "nothing")
    with pytest.raises(Exception, match=r"lacks a rsfmri record"):
        inputs(fold, scans | {"functional": gone})
    read = inputs(fold, {g: scans[g] for g in ("structural", "diffusion")}).read(np.arange(3), None)
    assert set(read) == {"structural", "diffusion", MASK}
