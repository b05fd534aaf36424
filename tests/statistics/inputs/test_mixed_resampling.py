import time

import numpy as np
import pandas as pd
import pytest
from reporting_cases import study_grid
from statsmodels.regression.mixed_linear_model import MixedLM

from ukb_brain.statistics.draws import FamilyDraws, percentile_interval
from ukb_brain.statistics.inputs.mixed_models import design_matrix, fit_domains, terms_of
from ukb_brain.statistics.inputs.mixed_resampling import (
    LARGEST_WEIGHT,
    precision_weights,
    resampled_effects,
)
from ukb_brain.tables import reported

GRID = study_grid()
CELLS = pd.DataFrame(
    {"target": cell.target, "domain": GRID.targets[cell.target].domain} | GRID.flags(cell.inputs)
    for cell in GRID.cells
)
OF_DOMAIN = {domain: (CELLS["domain"] == domain).to_numpy() for domain in GRID.domains}
ONE = GRID.model_copy(update={"domains": {"constitutional": GRID.domains["constitutional"]}})


def invented(draws=200, seed=0):
    """Scores of the study's cells, and draws whose spread differs between cells."""
    rng = np.random.default_rng(seed)
    levels = {key: 0.6 + rng.normal(0, 0.08) for key in GRID.targets}
    skill = CELLS["target"].map(levels).to_numpy(float) + 0.03 * CELLS["t1"].to_numpy(float)
    skill += rng.normal(0, 0.02, len(CELLS))
    spread = rng.uniform(0.005, 0.03, len(CELLS))
    return skill, skill + spread * rng.normal(size=(draws, len(CELLS)))


def effects(skill, drawn, cells=CELLS, grid=GRID):
    return resampled_effects(cells, {"skill": np.vstack([skill, drawn])}, grid)


def test_in_a_balanced_grid_the_interval_is_that_of_a_difference_of_means():
    skill, drawn = invented()
    table = effects(skill, drawn)
    assert table.columns.tolist() == [*reported.mixed_models_resampled.columns]
    rows = table.set_index(["domain", "weighting", "term"])
    for domain, term in [("psychology", "serology"), ("disease", "t1"), ("serology", "rsfmri")]:
        cells = OF_DOMAIN[domain]
        added = CELLS[term].to_numpy()
        difference = drawn[:, cells & added].mean(axis=1) - drawn[:, cells & ~added].mean(axis=1)
        row = rows.loc[domain, "equal", term]
        expected = skill[cells & added].mean() - skill[cells & ~added].mean()
        assert row["estimate"] == pytest.approx(expected, abs=1e-10)
        np.testing.assert_allclose(
            row[["low", "high"]].astype(float), percentile_interval(difference, 0.95), atol=1e-10
        )
        assert row["n_draws"] == 200


def test_a_draw_is_refitted_as_statsmodels_does():
    skill, drawn = invented(draws=2)
    kept = np.random.default_rng(1).random(len(CELLS)) < 0.7
    table = effects(skill[kept], drawn[:, kept], CELLS[kept])
    for domain in ("psychology", "disease"):
        mine = OF_DOMAIN[domain] & kept
        X = design_matrix(CELLS[mine], terms_of(domain, GRID))
        of = CELLS["target"][mine]
        theirs = [MixedLM(y * 20, X, groups=of).fit(method="powell") for y in drawn[:, mine]]
        rows = table.query("domain == @domain and weighting == 'equal'")
        # Of two draws the quantiles lie between their refits.
        expected = np.quantile([one.fe_params / 20 for one in theirs], [0.025, 0.975], axis=0)
        np.testing.assert_allclose(rows[["low", "high"]].T, expected, atol=1e-5)


def test_equal_weights_estimate_what_the_table_of_the_study_shows():
    skill, drawn = invented(draws=20)
    table = effects(skill, drawn).query("weighting == 'equal'")
    shown = fit_domains(CELLS.assign(balanced_accuracy=skill), GRID)
    np.testing.assert_allclose(table["estimate"], shown["estimate"], rtol=1e-12)
    assert table["term"].tolist() == shown["term"].tolist()


def test_precise_cells_decide_a_weighted_model():
    skill, _ = invented()
    odd = OF_DOMAIN["disease"] & CELLS["t1"].to_numpy() & CELLS["rsfmri"].to_numpy()
    skill[odd] += 1
    spread = np.where(odd, 1.0, 0.01)
    drawn = skill + spread * np.random.default_rng(2).normal(size=(300, len(CELLS)))
    rows = effects(skill, drawn).query("domain == 'disease' and term == 't1'")
    rows = rows.set_index("weighting")
    assert rows.loc["equal", "estimate"] == pytest.approx(0.53, abs=0.02)
    assert rows.loc["precision", "estimate"] == pytest.approx(0.03, abs=0.02)
    width = rows["high"] - rows["low"]
    assert width["precision"] < width["equal"] / 10


def test_precision_is_the_inverse_variance_of_draws_within_bounds():
    drawn = np.random.default_rng(3).normal(size=(4000, 5)) * [1, 2, 4, 0.001, 8]
    drawn[:100, 1] = np.nan
    weights = precision_weights(drawn)
    np.testing.assert_allclose(weights[[0, 1, 2, 4]], [4, 1, 1 / 4, 1 / 16], rtol=0.1)
    assert weights[3] == LARGEST_WEIGHT
    with pytest.raises(ValueError, match="do not vary"):
        precision_weights(np.ones((10, 3)))
    with pytest.raises(ValueError, match="at least two draws"):
        precision_weights(np.array([[1.0, 2.0], [np.nan, 3.0]]))


def test_cells_and_draws_without_a_score_are_left_out():
    skill, drawn = invented(draws=100)
    at = np.flatnonzero(OF_DOMAIN["disease"])
    skill[at[3]] = np.nan
    drawn[:, at[3]] = np.nan
    drawn[:30, at[7]] = np.nan
    drawn[:60, OF_DOMAIN["serology"]] = np.nan
    table = effects(skill, drawn).set_index(["domain", "weighting"])
    kept = np.isfinite(skill)
    again = effects(skill[kept], drawn[:, kept], CELLS[kept]).set_index(["domain", "weighting"])
    pd.testing.assert_frame_equal(table, again)
    assert (table.loc["disease", "n_draws"] == 70).all()
    assert table.loc["disease", ["low", "high"]].notna().all(axis=None)
    serology = table.loc["serology"]
    assert serology["estimate"].notna().all()
    assert serology[["low", "high"]].isna().all(axis=None)
    assert serology["note"].str.contains("No interval").all()


def test_a_model_that_cannot_be_fitted_says_why():
    skill, drawn = invented(draws=10)
    skill[OF_DOMAIN["constitutional"] & (CELLS["target"] != "age").to_numpy()] = np.nan
    drawn[:, OF_DOMAIN["psychology"]] = 0.6
    table = effects(skill, drawn).set_index(["domain", "weighting"])
    assert table.loc["constitutional", "note"].str.contains("1 target").all()
    assert table.loc["constitutional", "estimate"].isna().all()
    assert table.loc[("psychology", "precision"), "note"].str.contains("do not vary").all()
    assert table.loc[("psychology", "equal"), "estimate"].notna().all()


def test_scores_must_fit_the_cells():
    skill, drawn = invented(draws=3)
    with pytest.raises(ValueError, match="700"):
        effects(skill[1:], drawn[:, 1:])


def test_two_thousand_refits_of_the_grid_take_seconds():
    skill, drawn = invented(draws=2000)
    start = time.process_time()
    effects(skill, drawn)
    assert time.process_time() - start < 20


def people_scores(rng, people=240):
    """Per-person scores of constitutional cells: some people are read better with T1 than others.

    The effect of T1 thus varies between people, not between cells, so that no residual of the
    mixed model shows how uncertain it is.
    """
    cells = CELLS.loc[OF_DOMAIN["constitutional"]]
    target = cells["target"].astype("category").cat.codes.to_numpy()
    base = 0.6 + rng.normal(0, 0.3, people)[:, None] + np.array([-0.1, 0, 0.1, 0.05])[target]
    gain = (0.05 + rng.normal(0, 0.5, people))[:, None] * cells["t1"].to_numpy(float)
    return cells, base + gain + rng.normal(0, 0.3, (people, len(cells)))


@pytest.mark.slow
def test_intervals_cover_where_people_differ():
    """Nominal 95 % over 1,000 replicates; taking cells for independent covers far less."""
    rng = np.random.default_rng(11)
    resampled, naive = [], []
    families = np.arange(240)
    weights = FamilyDraws(families, 400, 5).weights(families)
    share = weights / weights.sum(axis=1, keepdims=True)
    for _ in range(1000):
        cells, of_people = people_scores(rng)
        score = of_people.mean(axis=0)
        table = effects(score, share @ of_people, cells, ONE)
        row = table.query("term == 't1'").set_index("weighting")
        resampled.append((row["low"] < 0.05) & (row["high"] > 0.05))
        shown = fit_domains(cells.assign(balanced_accuracy=score), ONE).query("term == 't1'")
        naive.append(shown["low"].iloc[0] < 0.05 < shown["high"].iloc[0])
    covered = pd.DataFrame(resampled).mean()
    assert covered.between(0.93, 0.97).all(), covered
    assert np.mean(naive) < 0.8
