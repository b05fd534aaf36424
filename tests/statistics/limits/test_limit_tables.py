"""The tables that join functions of statistics, on planted people."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from reporting_cases import study_grid

from ukb_brain.statistics.certainty.cell_intervals import errors_without_fail, interval_table
from ukb_brain.statistics.certainty.delong import newcombe_area_interval
from ukb_brain.statistics.certainty.permutation import null_table
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.inputs.nested_pairs import NO_SCORE, comparison_table, imaging_gains
from ukb_brain.statistics.limits.confound_table import Everybody, confound_table
from ukb_brain.statistics.limits.retest_table import (
    NOBODY_TWICE,
    NOT_ASKED_AGAIN,
    repeatability_table,
    retest_table,
)
from ukb_brain.statistics.people.brain_age import gap_table, gaps
from ukb_brain.statistics.people.calibration_tables import calibration_tables
from ukb_brain.statistics.people.participation import participation_table
from ukb_brain.statistics.people.subgroups import subgroup_table
from ukb_brain.statistics.scores.skill import SAME_FOR_ALL
from ukb_brain.statistics.scores.target_predictions import gather_targets
from ukb_brain.statistics.tested import Tested, predictions_of

GRID = study_grid()
N, DRAWS = 900, 200
# asthma: read only through site; hb: carried by age and sex; hdl: a sign of its own; ldl: nothing.
PLANTED = ("age", "asthma", "hb", "hdl", "ldl")


@pytest.fixture(scope="module")
def cohort():
    """People, what they have, and the predictions of a model that reads what is planted."""
    rng = np.random.default_rng(3)
    eid = np.arange(N) + 1_000_000
    site = rng.integers(0, 3, N)
    sex = rng.integers(0, 2, N).astype(float)
    age = rng.uniform(50, 80, N)
    own = rng.normal(size=N)
    participants = pd.DataFrame(
        {"eid": eid, "instance": 2, "family": np.arange(N) // 2, "site": site}
        | {"age": age, "sex": sex}
    )
    ill = (rng.random(N) < np.array([0.2, 0.5, 0.8])[site]).astype(float)
    values = {
        "age": age,
        "asthma": ill,
        "hb": 13 + 2 * sex - 0.02 * (age - 65) + 0.5 * rng.normal(size=N),
        "hdl": 1.5 + 0.3 * own + 0.3 * rng.normal(size=N),
        "ldl": 3.5 + 0.8 * rng.normal(size=N),
    }
    noise = rng.normal(size=N)
    read = {
        "age": 65 + 0.7 * (age - 65) + 2 * noise,
        "asthma": np.clip(np.array([0.2, 0.5, 0.8])[site] + 0.02 * noise, 0.01, 0.99),
        "hb": 13 + 2 * sex - 0.02 * (age - 65) + 0.1 * noise,
        "hdl": 1.5 + 0.3 * own + 0.05 * noise,
        "ldl": 3.5 + 0.001 * noise,
    }
    part = np.array(["train", "validation", "test"])[np.repeat([0, 1, 2], [400, 200, 300])]
    splits = pd.DataFrame({"eid": eid, "fold": 0, "part": part})
    # A visit again, of a quarter, with an error of measurement.
    second = rng.random(N) < 0.25
    again = {k: v + 0.1 * np.std(v) * rng.normal(size=N) for k, v in values.items()}
    again["asthma"] = np.where(rng.random(N) < 0.1, 1 - ill, ill)
    targets = pd.DataFrame({"eid": eid, "instance": 2} | values)
    repeated = pd.DataFrame({"eid": eid, "instance": 3} | again)[second]
    rows, fits = [], []
    kept = part != "train"
    for cell in GRID.cells:
        if cell.target not in PLANTED:
            continue
        names = {"target": cell.target, "inputs": cell.inputs.name, "strategy": "amortised"}
        names |= {"fold": 0, "seed": 0}
        predicted = read[cell.target]
        if cell.target == "hdl" and not cell.inputs.groups:
            predicted = 1.5 + 0.05 * noise
        rows.append(
            pd.DataFrame(
                {"eid": eid[kept], "instance": 2, "split": part[kept]}
                | {"y_true": values[cell.target][kept], "y_pred": predicted[kept]}
                | names
            )
        )
        binary = GRID.targets[cell.target].kind == "binary"
        median = np.nan if binary else np.median(values[cell.target])
        marks = {"decision_threshold": 0.5 if binary else np.nan, "train_median": median}
        fits.append(names | {"status": "ok"} | marks)
    return {
        "predictions": pd.concat(rows, ignore_index=True),
        "fits": pd.DataFrame(fits),
        "participants": participants,
        "targets": pd.concat([targets, repeated], ignore_index=True),
        "confounds": participants.drop(columns="family"),
        "splits": splits,
    }


@pytest.fixture(scope="module")
def tables(cohort):
    given = (cohort["predictions"], cohort["fits"], cohort["participants"])
    return gather_targets(*given, GRID, "amortised")


@pytest.fixture(scope="module")
def draws(cohort):
    return FamilyDraws(cohort["participants"]["family"], DRAWS, 5)


@pytest.fixture(scope="module")
def tested(tables, draws):
    return Tested(tables, draws, GRID)


@pytest.fixture(scope="module")
def validation(cohort):
    return predictions_of(cohort["predictions"], "amortised", "validation")


@pytest.fixture(scope="module")
def confounds(cohort, tested, validation):
    names = ("targets", "confounds", "participants", "splits")
    everybody = Everybody(*(cohort[name] for name in names), validation)
    return confound_table(tested, tested, everybody).set_index("target")


def test_what_is_read_only_through_site_is_at_chance_within_sites(confounds):
    row = confounds.loc["asthma"]
    assert row["score"] > 0.7
    assert row["within_site_low"] < 0.5 < row["within_site_high"]
    assert row["gain_low"] < 0 < row["gain_high"] or abs(row["gain"]) < 0.01


def test_what_age_and_sex_carry_adds_nothing_beyond_them(confounds):
    row = confounds.loc["hb"]
    assert row["score"] > 0.7
    assert abs(row["gain"]) < 0.01


def test_a_sign_of_its_own_is_a_gain(confounds):
    row = confounds.loc["hdl"]
    assert row["gain_low"] > 0.3
    assert row["within_site_low"] > 0.3


def test_images_get_no_credit_for_what_their_block_reads(cohort, tables, draws, validation):
    table = tables["hdl"]
    name = GRID.imaging_alone("hdl").name
    predicted = table.predicted[:, table.inputs.index(name)]
    bare = table.inputs.index("Non-imaging data (C)")
    columns = table.predicted.copy()
    columns[:, bare] = predicted
    mine = validation[validation["target"] == "hdl"].set_index("eid")
    read = mine.loc[mine["inputs"] == name, "y_pred"]
    known = validation.copy()
    here = (known["target"] == "hdl") & (known["inputs"] == "Non-imaging data (C)")
    known.loc[here, "y_pred"] = read.loc[known.loc[here, "eid"]].to_numpy()
    names = ("targets", "confounds", "participants", "splits")
    everybody = Everybody(*(cohort[name] for name in names), known)
    given = Tested({"hdl": replace(table, predicted=columns)}, draws, GRID)
    row = confound_table(given, given, everybody).iloc[0]
    assert row["score"] - row["confounds"] > 0.3
    assert abs(row["gain"]) < 0.01


def test_age_is_no_confound_of_itself(confounds):
    assert confounds.loc["age", "confounds"] < 0.1
    assert confounds.loc["age", "gain_low"] > 0.5


def test_cells_are_picked_by_their_inputs_alone(tables):
    assert (
        tables["age"].cell(GRID.fullest("age")).inputs[0]
        == tables["age"].cell(GRID.imaging_alone("age")).inputs[0]
    )
    assert tables["hb"].cell(GRID.fullest("hb")).inputs[0].endswith("Non-imaging data (C + D + P)")
    assert tables["hb"].cell(GRID.imaging_alone("hb")).inputs[0].endswith("Non-imaging data (C)")


def test_permuted_labels_tell_signs_from_nothing(cohort, tables):
    table = null_table(tables, cohort["participants"], GRID, 199, 1)
    imaging = table["tests"].str.endswith("with imaging")
    p = table[imaging].groupby("target")["p"].mean()
    assert p["hdl"] == pytest.approx(1 / 200)
    # Within strata of site nothing is left of what site says.
    assert p["asthma"] > 0.01
    assert set(table["tests"]) >= {"serology, with imaging", "serology, without imaging"}


def test_every_metric_of_every_cell_has_an_interval(tables, draws):
    table = interval_table(tables, draws)
    cells = sum(len(one.inputs) for one in tables.values())
    assert len(table) == 4 * cells
    known = table.dropna(subset=["low", "high"])
    # Average precision of three distinct predictions may have none.
    assert set(table.loc[table["low"].isna(), "metric"]) <= {"average_precision"}
    assert (known["low"] <= known["high"]).all()
    assert table["validated"].all()


def test_cells_that_predict_the_same_are_no_evidence(tables, draws):
    table = comparison_table(Tested({k: tables[k] for k in ("hb", "asthma")}, draws, GRID), 0.02)
    assert set(table["verdict"]) == {"unknown"}
    assert (table["difference"] == 0).all()
    gains = imaging_gains(table, GRID)
    assert gains["target"].tolist() == ["hb", "asthma"]
    assert gains[["gain_low", "gain_high"]].isna().all(axis=None)


def test_a_cell_without_scores_leaves_its_pair_unknown(tables, draws):
    table = tables["hdl"]
    kept = [at for at, name in enumerate(table.inputs) if "DWI" in name or "rsfMRI" not in name]
    less = replace(
        table,
        inputs=tuple(table.inputs[at] for at in kept),
        predicted=table.predicted[:, kept],
        threshold=table.threshold[:, kept],
    )
    rows = comparison_table(Tested({"hdl": less}, draws, GRID), 0.02).set_index("part")
    assert rows.loc["diffusion", "note"] == NO_SCORE
    assert rows.loc["diffusion", "verdict"] == "unknown"
    assert len(rows) == 6


def test_a_trait_that_is_read_without_fail_has_the_error_of_its_class_sizes(tables, draws):
    table = tables["asthma"]
    perfect = table.predicted.copy()
    perfect[:, -1] = table.y
    found = interval_table({"asthma": replace(table, predicted=perfect)}, draws)
    errors = errors_without_fail(found)
    assert errors.index.tolist() == [("asthma", table.inputs[-1])]
    low, _ = newcombe_area_interval(1.0, int(table.y.sum()), int((1 - table.y).sum()))
    assert 1 - 1.959964 * errors.iloc[0] == pytest.approx(2 * low - 1)


def test_an_auc_of_one_prediction_for_everybody_has_no_interval(tables, draws):
    table = tables["asthma"]
    flat = table.predicted.copy()
    flat[:, -1] = 0.3
    found = interval_table({"asthma": replace(table, predicted=flat)}, draws)
    row = found[(found["inputs"] == table.inputs[-1]) & (found["metric"] == "roc_auc")].iloc[0]
    assert row["estimate"] == 0.5
    assert np.isnan([row["low"], row["high"]]).all()
    assert row["note"] == SAME_FOR_ALL
    others = found[found["inputs"] != table.inputs[-1]]
    assert (others.loc[others["low"].notna(), "note"] == "").all()


def test_subgroups_leave_out_what_the_target_decides(cohort, tested):
    table = subgroup_table(tested, cohort["participants"], 10)
    assert set(table.loc[table["target"] == "age", "subgroup_of"]) == {"sex", "site"}
    assert set(table.loc[table["target"] == "hdl", "subgroup_of"]) == {"sex", "site", "age_band"}
    assert table.loc[table["target"] == "hdl", "differs"].mean() < 0.2


def sources_of(targets):
    """Every answer is of the visit of its scan."""
    return targets.assign(**dict.fromkeys(PLANTED, targets["instance"]))


def test_the_ceiling_is_that_of_the_planted_error(cohort, tested):
    families = cohort["participants"].set_index("eid")["family"]
    targets = cohort["targets"]
    table = retest_table(tested, targets, sources_of(targets), families)
    table = table.set_index("target")
    # Errors of a tenth of the spread, at the second visit only.
    assert table.loc["hdl", "ceiling"] == pytest.approx(1 / np.sqrt(1.01), abs=0.01)
    assert table.loc["asthma", "disagreement"] == pytest.approx(0.1, abs=0.05)
    assert (
        table.loc["hdl", "share_low"] < table.loc["hdl", "share"] < table.loc["hdl", "share_high"]
    )


def test_an_answer_that_goes_with_two_scans_is_one_measurement(cohort, tested):
    """Half of the people were not asked again; of some who were scanned three times the last."""
    families = cohort["participants"].set_index("eid")["family"]
    targets = cohort["targets"]
    asked = retest_table(tested, targets, sources_of(targets), families)
    first, second = targets[targets["instance"] == 2], targets[targets["instance"] == 3]
    carried = first[first["eid"].isin(second["eid"])].assign(instance=3)
    # The others are asked again at the third scan only.
    again = second[second["eid"] % 2 == 0]
    third = second[second["eid"] % 2 == 1].assign(instance=4)
    carried = carried[~carried["eid"].isin(again["eid"])]
    shuffled = pd.concat([third, carried, first, again])
    sources = sources_of(shuffled)
    for key in PLANTED:
        sources[key] = sources[key].where((sources["instance"] != 3) | (sources["eid"] % 2 == 0), 2)
    found = retest_table(tested, shuffled, sources, families)
    pd.testing.assert_frame_equal(found, asked)
    carried = pd.concat([first, first.assign(instance=3)])
    nothing = sources_of(carried).assign(**dict.fromkeys(PLANTED, 0))
    found = retest_table(tested, carried, nothing, families)
    assert set(found["status"]) == {NOT_ASKED_AGAIN}


def test_calibration_finds_predictions_that_say_too_little(tested, validation):
    numbers, curves = calibration_tables(tested, validation)
    found = numbers.set_index(["target", "measure"])
    assert found.loc[("age", "calibration_slope"), "estimate"] > 1.1
    after = found.loc[("age", "recalibration_change"), "estimate"]
    assert after > 0
    assert curves.groupby("target")["n"].sum().eq(300).all()


def test_the_brain_age_gap_does_not_follow_age(tables, validation):
    gap = gaps(tables["age"].cell(GRID.imaging_alone("age")), validation)
    assert list(gap.columns) == ["eid", "instance", "fold", "age", "predicted_age", "gap"]
    raw = (gap["predicted_age"] - gap["age"]).corr(gap["age"])
    assert raw < -0.5
    assert abs(gap["gap"].corr(gap["age"])) < 0.15


def test_the_gap_of_each_test_person_is_of_the_imaging_cell(tested, validation):
    cell = tested.targets["age"].cell(GRID.imaging_alone("age"))
    table = gap_table(tested, validation)
    pd.testing.assert_frame_equal(table.drop(columns="inputs"), gaps(cell, validation))
    assert set(table["inputs"]) == {*cell.inputs}
    np.testing.assert_array_equal(table["predicted_age"], cell.predicted[:, 0])
    assert gap_table(replace(tested, targets={}), validation).empty
    assert gap_table(tested, validation.head(0)).empty


def test_predictions_of_a_second_scan_repeat(cohort, tested):
    """A second prediction with an error of its own: ICC is the share of variance that is shared."""
    rng = np.random.default_rng(8)
    rows = cohort["predictions"]
    rows = rows[(rows["split"] == "test") & (rows["target"] != "ldl")].copy()
    again = rows[rows["eid"] % 2 == 0].assign(instance=3)
    error = again.groupby("target")["y_pred"].transform("std").to_numpy() / 2
    again["y_pred"] += error * rng.normal(size=len(again))
    # Of two later visits the earlier counts; somebody else's prediction is nobody's repeat.
    later = again.assign(instance=4, y_pred=0.0)
    stranger = again.head(1).assign(eid=1)
    table = repeatability_table(tested, pd.concat([later, again, stranger]))
    table = table.set_index("target")
    assert table.loc["ldl", "status"] == NOBODY_TWICE
    assert table.loc["hdl", "n"] == 150
    # Var(first) = s², of the second s² + s²/4: shared s² over the mean of both and their shift.
    assert table.loc["hdl", "icc"] == pytest.approx(1 / 1.125, abs=0.04)
    assert table.loc["hdl", "icc_low"] < table.loc["hdl", "icc"] < table.loc["hdl", "icc_high"]
    assert table.loc["hdl", "pearson_r"] == pytest.approx(1 / np.sqrt(1.25), abs=0.04)


def test_scores_are_weighted_where_weights_are_given(cohort, tested):
    assert participation_table(tested, cohort["participants"]).empty
    people = cohort["participants"].assign(participation_weight=2.0)
    people.loc[people["eid"] % 3 == 0, "participation_weight"] = np.nan
    table = participation_table(tested, people).set_index("target")
    assert set(table.index) == set(tested.targets)
    assert (table["n"] == 200).all()
    np.testing.assert_allclose(table["difference"], 0, atol=1e-12)
    unknown = people.assign(participation_weight=np.nan)
    assert participation_table(tested, unknown)["plain"].isna().all()
