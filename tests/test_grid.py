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
    assert "new" in flags
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
    assert set(fewer.left_out) == {"functional", "diffusion"}
    assert len(fewer.cells) == 4 + 21 * 8
    assert Grid(**fewer.model_dump()) == fewer
    with pytest.raises(ValueError, match="leave_out names spectral; imaging groups are structural"):
        Grid(**(grid.model_dump() | {"leave_out": ["spectral"]}))
    with pytest.raises(ValueError):
        Grid(**(grid.model_dump() | {"leave_out": list(grid.imaging)}))
