import functools
from pathlib import Path

import numpy as np
import pytest
import yaml
from population import population

from ukb_brain.grid import Grid
from ukb_brain.synthetic import brains, truth
from ukb_brain.synthetic.anatomy import build_anatomy
from ukb_brain.synthetic.factors import FACTORS, factor_values, site_indicators
from ukb_brain.synthetic.settings import SyntheticCohort

CONF = Path(__file__).parents[2] / "conf" / "base" / "parameters_grid.yml"
# Scores of a linear predictor fitted and held out in 20,000 people stray by about this much.
CHANCE = 0.015
ALL = "rsfMRI Connectivity + DWI + FLAIR + T1"
ITEMS = [name for name, words in truth.PLANTED.items() if words.startswith("morbidity")]


@pytest.fixture(scope="module")
def grid():
    return Grid(**yaml.safe_load(CONF.read_text())["grid"])


REAL_READOUT_ERROR = brains.readout_error


@functools.cache
def readout_error(anatomy_mm, voxel_mm):
    return REAL_READOUT_ERROR(build_anatomy(anatomy_mm), voxel_mm)


NOTHING = np.empty((0, 0))


def build(
    grid, voxel_mm, people=20_000, participants=10, seed=1, error=readout_error, idps=0,
    linear=NOTHING, **settings,
):  # fmt: skip
    """Truth of fewer people; what an oracle reads is worked out once for each voxel size."""
    cohort = SyntheticCohort(
        participants=participants,
        voxel_mm=voxel_mm,
        regions=25,
        time_points=60,
        seed=seed,
        idps=idps,
        **settings,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(truth, "REFERENCE_PEOPLE", people)
        patch.setattr(truth, "build_anatomy", lambda mm: mm)
        patch.setattr(brains, "readout_error", lambda *sizes: dict(error(*sizes)))
        return truth.build_truth(grid, cohort, linear)


@pytest.fixture(scope="module")
def table(grid):
    return build(grid, 8)


@pytest.fixture(scope="module")
def scores(table):
    """Ceiling and reachable score by target and inputs."""
    return table.set_index(["target", "inputs"])[["ceiling", "reachable"]]


def reachable(scores, target, inputs):
    return scores.loc[(target, inputs), "reachable"]


def test_one_row_a_cell(table, grid):
    assert list(zip(table["target"], table["inputs"], strict=True)) == [
        (cell.target, cell.inputs.name) for cell in grid.cells
    ]
    assert len(table) == 700
    assert list(table.columns) == [
        "target", "inputs", "metric", "ceiling", "reachable", "reachable_linear", "planted",
    ]  # fmt: skip
    kinds = {"binary": "roc_auc", "continuous": "r2"}
    assert list(table["metric"]) == [kinds[grid.targets[t].kind] for t in table["target"]]


def test_scores_are_scores(table):
    for column in ("ceiling", "reachable"):
        auc = table.loc[table["metric"] == "roc_auc", column]
        assert auc.between(0.5, 1).all()
        assert table.loc[table["metric"] == "r2", column].between(0, 1).all()


def test_nothing_is_readable_beyond_the_ceiling(table):
    beyond = table["reachable"] - table["ceiling"]
    assert beyond.max() < CHANCE
    assert (beyond <= 0).mean() > 0.7


def test_targets_without_signal_are_exactly_at_chance(table):
    for target, chance in (("guilty", 0.5), ("ldl", 0.0)):
        rows = table[table["target"] == target]
        assert (rows["planted"] == truth.NO_SIGNAL).all()
        assert (rows[["ceiling", "reachable"]] == chance).all(axis=None)
    # And by simulation they are near it, so the exact number is no cover for a signal.
    _e, z, values = population(20_000, np.random.default_rng(3))
    known = np.hstack([truth._known(g, z) for g in FACTORS])
    for target in ("guilty", "ldl"):
        assert linear_score(known, values[target], target == "guilty") < (
            0.52 if target == "guilty" else 0.005
        )


def test_atopy_is_read_from_images_through_site_only(table, scores):
    rows = table[table["target"] == "atopy"]
    without = rows[rows["inputs"].str.startswith("Non-imaging")]
    assert (without[["ceiling", "reachable"]] == 0.5).all(axis=None)
    assert len(without) == 4
    with_images = rows.drop(without.index)
    assert len(with_images) == 28
    assert (with_images[["ceiling", "reachable"]] > 0.6).all(axis=None)
    assert (rows["planted"] == truth.SITE_ONLY).all()


def test_atopy_is_at_chance_within_a_site():
    _e, z, values = population(20_000, np.random.default_rng(4))
    known = np.hstack([truth._known(g, z) for g in FACTORS])
    at = z["site_code"] == 11025
    assert linear_score(known[at], values["atopy"][at], True) < 0.53


def test_images_add_nothing_to_age_and_sex_for_hb(table, scores):
    rows = table[table["target"] == "hb"]
    for others in ("C", "C + D", "C + P", "C + D + P"):
        block = f"Non-imaging data ({others})"
        tabular = scores.loc[("hb", block)]
        assert tabular["reachable"] > 0.3
        with_images = rows[rows["inputs"].str.endswith(f" + {block}")]
        assert len(with_images) == 7
        for column in ("ceiling", "reachable"):
            assert (with_images[column] - tabular[column]).max() < 0.01


def test_speed_is_read_from_structure_and_diffusion_only_together(scores):
    block = "Non-imaging data (C)"
    none = reachable(scores, "reaction_time", block)
    structure = reachable(scores, "reaction_time", f"FLAIR + T1 + {block}")
    diffusion = reachable(scores, "reaction_time", f"DWI + {block}")
    both = reachable(scores, "reaction_time", f"DWI + FLAIR + T1 + {block}")
    assert structure - none < 0.03
    assert diffusion - none < 0.01
    assert both > structure + diffusion - none + 0.08


@pytest.mark.parametrize("target", ITEMS)
def test_morbidity_beats_imaging(scores, target):
    morbidity = reachable(scores, target, "Non-imaging data (C + D)")
    for images in ("FLAIR + T1", "DWI", "rsfMRI Connectivity", "DWI + FLAIR + T1", ALL):
        assert morbidity > reachable(scores, target, f"{images} + Non-imaging data (C)")


def test_planted_targets_are_targets(grid):
    assert set(truth.PLANTED) <= set(grid.targets)
    assert len(ITEMS) == 5


def test_coarser_voxels_never_read_more(table, grid):
    coarse = build(grid, 10)
    np.testing.assert_array_equal(coarse["ceiling"], table["ceiling"])
    assert (coarse["reachable"] - table["reachable"]).max() < CHANCE
    assert coarse["reachable"].mean() < table["reachable"].mean()


def test_strong_and_weak_targets_are_as_readable_as_in_the_study(scores):
    """Near the best cells of Ruffle et al. (2024), which real images gave."""
    assert reachable(scores, "sex", "FLAIR + T1") > 0.97
    assert 0.7 < reachable(scores, "age", "FLAIR + T1") < 0.95
    assert 0.45 < reachable(scores, "weight", "DWI + FLAIR + T1") < 0.75
    assert 0.52 < reachable(scores, "handedness", "rsfMRI Connectivity") < 0.7
    assert 0.65 < reachable(scores, "hypertension", f"{ALL} + Non-imaging data (C + P + S)") < 0.85
    assert 0.2 < reachable(scores, "hdl", "DWI + FLAIR + T1 + Non-imaging data (C + D)") < 0.45


def linear_score(X, y, binary):
    """Held-out score of ordinary least squares: R² or the share of pairs in the right order."""
    half = len(y) // 2
    design = np.column_stack([np.ones(len(y)), X])
    weights = np.linalg.lstsq(design[:half], y[:half], rcond=None)[0]
    predicted, y = design[half:] @ weights, y[half:]
    if not binary:
        return 1 - ((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    ranks = np.argsort(np.argsort(predicted)) + 1
    n = int(y.sum())
    return (ranks[y > 0].sum() - n * (n + 1) / 2) / (n * (len(y) - n))


@pytest.fixture(scope="module")
def readers(grid):
    """Other people of the same model, and their true imaging factors."""
    rng = np.random.default_rng(99)
    _e, z, values = population(20_000, rng)
    seen = {
        g: np.hstack([factor_values(g, z, rng.standard_normal((20_000, len(f)))),
                      site_indicators(z)[:, 1:]])
        for g, f in FACTORS.items()
    }  # fmt: skip
    blocks = {d: np.stack([values[t] for t in grid.targets_of(d)], axis=1) for d in grid.domains}
    return seen | blocks, values


def test_a_reader_of_the_true_factors_cannot_beat_the_ceiling(table, scores, grid, readers):
    """Blocks are given whole here, where the ceiling knows them with some answers missing."""
    known, values = readers
    excess = []
    for cell in grid.cells[::7]:
        X = np.hstack([known[part] for part in (*cell.inputs.groups, *cell.inputs.blocks)])
        binary = grid.targets[cell.target].kind == "binary"
        found = linear_score(X, values[cell.target], binary)
        excess.append(found - scores.loc[(cell.target, cell.inputs.name), "ceiling"])
    assert len(excess) == 100
    assert max(excess) < 0.025
    assert np.mean(excess) < 0.003


def test_a_reader_of_the_true_factors_beats_what_the_oracle_reads(scores, grid, readers):
    """So the factors are what the oracle reads, less the errors of its reading."""
    known, values = readers
    for target, group, inputs in (
        ("age", "structural", "FLAIR + T1"),
        ("weight", "diffusion", "DWI"),
        ("age", "functional", "rsfMRI Connectivity"),
    ):
        found = linear_score(known[group], values[target], binary=False)
        assert found > reachable(scores, target, inputs) - CHANCE


def test_a_target_that_the_generator_does_not_make_is_left_out(grid):
    extra = grid.targets["weight"].model_copy(update={"name": "Extra", "field": 50})
    targets = grid.model_dump()["targets"] | {"extra": extra.model_dump()}
    wider = Grid.model_validate(grid.model_dump() | {"targets": targets})
    assert len(wider.cells) > 700
    table = build(wider, 10, people=2_000)
    assert "extra" not in set(table["target"])
    assert len(table) == 700


def test_truth_does_not_depend_on_the_cohorts_seed_or_people(grid):
    first = build(grid, 10, people=2_000, participants=5, seed=1)
    assert first.equals(build(grid, 10, people=2_000, participants=5000, seed=2))


def test_effect_maps_are_sampled_no_finer_than_4_mm(grid):
    """Finer scans bring more voxels of the same maps; coarser scans have coarser maps."""
    asked = []

    def error(*sizes):
        asked.append(sizes)
        return {"structural": np.eye(16), "diffusion": np.eye(11)}

    for voxel_mm in (1, 4, 6):
        build(grid, voxel_mm, people=1_000, error=error)
    assert asked == [(4, 1), (4, 4), (6, 6)]


def test_phenotypes_are_a_group_whose_factors_are_those_of_the_images(grid, table):
    part = {"also": "idps", "only": "age+weight+sex+structural+idps"}
    few, many, none = (
        build(Grid(**(grid.model_dump() | part)), 8, idps=count).set_index(["target", "inputs"])
        for count in (100, 300, 0)
    )
    images, alone, both = "FLAIR + T1", "IDPs", "FLAIR + T1 + IDPs"
    before = table.set_index(["target", "inputs"])["reachable"]
    for target, chance in (("age", 0.0), ("weight", 0.0), ("sex", 0.5)):
        reached = many["reachable"][target]
        # Images reach what they reached before.
        assert reached[images] == pytest.approx(before[target, images], abs=CHANCE)
        assert chance + 0.2 < reached[alone] < many["ceiling"][target, alone]
        assert few["reachable"][target, alone] < reached[alone]
        assert reached[both] > max(reached[alone], reached[images]) - 0.005
        # A cohort without them shows nothing.
        assert (target, alone) not in none.index
    # What both read of age is mostly the same: they show the same factors of the same people.
    ages = many["reachable"]["age"]
    assert ages[both] - ages[images] < 0.1


def test_without_depth_the_oracle_is_the_best_linear_reader(table):
    np.testing.assert_array_equal(table["reachable"], table["reachable_linear"])


@pytest.fixture(scope="module")
def deep(grid):
    """Truth with depth, where a linear reader sees all that is linear, with some noise."""
    cohort = SyntheticCohort(
        participants=10, voxel_mm=8, regions=25, time_points=60, seed=1, depth=True,
        reference_people=20_000,
    )  # fmt: skip
    z, own, values = truth.reference_people(cohort)
    shown = truth.linearly_shown(z, own, values)
    names = [*values, *z, *"1234", *(f.name for g in FACTORS for f in FACTORS[g])]
    seen = ["site_code", *"1234", *(f.name for f in FACTORS["structural"]), "gate_weight"]
    noisy = shown[:, [names.index(name) for name in seen]]
    noise = np.random.default_rng(5).standard_normal(noisy.shape)
    linear = noisy + 0.1 * noisy.std(0) * noise
    sizes = {"depth": True, "reference_people": 20_000}
    return build(grid, 8, linear=linear, **sizes).set_index(["target", "inputs"])


def test_depth_is_out_of_reach_of_linear_readers(deep):
    margin = deep["reachable"] - deep["reachable_linear"]
    for images in ("FLAIR + T1", ALL):
        assert margin["age", images] > 0.08
        assert margin["weight", images] > 0.05
    together = "FLAIR + T1 + Non-imaging data (C)"
    for target in ("hypertension", "sensitivity"):
        # In areas, of which skill is twice as much.
        assert margin[target, together] > 0.025, target
    assert (deep["ceiling"] - deep["reachable"]).min() > -CHANCE


def test_what_is_linear_stays_in_reach(deep):
    margin = deep["reachable"] - deep["reachable_linear"]
    for target in ("sex", "body_fat", "hdl", "reaction_time", "atopy", "lonely"):
        images = "FLAIR + T1" if target == "sex" else "FLAIR + T1 + Non-imaging data (C)"
        assert abs(margin[target, images]) < 0.03, target
    others = deep[~deep.index.get_level_values("inputs").str.contains("FLAIR")]
    np.testing.assert_array_equal(others["reachable"], others["reachable_linear"])
    for target in ("guilty", "ldl"):
        assert (deep.loc[target, "reachable"] == deep.loc[target, "reachable_linear"]).all()
