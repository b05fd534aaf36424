from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import ValidationError
from reporting_cases import study_grid
from scipy import stats

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.statistics.claims import Claim, Contrast, evaluate_claims
from ukb_brain.tables import reported

CONF = Path(__file__).parents[2] / "conf/base"
GRID = study_grid()
BASE = {"weight": 1, "blocks": ["constitutional"]}
SEROLOGY = {"weight": 1, "blocks": ["constitutional", "serology"]}
LESS_BASE = BASE | {"weight": -1}
DISEASES = list(GRID.targets_of("disease"))
ADDS = {
    "text": "Serology adds.",
    "domain": "disease",
    "contrasts": [{"name": "gain", "above": 0, "terms": [SEROLOGY, LESS_BASE]}],
}


def cells(gains, draws=0, spread=0.0, seed=0):
    """Skill of both cells of each disease; serology adds so much, each draw with noise."""
    rng = np.random.default_rng(seed)
    base, full = (GRID.inputs((), tuple(t["blocks"])).name for t in (BASE, SEROLOGY))
    rows, keys = [], []
    for target, gain in zip(DISEASES, gains, strict=True):
        start = rng.uniform(0.1, 0.3)
        rows += [np.full(1 + draws, start), start + gain + spread * rng.standard_normal(1 + draws)]
        rows[-1][0] = start + gain
        keys += [(target, base), (target, full)]
    return pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(keys, names=["target", "inputs"]))


def judged(skill, claim=ADDS, **changes):
    table = evaluate_claims({"it": Claim(**(claim | changes))}, skill, GRID)
    return table.set_index("part")


def test_intervals_over_people_are_quantiles_of_the_mean_contrast():
    skill = cells([0.04] * 5, draws=400, spread=0.02)
    row = judged(skill).loc["gain"]
    wide = skill.to_numpy().reshape(5, 2, -1)
    drawn = (wide[:, 1] - wide[:, 0]).mean(axis=0)
    assert row["statistic"] == pytest.approx(drawn[0])
    np.testing.assert_allclose([row["low"], row["high"]], np.quantile(drawn[1:], [0.025, 0.975]))
    assert row["p"] == pytest.approx((1 + (drawn[1:] <= 0).sum()) / 401)
    assert (row["basis"], row["verdict"]) == ("test people", "supported")


def test_intervals_over_targets_are_students():
    gains = [0.01, 0.03, 0.02, 0.05, 0.04]
    row = judged(cells(gains)).loc["gain"]
    expected = stats.ttest_1samp(gains, 0, alternative="greater")
    assert row["p"] == pytest.approx(expected.pvalue)
    low, high = stats.ttest_1samp(gains, 0).confidence_interval()
    np.testing.assert_allclose([row["low"], row["high"]], [low, high])
    assert row["basis"] == "targets"


@pytest.mark.parametrize(
    ("gain", "bound", "verdict"),
    [
        (0.04, {"above": 0}, "supported"),
        (-0.04, {"above": 0}, "contradicted"),
        (0.0, {"above": 0}, "undecided"),
        (-0.04, {"below": 0}, "supported"),
        (0.04, {"below": 0}, "contradicted"),
        (0.0, {"below": 0.05}, "supported"),
    ],
)
def test_verdicts_follow_from_the_interval_and_the_bound(gain, bound, verdict):
    contrasts = [{"name": "gain", "terms": [SEROLOGY, LESS_BASE]} | bound]
    table = judged(cells([gain] * 5, 300, 0.02), contrasts=contrasts)
    assert table.loc["gain", "verdict"] == table.loc["all", "verdict"] == verdict


def test_bounds_that_are_not_known_decide_nothing():
    contrast = Claim(**ADDS).contrasts[0]
    assert contrast.decided(np.nan, np.nan)["verdict"] == "undecided"


def test_all_parts_of_a_claim_must_hold():
    two = [ADDS["contrasts"][0], ADDS["contrasts"][0] | {"name": "much", "above": 0.5}]
    table = judged(cells([0.04] * 5, 300, 0.02), contrasts=two)
    assert table["verdict"].to_dict() == {
        "gain": "supported", "much": "contradicted", "all": "contradicted",
    }  # fmt: skip
    assert table.loc["all", "p"] == table.loc["much", "p"] == 1.0


def test_what_lacks_cells_cannot_be_tested_and_is_counted():
    skill = cells([0.04] * 5, 300, 0.02)
    skill.loc[skill.index[1]] = np.nan
    assert judged(skill).loc["gain", ["n_targets", "n_missing"]].tolist() == [4, 1]
    nothing = judged(skill.iloc[:0]).loc["all"]
    assert (nothing["verdict"], nothing["n_missing"]) == ("cannot be tested", 5)
    assert np.isnan(nothing["p"])


def test_one_target_of_a_published_table_has_no_interval():
    row = judged(cells([0.04] * 5), domain=None, targets=["asthma"]).loc["all"]
    assert row["verdict"] == "undecided"
    assert np.isnan(row["low"])


def test_null_claims_are_supported_in_a_fortieth_of_cases():
    # Targets without any gain: the two-sided 95 % interval lies above 0 in 2.5 %.
    rng = np.random.default_rng(1)
    hits = sum(
        judged(cells(rng.normal(0, 0.02, 5), seed=k)).loc["all", "verdict"] == "supported"
        for k in range(400)
    )
    assert stats.binomtest(hits, 400, 0.025).pvalue > 0.001


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"domain": None, "targets": ["height"]}, "height"),
        ({"domain": "genetics"}, "genetics"),
        (
            {"contrasts": [{"name": "x", "above": 0, "terms": [{"weight": 1, "groups": ["eeg"]}]}]},
            "eeg",
        ),
    ],
)
def test_what_the_grid_has_not_is_named(wrong, named):
    with pytest.raises(InputError, match=named):
        judged(cells([0.1] * 5), **wrong)


def test_one_target_of_a_table_has_the_interval_of_its_test_people():
    skill = cells([0.04] * 5)
    claim = {"domain": None, "targets": ["asthma"]}
    bare = judged(skill, **claim).loc["gain"]
    assert bare["verdict"] == "undecided"
    errors = pd.Series(0.012, index=skill.index)
    table = evaluate_claims({"it": Claim(**(ADDS | claim))}, skill, GRID, errors=errors)
    row = table.set_index("part").loc["gain"]
    # Both cells are of the same people; their errors are taken for independent.
    reach = 1.959964 * 0.012 * np.sqrt(2)
    np.testing.assert_allclose([row["low"], row["high"]], [0.04 - reach, 0.04 + reach])
    assert row["p"] == pytest.approx(stats.norm.sf(0.04 / (0.012 * np.sqrt(2))))
    assert (row["basis"], row["verdict"]) == ("number of test people", "supported")


def test_draws_that_all_agree_are_no_evidence():
    row = judged(cells([0.04] * 5, draws=300, spread=0.0)).loc["gain"]
    assert np.isnan([row["low"], row["high"]]).all()
    assert row["verdict"] == "undecided"


def test_the_studys_own_test_stands_beside_and_decides_nothing():
    effects = {"serology": (0.01, 0.004, 0.016), "t1": (0.0, -0.01, 0.01)}
    models = pd.DataFrame(
        [
            {"domain": "disease", "term": term, "estimate": e, "low": low, "high": high, "p": 0.2}
            for term, (e, low, high) in effects.items()
        ]
    )
    study = [{"term": "serology", "below": 0}, {"term": "t1", "above": 0}]
    study.append({"term": "dwi", "above": 0})
    claim = Claim(**(ADDS | {"study": study}))
    skill = cells([0.04] * 5, 300, 0.02)
    table = evaluate_claims({"it": claim}, skill, GRID, mixed_models=models).set_index("part")
    verdicts = table["verdict"]
    assert verdicts["the study's mixed model: serology"] == "contradicted"
    assert verdicts["the study's mixed model: t1"] == "undecided"
    assert verdicts["the study's mixed model: dwi"] == "cannot be tested"
    assert verdicts["gain"] == verdicts["all"] == "supported"
    assert table.loc["the study's mixed model: serology", "p"] == 0.2
    reported.claims.validate(table.reset_index())
    with pytest.raises(ValidationError, match="of a `domain`"):
        Claim(**(ADDS | {"domain": None, "targets": ["asthma"], "study": study}))


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        ("serology", "not in this grid: serology"),
        ("disease", "not in this grid: disease"),
        ("constitutional", "not in this grid: constitutional"),
    ],
)
def test_what_was_taken_out_of_the_grid_is_not_in_it(gone, reason):
    part = Grid.model_validate(GRID.model_dump() | {"leave_out": gone})
    table = evaluate_claims({"it": Claim(**ADDS)}, cells([0.04] * 5), part).set_index("part")
    assert set(table["verdict"]) == {"not in this grid"}
    assert table.loc["gain", "reason"] == reason
    reported.claims.validate(table.reset_index())


def test_of_several_targets_those_in_the_grid_are_taken():
    part = Grid.model_validate(GRID.model_dump() | {"leave_out": "asthma+atopy"})
    claim = Claim(**(ADDS | {"domain": None, "targets": DISEASES}))
    there = cells([0.04] * 5, 300, 0.02).drop(index=["asthma", "atopy"], level="target")
    table = evaluate_claims({"it": claim}, there, part).set_index("part")
    assert table.loc["gain", ["verdict", "n_targets", "n_missing"]].to_list() == ["supported", 3, 2]


def test_a_contrast_has_one_bound_and_a_claim_names_targets_once():
    with pytest.raises(ValidationError, match="one of `above` and `below`"):
        Contrast(name="x", terms=[BASE])
    with pytest.raises(ValidationError, match="one of `targets` and `domain`"):
        Claim(**(ADDS | {"targets": ["asthma"]}))


def test_the_studys_claims_stand_on_cells_of_the_grid():
    claims = yaml.safe_load((CONF / "parameters/claims.yml").read_text())["claims"]
    names = {(cell.target, cell.inputs.name) for cell in GRID.cells}
    for text in claims.values():
        claim = Claim(**text)
        targets = claim.targets or GRID.targets_of(claim.domain)
        for contrast in claim.contrasts:
            for term in contrast.terms:
                inputs = GRID.inputs(term.groups, term.blocks).name
                assert all((target, inputs) in names for target in targets), (contrast.name, inputs)
