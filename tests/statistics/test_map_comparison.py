import numpy as np
import pandas as pd
import pytest
from reporting_cases import study_grid
from scipy import stats

from ukb_brain.errors import InputError
from ukb_brain.statistics.map_comparison import compare_maps

GRID = study_grid()
HALF = stats.norm.ppf(0.975)


def a_map(shift=0.0, error=0.02, seed=0):
    """Make a map whose scores lie about .6, each with the interval of its standard error."""
    rng = np.random.default_rng(seed)
    rows = []
    for cell in GRID.cells:
        target = GRID.targets[cell.target]
        score = 0.6 + shift + error * rng.standard_normal()
        own, blank = ("roc_auc", "r2") if target.kind == "binary" else ("r2", "roc_auc")
        row = {
            f"{own}{end}": score + k * HALF * error for end, k in zip(ENDS, (0, -1, 1), strict=True)
        }
        rows.append(
            {"target": cell.target, "inputs": cell.inputs.name, "domain": target.domain}
            | {"kind": target.kind}
            | row
            | {f"{blank}{end}": np.nan for end in ENDS}
        )
    return pd.DataFrame(rows)


ENDS = ("", "_low", "_high")


def test_a_difference_has_the_error_of_both():
    table = compare_maps(a_map(), a_map(0.1, seed=1))
    one, other = a_map(), a_map(0.1, seed=1)
    merged = one.merge(other, on=["target", "inputs"])
    at = table.set_index(["target", "inputs"]).loc[("age", "FLAIR + T1")]
    both = merged.set_index(["target", "inputs"]).loc[("age", "FLAIR + T1")]
    z = (both["r2_y"] - both["r2_x"]) / np.hypot(0.02, 0.02)
    assert at["p"] == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert at["high"] - at["low"] == pytest.approx(2 * HALF * np.hypot(0.02, 0.02))
    assert (table["verdict"] == "higher").mean() > 0.8


def test_runs_that_differ_by_chance_are_seldom_told_apart():
    table = compare_maps(a_map(), a_map(seed=1))
    assert (table["verdict"] != "not told apart").mean() < 0.01
    # Uniform p values: two independent runs of the same truth.
    assert stats.kstest(table["p"], "uniform").pvalue > 0.001


def test_a_run_is_like_itself():
    table = compare_maps(a_map(), a_map())
    assert (table["verdict"] == "not told apart").all()
    assert (table["difference"] == 0).all()


def test_cells_that_one_run_lacks_stay_in_the_table():
    table = compare_maps(a_map().iloc[1:], a_map().iloc[:-1])
    assert len(table) == 700
    assert (table["verdict"] == "not in this one").sum() == 1
    assert (table["verdict"] == "not in the other").sum() == 1
    assert table["domain"].notna().all()


def test_another_table_is_refused():
    with pytest.raises(InputError, match=r"lacks the columns.*performance\.parquet"):
        compare_maps(a_map(), a_map().drop(columns="r2_low"))
    with pytest.raises(InputError, match="2 cells twice"):
        compare_maps(a_map(), pd.concat([a_map(), a_map().iloc[:2]]))
