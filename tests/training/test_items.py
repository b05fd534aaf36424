from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from modelling_cases import GRID, MODELLING, changed, scans_of, work_of
from safetensors.numpy import save_file

from ukb_brain.cluster import Compute
from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.training.items import (
    about,
    cell_items,
    cells_by_target,
    check_any_fitted,
    check_settings,
    dedicated_items,
    domains_of,
    encoder_items,
    gram_items,
    kernel_items,
    people_fingerprint,
)
from ukb_brain.training.scans import Scans, quality_fingerprint
from ukb_brain.training.settings import Kernels
from ukb_brain.training.weights import LEARNT_FROM

EVERY = changed(MODELLING, strategies=["linear", "kernels", "amortised", "dedicated"])
NOWHERE = Path("nowhere")
NOTHING = SimpleNamespace(cards=dict)
KINDS = ("grams", "kernels", "encoders", "cells", "dedicated")
SCANS = scans_of(NOWHERE)


def work(people, settings=EVERY, grid=GRID, scans=SCANS, quality="q", seed=5, device="cpu"):
    own = {"grid": grid, "seed": seed, "compute": Compute(device=device)}
    return work_of(people, settings, Scans(scans, quality), **own)


def done(items):
    """A folder of models of some items, none of which failed."""
    cards = {i.name: {**i.card, "status": "ok", "hash": i.fingerprint} for i in items}
    return SimpleNamespace(path=NOWHERE, cards=lambda: cards)


def items_of(people, *given, **others):
    """All work items, by kind and name; cells rest on the others."""
    asked = work(people, *given, **others)
    grams = list(gram_items(asked, NOTHING))
    kernels = list(kernel_items(asked, done(grams)))
    encoders = list(encoder_items(asked, NOTHING))
    cells = list(cell_items(asked, done(encoders), done(kernels)))
    made = (grams, kernels, encoders, cells, list(dedicated_items(asked)))
    return {
        kind: {item.name: item for item in items} for kind, items in zip(KINDS, made, strict=True)
    }


def redone(before, after):
    """Kinds of which some item is new, or has another fingerprint."""
    return {
        kind
        for kind in KINDS
        for name, item in after[kind].items()
        if name not in before[kind] or before[kind][name].fingerprint != item.fingerprint
    }


def test_every_item_is_there_once_for_each_fold(fold):
    two = {0: fold, 1: replace(fold, fold=1)}
    items = items_of(two, changed(EVERY, encoders__seeds=2, dedicated__seeds=2))
    parts, targets = EVERY.encoders.cross_fits, len(GRID.targets)
    sets = {cell.inputs.groups for cell in GRID.cells}
    expected = [2 * len(GRID.imaging), 2 * len(sets)]
    expected += [2 * 2 * parts, 2 * targets, 2 * 2 * EVERY.dedicated.cells]
    assert [len(items[kind]) for kind in KINDS] == expected
    # Products do not know the fold: with the same people they are the same.
    prints = [item.fingerprint for kind in KINDS[1:] for item in items[kind].values()]
    assert len(set(prints)) == sum(expected[1:])
    for item in items["cells"].values():
        assert {item.payload.people.fold} == {item.card["fold"]}
        assert all(f"fold{item.card['fold']}-" in p.name for p in item.payload.kernels.values())


@pytest.mark.parametrize(
    ("setting", "value", "kinds"),
    [
        ("heads", {"images": [1], "traits": [1]}, {"cells"}),
        ("kernels__penalties", [1], {"kernels", "cells"}),
        ("kernels__pooling", 1, {"grams", "kernels", "cells"}),
        ("kernels__traits", [1], {"kernels", "cells"}),
        ("kernels__widened", 0, {"kernels", "cells"}),
        ("kernels__memory_gb", 1.0, set()),
        ("kernels__exact_people", 50, {"grams", "kernels", "cells"}),
        ("average", ["head"], {"cells"}),
        ("ladder", False, {"cells"}),
        ("cross_fits", 4, {"kernels", "cells"}),
        ("encoders__loop__epochs", 4, {"encoders", "cells"}),
        ("encoders__network__embedding", 9, {"encoders", "cells"}),
        ("encoders__cross_fits", 3, {"encoders", "cells"}),
        ("encoders__pretrain__epochs", 2, {"encoders", "cells"}),
        ("encoders__pretrain__share", 0.5, set()),
        ("encoders__refine__epochs", 2, set()),
        ("encoders__refine", {"rank": 2, "epochs": 3}, {"encoders", "cells"}),
        ("encoders__seeds", 2, {"encoders", "cells"}),
        ("encoders__cache_gb", 0.5, set()),
        ("dedicated__loop__epochs", 4, {"dedicated"}),
        ("dedicated__cells", 4, {"dedicated"}),
        ("dedicated__seeds", 2, {"dedicated"}),
        ("dedicated__cache_gb", 0.5, set()),
        ("strategies", ["linear", "kernels", "amortised"], set()),
        ("strategies", ["linear", "amortised"], {"kernels", "cells"}),
        ("strategies", ["linear"], {"kernels", "cells"}),
    ],
)
def test_a_setting_redoes_only_what_depends_on_it(fold, setting, value, kinds):
    before, after = items_of(fold), items_of(fold, changed(EVERY, **{setting: value}))
    assert redone(before, after) == kinds


def test_memory_that_is_for_fewer_people_redoes_products_and_what_rests_on_them(fold):
    few = changed(EVERY, kernels__exact_people=50)
    before, after = items_of(fold, few), items_of(fold, changed(few, kernels__memory_gb=2e-5))
    assert redone(before, after) == {"grams", "kernels", "cells"}


def test_more_of_the_same_redoes_nothing_that_is_there(fold):
    before = items_of(fold)
    more = changed(EVERY, encoders__seeds=3, dedicated__seeds=2, dedicated__cells=5)
    after = items_of(fold, more)
    for kind in ("encoders", "dedicated"):
        assert len(before[kind]) < len(after[kind])
        for name, item in before[kind].items():
            assert item.fingerprint == after[kind][name].fingerprint


def test_one_group_is_redone_alone(fold):
    has = fold.has["diffusion"].copy()
    has[np.flatnonzero(has)[0]] = False
    fewer = replace(fold, has=fold.has | {"diffusion": has})
    prints = [
        {n: i.fingerprint for n, i in items_of(people)["grams"].items()} for people in (fold, fewer)
    ]
    assert {n for n in prints[0] if prints[0][n] != prints[1][n]} == {"fold0-diffusion"}


def test_strategies_that_are_not_asked_for_have_no_items(fold):
    def there(*strategies):
        items = items_of(fold, changed(EVERY, strategies=strategies))
        return {kind for kind in KINDS if items[kind]}

    linear = {"grams", "kernels", "cells"}
    assert there("linear") == there("linear", "kernels") == linear
    assert there("dedicated") == {"dedicated"}
    assert there("linear", "amortised") == linear | {"encoders"}
    assert there("linear", "dedicated") == linear | {"dedicated"}


@pytest.mark.parametrize("asked", [("linear",), ("linear", "kernels")])
def test_kernels_that_are_not_linear_are_tried_where_they_are_asked_for(fold, asked):
    items = items_of(fold, changed(EVERY, strategies=asked))
    assert {item.payload.strategies for item in items["kernels"].values()} == {asked}
    # Where the base block says what may modify effects of images: columns of the block.
    base = GRID.base_domain
    told = {t: (base, k) for k, t in enumerate(GRID.targets_of(base)) if t in ("sex", "age")}
    assert len(told) == 2
    for item in items["kernels"].values():
        assert item.payload.told == told


def other_target(people, part, key="age"):
    y = people.targets[key].copy()
    y[np.flatnonzero(people.part == part)[0]] += 1
    return replace(people, targets=people.targets | {key: y})


def other_block(people, part):
    block = people.blocks["disease"].copy()
    block[np.flatnonzero(people.part == part)[0], 0] += 1
    return replace(people, blocks=people.blocks | {"disease": block})


def moved(people):
    part = people.part.copy()
    part[[0, -1]] = part[[-1, 0]]
    return replace(people, part=part)


def without_a_scan(people):
    has = people.has["functional"].copy()
    has[np.flatnonzero(has)[0]] = False
    return replace(people, has=people.has | {"functional": has})


LEARNED = {"kernels", "encoders", "cells", "dedicated"}


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (lambda people: other_target(people, "train"), LEARNED),
        (lambda people: other_target(people, "test"), LEARNED),
        (lambda people: other_block(people, "train"), LEARNED),
        (moved, set(KINDS)),
        (without_a_scan, set(KINDS)),
        (lambda people: replace(people, family=people.family + 1), LEARNED),
    ],
)
def test_other_people_redo_what_depends_on_them(fold, change, kinds):
    assert redone(items_of(fold), items_of(change(fold))) == kinds


def test_other_scans_another_seed_and_another_device(fold):
    before = items_of(fold)
    assert redone(before, items_of(fold, quality="other")) == set(KINDS)
    assert redone(before, items_of(fold, seed=6)) == LEARNED - {"kernels"}
    assert redone(before, items_of(fold, device="cuda")) == set()


def test_what_a_group_is_made_of_and_their_order_count(fold):
    before = items_of(fold)
    fewer = SCANS | {"structural": replace(SCANS["structural"], modalities=("t1",))}
    assert redone(before, items_of(fold, scans=fewer)) == set(KINDS)
    turned = dict(reversed(SCANS.items()))
    dump = GRID.model_dump()
    grid = Grid(**(dump | {"imaging": dict(reversed(dump["imaging"].items()))}))
    after = items_of(fold, grid=grid, scans=turned)
    # Outputs of encoders are in the order of groups, and so are coefficients.
    prints = [
        {kind: {i.fingerprint for i in x[kind].values()} for kind in KINDS} for x in (before, after)
    ]
    assert prints[0]["grams"] == prints[1]["grams"]
    assert not prints[0]["encoders"] & prints[1]["encoders"]
    assert not prints[0]["cells"] & prints[1]["cells"]


def test_a_target_of_another_kind_or_more_targets_redo_encoders(fold):
    dump = GRID.model_dump()
    fewer = {k: v for k, v in dump["targets"].items() if k != "guilty"}
    assert "encoders" in redone(
        items_of(fold), items_of(fold, grid=Grid(**dump | {"targets": fewer}))
    )
    sex = dump["targets"]["sex"] | {"kind": "continuous", "rule": "value", "values": ()}
    numeric = Grid(**dump | {"targets": dump["targets"] | {"sex": sex}})
    after = items_of(fold, grid=numeric)
    assert redone(items_of(fold), after) == LEARNED


def test_cells_rest_on_what_was_made_not_on_what_failed(fold):
    items = items_of(fold)
    failed = ("fold0-seed0-without1", "fold0-kernels-structural")
    whole, rest = (
        list(
            cell_items(
                work(fold),
                *(
                    done(item for name, item in items[kind].items() if name not in gone)
                    for kind in ("encoders", "kernels")
                ),
            )
        )
        for gone in ((), failed)
    )
    assert set(whole[0].payload.kernels) - set(rest[0].payload.kernels) == {"structural"}
    assert set(whole[0].payload.encoders[0]) == {0, 1}
    assert set(rest[0].payload.encoders[0]) == {0}
    # When what failed is there at last, cells are fitted anew.
    for one, two in zip(whole, rest, strict=True):
        assert one.fingerprint != two.fingerprint


def test_seeds_differ_between_folds_members_and_parts(fold):
    folds = {0: fold, 1: replace(fold, fold=1)}
    items = items_of(folds, changed(EVERY, encoders__seeds=2, dedicated__seeds=2))
    for kind in ("encoders", "dedicated"):
        seeds = [item.payload.seed for item in items[kind].values()]
        assert len(set(seeds)) == len(seeds)


def test_cells_are_grouped_by_target_in_the_order_of_the_grid():
    grouped = cells_by_target(GRID)
    assert tuple(grouped) == tuple(GRID.targets)
    assert [c for cells in grouped.values() for c in cells] == list(GRID.cells)


def test_fingerprints_of_people_and_of_scans(fold, invented):
    assert people_fingerprint(fold) == people_fingerprint(replace(fold))
    others = (
        other_target(fold, "test"), other_block(fold, "test"), moved(fold), without_a_scan(fold),
        replace(fold, fold=1), replace(fold, family=fold.family[::-1]),
        replace(fold, instance=fold.instance + 1), replace(fold, eid=fold.eid + 1),
    )  # fmt: skip
    prints = {people_fingerprint(people) for people in (fold, *others)}
    assert len(prints) == 1 + len(others)
    quality = invented.tables["primary.quality"]
    assert quality_fingerprint(quality) == quality_fingerprint(quality.copy())
    for column, value in (("status", "unusable"), ("reason", "other")):
        other = quality.copy()
        other.loc[3, column] = value
        assert quality_fingerprint(other) != quality_fingerprint(quality)


def test_a_card_says_on_whom_a_model_was_fitted(fold):
    card = about(fold)
    assert card == {
        "restricted": True, "fold": 0, "n_train": 64, "training_people": fold.fingerprint,
    }  # fmt: skip
    assert not any(str(eid) in str(card) for eid in fold.eid)
    for items in items_of(fold).values():
        for item in items.values():
            assert card.items() <= item.card.items()


def test_a_model_of_other_settings_is_refused():
    card = {"settings": Kernels(pooling=2, radial=(1.0,)).model_dump(mode="json")}
    check_settings(card, Kernels(pooling=2, radial=(1.0,)), "x")
    check_settings({}, Kernels(pooling=2), "x")
    with pytest.raises(InputError, match=r"x was made with other settings .*\(radial\)"):
        check_settings(card, Kernels(pooling=2, radial=(2.0,)), "x")


def test_kernels_do_not_say_how_much_memory_they_took(fold):
    item = items_of(fold)["kernels"]["fold0-kernels-diffusion"]
    check_settings(item.card, changed(EVERY, kernels__memory_gb=1.0).kernels, "x")
    with pytest.raises(InputError, match=r"\(pooling\)"):
        check_settings(item.card, changed(EVERY, kernels__pooling=1).kernels, "x")


def test_a_set_whose_products_failed_is_made_without_them_and_anew_when_they_are_there(fold):
    made = items_of(fold)["grams"].values()
    gone = [item for item in made if item.name != "fold0-diffusion"]
    whole, rest = (
        {i.name: i for i in kernel_items(work(fold), done(items))} for items in (made, gone)
    )
    assert set(whole) == set(rest)
    for name, item in whole.items():
        groups = item.payload.groups
        assert set(item.payload.grams) == set(groups)
        assert set(rest[name].payload.grams) == set(groups) - {"diffusion"}
        assert (item.fingerprint != rest[name].fingerprint) == ("diffusion" in groups)


def test_a_grid_without_any_fit_stops_with_its_reasons():
    table = pd.DataFrame({"status": ["one class", "broken", "one class"]})
    with pytest.raises(InputError, match=r"None of 3 cells.*broken, one class"):
        check_any_fitted(table, {"structural": 7})
    with pytest.raises(InputError, match="structural 7, diffusion 0"):
        check_any_fitted(table, {"structural": 7, "diffusion": 0})
    check_any_fitted(pd.DataFrame({"status": ["one class", "ok"]}), {})


def test_a_file_of_weights_counts_by_what_it_holds_and_not_by_where_it_lies(fold, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        save_file({"a": np.zeros(2, np.float32)}, path)
    before, moved = (
        items_of(fold, changed(EVERY, encoders__network__start={"structural": str(path)}))
        for path in (one, two)
    )
    assert redone(items_of(fold), before) == {"encoders", "cells"}
    assert redone(before, moved) == set()
    card = next(iter(before["encoders"].values())).card
    assert str(tmp_path) not in str(card)
    save_file({"a": np.ones(2, np.float32)}, two)
    settings = changed(EVERY, encoders__network__start={"structural": str(two)})
    assert redone(before, items_of(fold, settings)) == {"encoders", "cells"}
    with pytest.raises(InputError, match=r"was made with other settings.*network"):
        check_settings(card, settings.encoders, "it")
    two.unlink()
    with pytest.raises(InputError, match="there is no such file"):
        items_of(fold, settings)


@pytest.mark.parametrize("kind", ["encoders", "dedicated"])
def test_nothing_starts_from_an_encoder_that_knows_people_of_another_fold(fold, kind, tmp_path):
    path, folds = tmp_path / "ours", {0: fold, 1: replace(fold, fold=1)}
    settings = changed(EVERY, **{f"{kind}__network__start": {"structural": str(path)}})
    for known, told in ((fold.fingerprint, True), ("of others", False)):
        save_file({"a": np.zeros(2, np.float32)}, path, metadata={LEARNT_FROM: known})
        if told:
            with pytest.raises(InputError, match=rf"modelling\.{kind}.*this very cohort"):
                items_of(folds, settings)
        else:
            assert items_of(folds, settings)


def test_domains_count_where_they_are_refined(fold):
    """The same targets, of which one is of another domain."""
    targets = GRID.model_dump()["targets"]
    moved = targets | {"smoking": targets["smoking"] | {"domain": "psychology"}}
    other = Grid(**(GRID.model_dump() | {"targets": moved}))
    assert domains_of(other)["psychology"] != domains_of(GRID)["psychology"]
    plain, asked = EVERY, changed(EVERY, encoders__refine={"rank": 2, "epochs": 3})
    for settings, again in ((plain, False), (asked, True)):
        kinds = redone(items_of(fold, settings), items_of(fold, settings, other))
        assert ("encoders" in kinds) == again
    too_long = changed(EVERY, encoders__refine={"rank": 2, "epochs": 6})
    with pytest.raises(InputError, match="at most 5"):
        items_of(fold, too_long)
