"""The benchmark of depth, on predictions whose share of the margin is known by construction."""

import json

import modelling_cases
import numpy as np
import pandas as pd
import pytest
from modelling_cases import GRID, MODELLING, changed, invented_cohort
from reporting_cases import study_grid

from benchmarks import depth, depth_page, depth_runs, depth_shares, record
from benchmarks.skills import skill_draws, with_interval
from ukb_brain.cluster import Compute
from ukb_brain.training.settings import Modelling

STUDY = study_grid()
KEYS = {t: (c.target, c.inputs.name) for t, c in depth_runs.deep_cells(STUDY).items()}
# Of a target's variance: what linear readers see, what only others see, what nobody sees.
SEEN, DEEP = 0.5, 0.3
TRUTH = pd.DataFrame(
    {"reachable_linear": SEEN, "reachable": SEEN + DEEP},
    index=pd.MultiIndex.from_tuples(KEYS.values()),
)
READ = {
    depth_shares.LINEAR: 0.0,
    depth_shares.KERNELS: 0.0,
    depth_shares.MAP: 0.5,
    depth_shares.DEDICATED: 1.0,
}


def predictions(seed, shares, n=6000, keys=None):
    """Test people of whom each reader reads the linear part and so much of the variance beyond."""
    rng = np.random.default_rng(seed)
    tables = {reader: [] for reader in shares}
    for target, inputs in keys or KEYS.values():
        linear, deep, noise, blur = rng.standard_normal((4, n))
        y = np.sqrt(SEEN) * linear + np.sqrt(DEEP) * deep
        y += np.sqrt(1 - SEEN - DEEP) * noise
        for reader, share in shares.items():
            # The best guess of the deep part from a sight of it that explains this share of it.
            sight = share * deep + np.sqrt(share * (1 - share)) * blur
            known = np.sqrt(SEEN) * linear + np.sqrt(DEEP) * sight
            table = {"eid": np.arange(n), "y_true": y, "y_pred": known}
            tables[reader].append(pd.DataFrame(table).assign(target=target, inputs=inputs))
    return {reader: pd.concat(some, ignore_index=True) for reader, some in tables.items()}


def continuous():
    """The study's grid, but every target is a number."""
    grid = STUDY.model_dump()
    numbers = {"kind": "continuous", "rule": "value", "values": ()}
    targets = {key: target | numbers for key, target in grid["targets"].items()}
    return type(STUDY)(**grid | {"targets": targets})


def cohort(seed, shares=READ, seconds=(), **given):
    families, grid = pd.Series(np.arange(20_000) // 2), continuous()
    tables = predictions(seed, shares, **given)
    skills = {r: skill_draws(table, families, grid, draws=200) for r, table in tables.items()}
    return depth_shares.Cohort(seed, skills, dict(seconds))


@pytest.fixture(scope="module")
def cohorts():
    return [cohort(seed) for seed in (1, 2)]


def by_name(figures):
    return {figure.name: figure for figure in figures}


def test_deep_cells_have_structural_images_and_as_little_else_as_there_is():
    assert KEYS["age"][1] == "FLAIR + T1"
    assert KEYS["hypertension"][1] == "FLAIR + T1 + Non-imaging data (C)"


def test_shares_of_the_margin_are_those_that_were_planted(cohorts):
    figures = by_name(depth_shares.shares_of_margin(cohorts, TRUTH, KEYS))
    for target in KEYS:
        for reader, share in READ.items():
            name = f"depth: share of the margin, {target}, {reader}"
            if target == depth_runs.CONTROL:
                assert name not in figures
                continue
            figure = figures[name]
            assert figure.value == pytest.approx(share, abs=0.08)
            assert figure.more["low"] < figure.value < figure.more["high"]
            assert [each["share"] for each in figure.more["cohorts"]] == pytest.approx(
                [share] * 2, abs=0.12
            )


def test_the_map_is_held_to_its_aim_and_linear_to_its_bound(cohorts):
    figures = by_name(depth_shares.shares_of_margin(cohorts, TRUTH, KEYS))
    assert figures["depth: share of the margin, age, map"].holds is False
    assert figures["depth: share of the margin, age, linear"].holds is True
    assert figures["depth: share of the margin, age, kernels"].holds is None
    better = [cohort(1, {depth_shares.MAP: 0.9, depth_shares.LINEAR: 0.9})]
    figures = by_name(depth_shares.shares_of_margin(better, TRUTH, KEYS))
    assert figures["depth: share of the margin, age, map"].holds is True
    assert figures["depth: share of the margin, age, linear"].holds is False


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Over cohorts that differ in people alone, nine to ten times in ten."""
    held = []
    key = KEYS["age"]
    for seed in range(40):
        pair = [cohort(2 * seed + k, {depth_shares.MAP: 0.5}, n=800, keys=(key,)) for k in (0, 1)]
        share = depth_shares.shares(
            depth_shares.estimate(pair, depth_shares.MAP, key), SEEN, SEEN + DEEP
        )
        low, high = with_interval(share)[1].values()
        held.append(low <= 0.5 <= high)
    assert np.mean(held) >= 0.85


def test_two_cohorts_alike_halve_the_variance_and_two_that_differ_widen_it():
    draws = np.r_[0.5, 0.5 + 0.01 * np.random.default_rng(0).standard_normal(4000)]
    # The very same draws too: families of another cohort are others, whatever their numbers.
    assert depth_shares.pooled([draws, draws])[1:].std() == pytest.approx(
        0.01 / np.sqrt(2), rel=0.05
    )
    apart = depth_shares.pooled([draws, draws + 0.1])
    assert apart[0] == pytest.approx(0.55)
    # Of two values that are so far apart the mean has half their distance as standard error.
    assert apart[1:].std() == pytest.approx(0.05, rel=0.05)
    np.testing.assert_allclose(np.sort(depth_shares.pooled([draws])), np.sort(draws))


def test_the_map_is_compared_with_networks_of_their_own_on_the_cells_that_both_have(cohorts):
    sets = {"deep": [*KEYS.values()], "drawn": [("age", "DWI"), KEYS["age"]]}
    figures = by_name(depth_shares.against_dedicated(cohorts, sets))
    deep = figures["depth: amortised - dedicated, mean skill of deep cells"]
    assert deep.value == pytest.approx(-DEEP / 2, abs=0.02)
    assert deep.holds is False
    assert deep.more["cells"] == len(KEYS)
    assert figures["depth: amortised - dedicated, mean skill of drawn cells"].more["cells"] == 1
    level = [cohort(seed, {depth_shares.MAP: 0.5, depth_shares.DEDICATED: 0.4}) for seed in (1, 2)]
    (figure,) = depth_shares.against_dedicated(level, {"deep": sets["deep"]})
    assert figure.holds is True
    assert depth_shares.against_dedicated([cohort(1, {depth_shares.MAP: 0.5})], sets) == []


def mixed(seed, **seconds):
    """Of age networks read more than kernels, of weight kernels do, of body fat ridge does."""
    age, weight, fat = (KEYS[t] for t in ("age", "weight", "body_fat"))
    parts = [
        (age, {"linear": 0.0, "kernels": 0.0, "map": 0.6}),
        (weight, {"linear": 0.0, "kernels": 0.5, "map": 0.5}),
        (fat, {"linear": 0.2, "kernels": 0.2, "map": 0.2}),
    ]
    found = [cohort(seed, shares, n=2500, keys=(key,)).skills for key, shares in parts]
    skills = {r: pd.concat([one[r] for one in found]) for r in ("linear", "kernels", "map")}
    return depth_shares.Cohort(seed, skills, seconds)


def test_the_lead_says_what_the_numbers_say():
    some = [mixed(seed, linear=360, kernels=360, map=3600, dedicated=720_000) for seed in (1, 2)]
    keys = {t: KEYS[t] for t in ("age", "weight", "body_fat")}
    found = depth_page.verdicts(some, keys)
    assert [[text.split()[0] for text in each] for each in found.values()] == [
        ["age"],
        ["weight"],
        ["body_fat"],
    ]
    text = depth_page.lead(some, keys)
    assert "the map beats kernels in age (+0.1" in text
    assert "ridge do where the map does not beat even `linear`: body_fat" in text
    assert "1.0 worker hours, of which `linear` and kernels are 0.2" in text
    assert "takes 200, 200 times as much" in text
    without = depth_page.lead([mixed(1)], {"body_fat": KEYS["body_fat"]})
    assert "Nowhere here are networks worth training" in without
    assert "hours" not in without


def test_what_was_not_run_is_an_empty_cell_and_nothing_is_said_of_it(cohorts):
    heads, rows = depth_page.table_of(cohorts, TRUTH, KEYS)
    row = dict(zip(heads, rows[0], strict=True))
    assert row["target"] == "age"
    assert row[depth_shares.SHARED] == row[depth_shares.ADAPTED] == ""
    assert row[depth_shares.MAP].startswith("0.6")
    assert (row["best linear reader"], row["oracle"]) == ("0.500", "0.800")
    assert "Adapting" not in depth_page.section(cohorts, TRUTH, KEYS)
    nothing = depth_page.lead([cohort(1, {depth_shares.LINEAR: 0.0})], KEYS)
    assert nothing.startswith("No run is complete enough")


def test_networks_of_cells_read_every_voxel_and_stop_early():
    settings = depth_runs.dedicated_settings(30).dedicated
    assert settings.network.pooling == 1
    assert settings.network.options["volume"]["width"] == 32
    assert (settings.loop.epochs, settings.loop.patience) == (30, depth_runs.PATIENCE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small cohort with its map and networks of two lengths, as the benchmark leaves them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "WORK", tmp_path_factory.mktemp("work"))
        patch.setattr(depth_runs, "SEEDS", (1,))
        patch.setattr(depth_runs, "LENGTHS", (1, 2))
        patch.setattr(depth_runs, "CELLS", 5)
        truths = {"age": "texture", "smoking": "sign by sex", "body_fat": "linear control"}
        patch.setattr(depth_runs, "TRUTHS", truths)

        def settings(epochs):
            own = changed(MODELLING, dedicated__loop__epochs=epochs, dedicated__cells=0)
            return changed(own, strategies=["dedicated"])

        patch.setattr(depth_runs, "dedicated_settings", settings)
        patch.setattr(depth, "PAGE", tmp_path_factory.mktemp("docs") / "page.md")
        every = ("linear", "kernels", "amortised")
        modelling: Modelling = changed(MODELLING, strategies=every)
        root = depth_runs.root_of(1)
        modelling_cases.run(root, invented_cohort(), modelling=modelling)
        for epochs in depth_runs.LENGTHS:
            depth_runs.train_networks(1, epochs, GRID, Compute(workers=1))
        truth = pd.DataFrame(
            [(c.target, c.inputs.name, GRID.targets[c.target].kind) for c in GRID.cells],
            columns=["target", "inputs", "metric"],
        ).replace({"metric": {"binary": "roc_auc", "continuous": "r2"}})
        (root / "synthetic_truth").mkdir()
        truth = truth.assign(reachable_linear=0.55, reachable=0.9)
        truth.to_parquet(root / "synthetic_truth/truth.parquet")
        yield root


def test_of_each_cell_the_length_is_taken_that_validation_people_prefer(finished):
    found, chosen = depth_runs.own_networks(1, GRID)
    asked = depth_runs.dedicated_cells(GRID)
    assert [c.target for c in asked["deep"]] == ["age", "smoking", "body_fat"]
    for (target, inputs), row in chosen.iterrows():
        cards = [
            json.loads(path.read_text())
            for path in finished.parent.glob("depth_1_dedicated/*/dedicated/*/card.json")
        ]
        mine = [c for c in cards if c["cell"] == {"target": target, "inputs": inputs}]
        assert len(mine) == 2
        assert row["loss"] == min(min(c["curves"]["validation"]) for c in mine)
    assert set(chosen.index) <= {(c.target, c.inputs.name) for some in asked.values() for c in some}
    assert {("age", "FLAIR + T1")} < set(chosen.index)
    assert set(found["split"]) == {"test"}
    assert not found.duplicated(["eid", "target", "inputs"]).any()


def test_networks_that_are_there_are_not_trained_again(finished):
    folder = depth_runs.dedicated_folder(1, 2)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("card.json")}
    assert before
    depth_runs.train_networks(1, 2, GRID, Compute(workers=1))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("card.json")} == before


def test_a_cohort_that_is_half_done_gives_figures_and_a_page(finished):
    figures = by_name(depth.figures_of(GRID))
    share = figures["depth: share of the margin, age, map"]
    assert share.more["seeds"] == [1]
    assert figures["depth: amortised - dedicated, mean skill of deep cells"].more["cells"] == 2
    ratio = figures["depth: dedicated / amortised, cost"]
    spent = [figures[f"depth: {name}, whole grid"].value for name in ("dedicated", "map")]
    assert ratio.value == pytest.approx(spent[0] / spent[1])
    page = depth.PAGE.read_text()
    assert page.count("| age | texture |") == 1
    assert "## A truth with depth" in page
    depth.figures_of(GRID)
    assert depth.PAGE.read_text() == page


def test_another_split_than_the_benchmarks_is_refused(finished):
    with pytest.raises(SystemExit, match="tests 17% of people"):
        depth_runs.prepare_cohort(1)


def test_a_stage_that_is_unknown_is_refused(monkeypatch):
    monkeypatch.setattr(depth.sys, "argv", ["depth", "1", "mapp"])
    with pytest.raises(SystemExit, match="usage"):
        depth.main()
