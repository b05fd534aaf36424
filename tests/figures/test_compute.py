import numpy as np
import pandas as pd
import pytest
from figure_cases import stays_on_the_page, words
from reporting_cases import family_draws, invented, study_grid

from ukb_brain.figures.compute import draw_compute, score_and_cost
from ukb_brain.figures.stamp import NOTICE
from ukb_brain.statistics.scores.performance import score_all

GRID = study_grid()
STRATEGIES = ("amortised", "linear", "dedicated")
FEW = 24


@pytest.fixture(scope="module")
def scored():
    """All cells by two strategies, and the first of every domain by a third, at known costs."""
    tables = invented(GRID, strategies=STRATEGIES)
    performance, fits = score_all(*tables, GRID, family_draws(tables, 20)), tables[1]
    cost = {"linear": 1e9, "amortised": 1e11, "dedicated": 1e13}
    fits = fits.assign(flops=fits["strategy"].map(cost), device="cpu")
    performance["train_seconds"] = performance["strategy"].map(cost) / 1e9
    first = performance.groupby(["strategy", "domain"]).cumcount() < FEW
    return performance[first | (performance["strategy"] != "dedicated")], fits


def test_strategies_are_compared_on_the_same_cells(scored):
    both = score_and_cost(*scored)
    cells = {
        s: set(zip(own["target"], own["inputs"], strict=True))
        for s, own in both.groupby("strategy")
    }
    assert cells["linear"] == cells["amortised"] == cells["dedicated"]
    named = scored[0][(scored[0]["strategy"] == "dedicated") & (scored[0]["status"] == "ok")]
    assert cells["linear"] == set(zip(named["target"], named["inputs"], strict=True))


def test_costs_and_skills_are_means_over_folds_and_seeds(scored):
    performance, fits = scored
    again = performance.assign(seed=performance["seed"] + 1, roc_auc=0.5, r2=0.0)
    again["train_seconds"] *= 3
    more = fits.assign(seed=fits["seed"] + 1, flops=fits["flops"] * 5)
    keys = ["target", "inputs", "strategy"]
    both = score_and_cost(pd.concat([performance, again]), pd.concat([fits, more]))
    both, once = both.set_index(keys), score_and_cost(performance, fits).set_index(keys)
    np.testing.assert_allclose(both["skill"], once["skill"] / 2)
    np.testing.assert_allclose(both["flops"], once["flops"] * 3)
    np.testing.assert_allclose(both["train_seconds"], once["train_seconds"] * 2)


def test_the_large_marks_are_at_means(scored):
    both = score_and_cost(*scored)
    figure = draw_compute(*scored, GRID, "ukb")
    for column, cost in enumerate(("flops", "train_seconds")):
        axes = figure.axes[len(figure.axes) - 2 + column]
        large = [line for line in axes.lines if line.get_markersize() > 8]
        marks = sorted((float(m.get_xdata()[0]), float(m.get_ydata()[0])) for m in large)
        expected = sorted(
            (own[cost].iloc[0], own["skill"].mean()) for _, own in both.groupby("strategy")
        )
        np.testing.assert_allclose(marks, expected)


def test_it_is_stamped_and_stays_on_the_page(scored):
    synthetic, real = (draw_compute(*scored, GRID, source) for source in ("synthetic", "ukb"))
    assert NOTICE in words(synthetic) and "SYNTHETIC" in words(synthetic)
    assert not [w for w in words(real) if "SYNTHETIC" in w]
    assert stays_on_the_page(synthetic)


def test_it_says_what_there_is_not(scored):
    performance, fits = scored
    figure = draw_compute(performance, fits.drop(columns=["flops", "device"]), GRID, "ukb")
    assert words(figure).count("not recorded") == len(GRID.domains) + 1
    alone = performance[
        (performance["strategy"] != "dedicated") | (performance["domain"] == "disease")
    ]
    figure = draw_compute(alone, fits, GRID, "ukb")
    assert words(figure).count("no cell that every strategy has") == 2 * (len(GRID.domains) - 1)
    nothing = performance.assign(roc_auc=np.nan, r2=np.nan)
    draw_compute(nothing, fits, GRID, "ukb").draw_without_rendering()


def test_it_counts_cells_and_no_people(scored):
    figure = draw_compute(*scored, GRID, "ukb")
    counted = [w for w in words(figure) if w.endswith(" cells")]
    assert len(counted) == len(GRID.domains) + 1
    both = score_and_cost(*scored)
    assert counted[-1] == f"{both.groupby(['target', 'inputs']).ngroups} cells"
