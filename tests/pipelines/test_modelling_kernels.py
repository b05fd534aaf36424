"""Kernels as a part of modelling: canaries, what is done again, what failed."""

import numpy as np
import pandas as pd
import pytest
from modelling_cases import CONSTANT, GRID, MODELLING, changed, invented_cohort, run

from ukb_brain.ledger.artifact import read_card
from ukb_brain.pipelines.modelling import nodes

SETTINGS = changed(MODELLING, strategies=["linear", "kernels", "amortised"])
PREDICTIONS, FITS = "07_model_output/predictions.parquet", "07_model_output/cell_fits.parquet"
NOBODY = np.array([], dtype=np.int64)
KEYS = ["eid", "instance", "target", "inputs", "strategy"]


@pytest.fixture(scope="module")
def invented():
    return invented_cohort()


@pytest.fixture(scope="module")
def before(invented, tmp_path_factory):
    return run(tmp_path_factory.mktemp("before"), invented, modelling=SETTINGS)


def fits(root):
    return pd.read_parquet(root / FITS)


def predictions(root):
    return pd.read_parquet(root / PREDICTIONS).set_index(KEYS)["y_pred"]


def test_every_cell_is_fitted_by_kernels_or_says_why_not(before):
    mine = fits(before).query("strategy == 'kernels'").set_index(["target", "inputs"])
    assert set(mine.index) == {(cell.target, cell.inputs.name) for cell in GRID.cells}
    for target, rows in mine.groupby("target"):
        assert set(rows["status"]) == {"one class in training" if target in CONSTANT else "ok"}
    averaged = fits(before).query("strategy == 'amortised' and status == 'ok'")
    shares = averaged[["head_share", "linear_share", "kernels_share"]]
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares["kernels_share"] > 0).any()


def test_canary_values_of_test_people_change_nothing_but_their_predictions(
    invented, before, tmp_path
):
    altered = invented.of("test")[::2]
    after = run(tmp_path, invented.overwrite(altered), before, altered, modelling=SETTINGS)
    old, new = predictions(before), predictions(after)
    others = ~old.index.get_level_values("eid").isin(altered)
    pd.testing.assert_series_equal(old[others], new[others], check_exact=True)
    assert (old[~others].to_numpy() != new[~others].to_numpy()).mean() > 0.9
    timings = ["train_seconds", "shared_seconds"]
    pd.testing.assert_frame_equal(
        *(fits(root).drop(columns=timings) for root in (before, after)), check_exact=True
    )


def test_canary_the_tables_sex_and_age_never_reach_a_cell_of_images(invented, before, tmp_path):
    """What effects differ by is read from images: swapped answers of people tested move nothing."""
    swapped = invented.copy()
    targets = swapped.tables["primary.targets"]
    tested = targets["eid"].isin(invented.of("test"))
    for key in ("sex", "age"):
        targets.loc[tested, key] = targets.loc[tested, key].to_numpy()[::-1]
    after = run(tmp_path, swapped, before, NOBODY, modelling=SETTINGS)
    images = {cell.inputs.name for cell in GRID.cells if not cell.inputs.blocks}
    old, new = (
        series[series.index.get_level_values("inputs").isin(images)].sort_index()
        for series in (predictions(before), predictions(after))
    )
    pd.testing.assert_series_equal(old, new, check_exact=True)


def test_what_is_done_is_not_done_again_and_what_failed_is_left_out(
    invented, before, tmp_path, monkeypatch
):
    def dies(job, folder):
        raise ArithmeticError("no inverse")

    monkeypatch.setattr(nodes, "fit_set", dies)
    monkeypatch.setattr(nodes, "gram_of_group", dies)
    kernels = sorted((before / "06_models/kernels").glob("*/card.json"))
    finished = [read_card(path.parent)["finished"] for path in kernels]
    run(before, invented, altered=NOBODY, modelling=SETTINGS)
    assert [read_card(path.parent)["finished"] for path in kernels] == finished
    after = run(tmp_path, invented, modelling=SETTINGS)
    mine = fits(after)
    of_kernels = mine[mine["strategy"].isin(["linear", "kernels"])]
    assert set(of_kernels["status"]) == {"its kernels failed"}
    assert len(of_kernels) == 2 * len(GRID.cells)
    cards = [read_card(p.parent) for p in (tmp_path / "06_models/kernels").glob("*/card.json")]
    assert {(c["status"], c["reason"]) for c in cards} == {
        ("failed", "ArithmeticError: no inverse")
    }
    sound = mine.query("strategy == 'amortised'")
    assert set(sound.loc[~sound["target"].isin(CONSTANT), "status"]) == {"ok"}
    assert (sound[["linear_share", "kernels_share"]].dropna() == 0).all(axis=None)
