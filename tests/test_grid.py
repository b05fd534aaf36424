from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid

CONF = Path(__file__).parents[1] / "conf" / "base" / "parameters_grid.yml"
# The study's targets, in its order.
PUBLISHED = [
    *("Sex (Male)", "Age", "Weight", "Handedness (Rt)"),
    *("Smoking", "Hypertension", "Atopy", "Asthma", "Body Fat"),
    *("Hb", "HDL", "HbA1c", "LDL"),
    *("Mood Swings", "Miserableness", "Irritability", "Sensitivity", "Fed Up", "Nervous"),
    *("Anxious", "Tense", "Worry", "Lonely", "Guilty", "Reaction Time"),
]


def study():
    return yaml.safe_load(CONF.read_text())["grid"]


@pytest.fixture(scope="module")
def grid():
    return Grid(**study())


def test_the_study_has_700_cells(grid):
    assert len(grid.cells) == 700
    by_domain = Counter(grid.targets[cell.target].domain for cell in grid.cells)
    assert by_domain == {"constitutional": 28, "disease": 160, "serology": 128, "psychology": 384}
    assert sum(n for domain, n in by_domain.items() if domain != "constitutional") == 672


def test_targets_have_their_published_names(grid):
    assert [target.name for target in grid.targets.values()] == PUBLISHED


def test_inputs_have_their_published_names(grid):
    everything = grid.inputs(
        ("functional", "structural", "diffusion"), ("disease", "constitutional")
    )
    assert everything.name == "rsfMRI Connectivity + DWI + FLAIR + T1 + Non-imaging data (C + D)"
    # Letters are in alphabetical order, whatever the order of domains.
    assert grid.inputs((), ("serology", "psychology", "constitutional")).name == (
        "Non-imaging data (C + P + S)"
    )
    assert grid.inputs(("structural",), ()).name == "FLAIR + T1"


def test_cells_are_unique_and_never_hold_their_own_domain(grid):
    assert len({(cell.target, cell.inputs.name) for cell in grid.cells}) == 700
    for cell in grid.cells:
        domain = grid.targets[cell.target].domain
        assert domain not in cell.inputs.blocks
        assert (cell.inputs.blocks[:1] == ("constitutional",)) == (domain != "constitutional")
        assert cell.inputs.groups or cell.inputs.blocks
        flags = grid.flags(cell.inputs)
        assert flags["t1"] == flags["flair"] == ("structural" in cell.inputs.groups)


def test_cells_follow_the_order_of_targets(grid):
    assert list(dict.fromkeys(cell.target for cell in grid.cells)) == list(grid.targets)


@given(
    added_targets=st.lists(st.sampled_from(["constitutional", "disease", "new"]), max_size=4),
    modality=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_what_is_added_in_yaml_grows_the_grid_by_the_same_rule(added_targets, modality):
    raw = study()
    raw["domains"]["new"] = {"letter": "N"}
    if modality:
        raw["imaging"]["perfusion"] = {"asl": {"name": "ASL", "order": 0}}
    for number, domain in enumerate(added_targets):
        raw["targets"][f"added_{number}"] = {
            "name": f"Added {number}",
            "domain": domain,
            "kind": "continuous",
            "field": 100_000 + number,
            "rule": "value",
        }
    grid = Grid(**raw)
    groups, domains = len(grid.imaging), len(grid.domains)
    base = len(grid.targets_of("constitutional"))
    expected = base * (2**groups - 1) + (len(grid.targets) - base) * 2**groups * 2 ** (domains - 2)
    assert len(grid.cells) == expected
    assert len({(cell.target, cell.inputs.name) for cell in grid.cells}) == expected
    flags = grid.flags(grid.cells[0].inputs)
    # A domain without targets has no block, and is no part of the grid.
    assert ("new" in flags) == ("new" in added_targets)
    assert grid.left_out == (() if "new" in added_targets else ("new",))
    assert ("asl" in flags) == modality


def with_age(raw, **changes):
    raw["targets"]["age"] |= changes
    return raw


def unknown_base(raw):
    return raw | {"base_domain": "genes"}


def equal_letters(raw):
    raw["domains"]["disease"]["letter"] = "C"
    return raw


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda raw: with_age(raw, domain="genes"), "target 'age' has domain 'genes'"),
        (lambda raw: with_age(raw, name="Weight"), "names of targets must differ"),
        (lambda raw: with_age(raw, kind="binary"), "rule any_of"),
        (lambda raw: with_age(raw, kind="binary", rule="any_of"), "needs `values`"),
        (lambda raw: with_age(raw, feild=3), "feild"),
        (unknown_base, "base_domain 'genes'"),
        (equal_letters, "letters of domains must differ"),
    ],
)
def test_a_mistake_in_yaml_is_named(spoil, named):
    with pytest.raises(ValidationError, match=named.replace("(", r"\(")):
        Grid(**spoil(study()))


def test_unknown_inputs_are_named_with_what_there_is(grid):
    with pytest.raises(InputError, match=r"\['pet'\].*structural.*constitutional"):
        grid.inputs(("pet",), ("constitutional",))


def test_imaging_groups_are_left_out_by_name():
    grid = Grid(**study())
    fewer = Grid(**(grid.model_dump() | {"leave_out": "functional+diffusion"}))
    assert list(fewer.imaging) == ["structural"]
    assert set(fewer.left_out) == {"functional", "rsfmri", "diffusion", "dwi"}
    assert len(fewer.cells) == 4 + 21 * 8
    assert Grid(**fewer.model_dump()) == fewer
    with pytest.raises(ValueError, match="leave_out names spectral; imaging groups are structural"):
        Grid(**(grid.model_dump() | {"leave_out": ["spectral"]}))
    with pytest.raises(ValueError, match="no imaging group is left"):
        Grid(**(grid.model_dump() | {"leave_out": list(grid.imaging)}))


@pytest.mark.parametrize(
    ("given", "targets", "modalities", "cells"),
    [
        ({"only": "age"}, ["age"], ["t1", "flair", "dwi", "rsfmri"], 7),
        ({"only": "age+sex"}, ["sex", "age"], ["t1", "flair", "dwi", "rsfmri"], 14),
        ({"only": ["age", "sex", "rsfmri"]}, ["sex", "age"], ["rsfmri"], 2),
        ({"only": ["serology", "structural"]}, ["hb", "hdl", "hba1c", "ldl"], ["t1", "flair"], 4),
        # From serology and from images, of targets whose base block is gone.
        ({"only": ["hb", "worry", "t1"]}, ["hb", "worry"], ["t1"], 6),
        ({"only": ["age"], "leave_out": ["flair", "functional"]}, ["age"], ["t1", "dwi"], 3),
    ],
)
def test_only_what_is_named_stays_of_characteristics_and_of_images(
    given, targets, modalities, cells
):
    grid = Grid(**(study() | given))
    assert list(grid.targets) == targets
    assert list(grid.modalities) == modalities
    assert len(grid.cells) == cells
    assert all(cell.inputs.groups or cell.inputs.blocks for cell in grid.cells)
    assert {"weight", "psychology", "lonely"} - {*grid.domains} <= {*grid.left_out}
    # Read once more, as a worker reads it, it is the same.
    assert Grid(**grid.model_dump()) == grid


def test_what_is_offered_joins_its_group_or_makes_one(grid):
    assert (len(grid.cells), grid.also, grid.left_out) == (700, (), ())
    offered = [m for held in grid.offered.values() for m in held]
    assert {"md", "lesions", "t1_mni", "idps"} <= {*offered}
    assert not {*offered} & {*grid.modalities}
    more = Grid(**(study() | {"also": "md+idps"}))
    assert list(more.imaging["diffusion"]) == ["dwi", "md"]
    assert list(more.imaging) == ["structural", "diffusion", "functional", "idps"]
    # Of the 4 constitutional and the 21 other targets, by four groups.
    assert (len(more.cells), more.left_out) == (4 * 15 + 21 * 16 * 4, ())
    assert more.inputs(("diffusion", "idps"), ()).name == "DWI + MD + IDPs"
    assert more.flags(more.inputs(("idps",), ()))["idps"]
    assert Grid(**more.model_dump()) == more


def test_a_whole_offered_group_is_named_and_parts_of_it_are_left_out():
    grid = Grid(**(study() | {"also": ["structural"], "leave_out": "lesions+flair"}))
    assert list(grid.imaging["structural"]) == ["t1", "t1_mni"]
    assert Grid(**grid.model_dump()) == grid
    alone = Grid(**(study() | {"also": "idps", "only": "age+idps"}))
    assert [cell.inputs.name for cell in alone.cells] == ["IDPs"]


def test_what_is_not_offered_cannot_be_added():
    with pytest.raises(
        ValidationError, match=r"grid.also names mdd; .*md \(diffusion\).*mean md\?"
    ):
        Grid(**(study() | {"also": "mdd"}))
    with pytest.raises(ValidationError, match=r"md is offered: add it with grid\.also"):
        Grid(**(study() | {"only": "age+md"}))
    raw = study() | {"also": "md"}
    raw["offered"] = raw["offered"] | {"diffusion": None}
    with pytest.raises(ValidationError, match=r"grid\.also names md; modalities offered"):
        Grid(**raw)


def test_an_overlay_takes_out_by_null():
    raw = study()
    raw["targets"] |= {"hb": None, "hdl": None}
    raw["imaging"]["functional"] = None
    raw["imaging"]["structural"]["flair"] = None
    raw["domains"]["psychology"] = None
    grid = Grid(**raw)
    assert list(grid.targets_of("serology")) == ["hba1c", "ldl"]
    assert list(grid.modalities) == ["t1", "dwi"]
    assert grid.domains.keys() == {"constitutional", "disease", "serology"}
    gone = {"hb", "hdl", "functional", "rsfmri", "flair", "psychology", "lonely"}
    assert gone - {"rsfmri"} <= {*grid.left_out}
    with pytest.raises(ValidationError, match="no target is left"):
        Grid(**(raw | {"targets": dict.fromkeys(raw["targets"])}))


@pytest.mark.parametrize("key", ["only", "leave_out"])
def test_a_name_that_is_nowhere_is_told_with_the_nearest(key):
    with pytest.raises(ValidationError, match=rf"grid.{key} names agee; .*did you mean age\?"):
        Grid(**(study() | {key: "agee+sex"}))


@given(data=st.data())
@settings(max_examples=60)
def test_any_part_has_cells_of_itself_only_each_once(data):
    whole = Grid(**study())
    names = [*whole.targets, *whole.domains, *whole.imaging, *whole.modalities]
    only = data.draw(st.lists(st.sampled_from(names), max_size=6, unique=True))
    leave_out = data.draw(st.lists(st.sampled_from(names), max_size=4, unique=True))
    try:
        part = Grid(**(study() | {"only": only, "leave_out": leave_out}))
    except ValidationError as error:
        assert "is left in the grid" in str(error)
        return
    assert not {*part.targets, *part.domains, *part.imaging, *part.modalities} & {*part.left_out}
    assert {t.domain for t in part.targets.values()} == {*part.domains}
    keys = [(cell.target, cell.inputs.groups, cell.inputs.blocks) for cell in part.cells]
    assert len({*keys}) == len({(c.target, c.inputs.name) for c in part.cells}) == len(keys) > 0
    # As in the whole grid, but for targets whose base block is gone.
    if part.base_domain in part.domains:
        there = {(c.target, c.inputs.groups, c.inputs.blocks) for c in whole.cells}
        assert {*keys} <= there
    for target in part.targets:
        assert part.fullest(target).name in {
            c.inputs.name for c in part.cells if c.target == target
        }
