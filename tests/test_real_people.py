"""The yardstick of benchmark `real_people`: it must be sound, since the map is held to it."""

import numpy as np
import pandas as pd
import pytest
from abide_cases import row_of, series_of, write_cohort
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, roc_auc_score

from benchmarks import real_people
from benchmarks.record import write_section
from benchmarks.simple_models import (
    LOGISTIC_Z,
    MODELS,
    RIDGE_TANGENT,
    RIDGE_Z,
    Connectivity,
    components,
    filled,
    fold_predictions,
    logarithms,
    read_connectivity,
    tangent_space,
)
from ukb_brain.imaging.connectivity import fisher_z_of_time_series

PEOPLE = 60


@pytest.fixture(scope="module")
def connectivity(tmp_path_factory):
    raw = write_cohort(tmp_path_factory.mktemp("raw"), PEOPLE, constant=(4,))
    return read_connectivity(raw, "cc200", 50_000 + np.arange(PEOPLE))


def targets():
    rows = [row_of(number) for number in range(PEOPLE)]
    ages = [row["AGE_AT_SCAN"] for row in rows]
    return pd.DataFrame({"age": ages, "sex": [row["SEX"] == 1 for row in rows]}, dtype=float)


def test_fishers_z_is_that_of_the_project(connectivity):
    series = series_of(7).round(6).T
    # The same pairs in another order.
    np.testing.assert_allclose(
        np.sort(connectivity.z[7]), np.sort(fisher_z_of_time_series(series)), atol=1e-5
    )


def test_a_constant_region_is_filled_by_those_who_are_learned_from(connectivity):
    gaps = np.isnan(connectivity.z[4])
    assert gaps.sum() == 6 and not np.isnan(connectivity.z[5]).any()
    learn = np.array([0, 1, 2])
    whole = filled(connectivity.z, learn)
    np.testing.assert_allclose(whole[4, gaps], connectivity.z[:3, gaps].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(whole[4, ~gaps], connectivity.z[4, ~gaps])
    assert not np.isnan(filled(connectivity.covariances, learn)).any()


def test_logarithms_are_those_of_the_eigenvalues():
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    values = np.array([0.5, 1, 2, 4])
    found = logarithms((turn * values @ turn.T)[None])[0]
    np.testing.assert_allclose(found, turn * np.log(values) @ turn.T, atol=1e-12)


def test_of_matrices_that_commute_the_tangent_is_the_difference_of_logarithms():
    diagonals = np.random.default_rng(0).uniform(0.5, 2, (6, 3))
    matrices = np.stack([np.diag(d) for d in diagonals])
    found = tangent_space(matrices, logarithms(matrices[:4]).mean(axis=0))
    expected = np.log(diagonals) - np.log(diagonals[:4]).mean(axis=0)
    np.testing.assert_allclose(found[:, [0, 2, 5]], expected, atol=1e-12)
    np.testing.assert_allclose(found[:, [1, 3, 4]], 0, atol=1e-12)


def test_ridge_on_components_is_ridge_on_what_they_are_of():
    random = np.random.default_rng(1)
    features, y = random.standard_normal((30, 90)), random.standard_normal(20)
    learn, test = np.arange(20), np.arange(20, 30)
    fewer = components(features, learn)
    assert fewer.shape == (30, 19)
    whole = Ridge(3.0).fit(features[learn], y).predict(features[test])
    np.testing.assert_allclose(Ridge(3.0).fit(fewer[learn], y).predict(fewer[test]), whole)


def predicted(connectivity, y):
    learn, test = np.arange(40), np.arange(40, PEOPLE)
    return pd.concat(fold_predictions(connectivity, y, frozenset({"sex"}), learn, test))


def test_every_model_predicts_every_test_person_and_age_is_read(connectivity):
    found = predicted(connectivity, targets())
    counts = found.groupby(["model", "target"]).size().to_dict()
    assert counts == {
        (RIDGE_Z, "age"): 20, (RIDGE_Z, "sex"): 20, (LOGISTIC_Z, "sex"): 20,
        (RIDGE_TANGENT, "age"): 20, (RIDGE_TANGENT, "sex"): 20,
    }  # fmt: skip
    assert {RIDGE_Z, LOGISTIC_Z, RIDGE_TANGENT} == set(MODELS)
    ages = found[found["target"] == "age"].pivot_table("y_pred", "eid", "model")
    assert r2_score(targets()["age"][40:], ages[RIDGE_Z]) > 0.3
    assert r2_score(targets()["age"][40:], ages[RIDGE_TANGENT]) > 0.3


def test_no_test_person_moves_another(connectivity):
    before = predicted(connectivity, targets())
    y, z, covariances = targets(), connectivity.z.copy(), connectivity.covariances.copy()
    y.iloc[40:] = 1 - y.iloc[40:]
    z[50:], covariances[50:] = z[50:][::-1], covariances[50:][::-1]
    logs = np.where(np.arange(PEOPLE)[:, None, None] < 50, connectivity.logarithms, np.nan)
    after = predicted(Connectivity(connectivity.eids, z, covariances, logs), y)
    kept = before["eid"] < 50_050
    pd.testing.assert_series_equal(before["y_pred"][kept], after["y_pred"][kept])
    assert not np.allclose(before["y_pred"][~kept], after["y_pred"][~kept])


@pytest.mark.parametrize("target", ["age", "sex"])
def test_scores_within_sites(target):
    random = np.random.default_rng(3)
    site = np.repeat([1, 2, 3], [20, 12, 8])
    y = random.integers(0, 2, 40).astype(float) if target == "sex" else random.random(40)
    p = y + random.standard_normal(40)
    counts = random.multinomial(40, np.full(40, 1 / 40))
    found = real_people.within_sites(target, y, p, site, np.vstack([np.ones(40), counts]))
    for score, weight in zip(found, (np.ones(40, dtype=int), counts), strict=True):
        rows = np.repeat(np.arange(40), weight)
        s, truth, guess = site[rows], pd.Series(y[rows]), pd.Series(p[rows])
        if target == "age":
            truth, guess = (each - each.groupby(s).transform("mean") for each in (truth, guess))
            assert score == pytest.approx(r2_score(truth, guess))
        else:
            areas = [roc_auc_score(truth[s == k], guess[s == k]) for k in (1, 2, 3)]
            assert score == pytest.approx(np.average(areas, weights=[20, 12, 8]))


def test_a_site_with_one_class_is_passed_over():
    y = np.array([1.0, 1, 1, 0, 1, 0])
    p = np.array([0.9, 0.1, 0.5, 0.2, 0.8, 0.3])
    site = np.array([1, 1, 1, 2, 2, 2])
    assert real_people.within_sites("sex", y, p, site, np.ones((1, 6)))[0] == 1


def test_a_section_is_replaced_and_the_rest_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Title\n")
    write_section(page, "one", "first\n")
    write_section(page, "two", "second\n")
    write_section(page, "one", "again\n")
    text = page.read_text()
    assert text.startswith("# Title\n") and text.count("<!-- one: generated -->") == 1
    assert "first" not in text and "again\n" in text and "second\n" in text
    write_section(page, "one", "again\n")
    assert page.read_text() == text


def test_without_files_it_is_passed_over(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(real_people.VARIABLE, str(tmp_path))
    assert real_people.measure() == []
    assert "kedro get-abide" in capsys.readouterr().out
