from collections import Counter

import numpy as np
import pandas as pd
import pytest

from ukb_brain.synthetic.people import family_of, latents, variates
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.table import (
    YES_NO_FIELDS,
    main_table,
    relatedness_file,
    withdrawn,
)
from ukb_brain.synthetic.visits import visits_of

N = 1500


def cohort(participants=N, seed=11):
    return SyntheticCohort(
        participants=participants, voxel_mm=8, regions=25, time_points=60, seed=seed
    )


@pytest.fixture(scope="module")
def table():
    return main_table(cohort())


def numbers(column):
    return pd.to_numeric(column[column != ""])


def columns_of(table, field):
    return [c for c in table.columns if c.split("-")[0] == str(field)]


def test_one_row_a_person_and_no_real_eid(table):
    assert list(table["eid"].astype(int)) == list(range(9_000_001, 9_000_001 + N))
    assert table.columns[0] == "eid"


def test_all_is_text_and_no_nan(table):
    assert all(isinstance(value, str) for value in table.to_numpy().ravel())
    assert not table.isin(["nan", "None", "<NA>", "NaT"]).any().any()


# Field: instances it has, and number of array entries.
FIELDS = {
    31: ((0,), 1), 21003: (range(4), 1), 21002: (range(4), 1), 1707: (range(3), 1),
    20116: (range(4), 1), 6150: (range(3), 4), 6152: (range(4), 5), 23099: (range(4), 1),
    30020: (range(2), 1), 30760: (range(2), 1), 30750: (range(2), 1), 30780: (range(2), 1),
    20023: (range(4), 1), 54: (range(4), 1), 53: (range(4), 1), 50: (range(4), 1),
    25000: ((2, 3), 1), 25741: ((2, 3), 1), 25756: ((2, 3), 1), 25757: ((2, 3), 1),
    25758: ((2, 3), 1), 25759: ((2, 3), 1), 25734: ((2, 3), 1), 25735: ((2, 3), 1),
    25736: ((2, 3), 1), 25737: ((2, 3), 1), 25739: ((2, 3), 1), 25746: ((2, 3), 1),
    21000: ((0,), 1), 22189: ((0,), 1), 22011: ((0,), 1), 6153: (range(4), 1), 6177: (range(4), 1),
    **dict.fromkeys(YES_NO_FIELDS.values(), (range(4), 1)),
}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_columns_are_those_of_uk_biobank(table, field):
    instances, arrays = FIELDS[field]
    found = [tuple(map(int, c.split("-")[1].split("."))) for c in columns_of(table, field)]
    assert found, f"no column of field {field}"
    if instances is not None:
        assert {instance for instance, _ in found} == set(instances)
    assert max(array for _, array in found) < arrays


def test_columns_of_a_field_stand_in_order(table):
    keys = [tuple(map(int, c.replace("-", ".").split("."))) for c in table.columns[1:]]
    assert keys == sorted(keys)
    assert len(set(table.columns)) == len(table.columns)


@pytest.mark.parametrize(
    ("field", "codes", "always"),
    [
        (31, {0, 1}, {0, 1}),
        (1707, {1, 2, 3, -3}, {1, 2, 3}),
        (20116, {0, 1, 2, -3}, {0, 1, 2, -3}),
        (6150, {1, 2, 3, 4, -7, -3}, {1, 2, 3, 4, -7, -3}),
        (6152, {5, 6, 7, 8, 9, -7, -3}, {5, 6, 7, 8, 9, -7, -3}),
        *((field, {1, 0, -1, -3}, {1, 0, -1, -3}) for field in YES_NO_FIELDS.values()),
    ],
)
def test_codes(table, field, codes, always):
    found = set(np.concatenate([numbers(table[c]) for c in columns_of(table, field)]).astype(int))
    assert found <= codes
    assert found >= always


def test_multi_select_answers_fill_from_the_left_and_none_stands_alone(table):
    for field in (6150, 6152):
        several = 0
        for instance in range(4):
            columns = [c for c in columns_of(table, field) if c.split("-")[1][0] == str(instance)]
            for row in table[columns].to_numpy():
                entries = [e for e in row if e]
                assert list(row[: len(entries)]) == entries
                assert len(set(entries)) == len(entries)
                if {"-7", "-3"} & set(entries):
                    assert len(entries) == 1
                several += len(entries) > 1
        assert several > 10


def test_answers_are_of_visits_that_took_place(table):
    for instance in range(4):
        absent = table[f"53-{instance}.0"] == ""
        assert absent.any() or instance == 0
        of_visit = [c for c in table.columns if f"-{instance}." in c]
        once = ("31", "21000", "22189", "22011")
        asked = [c for c in of_visit if c.split("-")[0] not in once]
        assert (table.loc[absent, asked] == "").all().all()


def test_four_visits_in_their_order(table):
    days = table[[f"53-{k}.0" for k in range(4)]].replace("", None).apply(pd.to_datetime)
    assert days["53-0.0"].notna().all()
    for earlier, later in (("53-0.0", "53-1.0"), ("53-0.0", "53-2.0"), ("53-2.0", "53-3.0")):
        both = days[[earlier, later]].dropna()
        assert len(both) > 50
        assert (both[earlier] < both[later]).all()
    assert days["53-0.0"].dt.year.between(2006, 2010).all()
    assert days["53-2.0"].dropna().dt.year.min() >= 2012


def test_age_grows_with_the_visits(table):
    ages = table[[f"21003-{k}.0" for k in range(4)]].apply(pd.to_numeric)
    assert ages["21003-2.0"].dropna().between(45, 82).all()
    lag = (ages["21003-2.0"] - ages["21003-0.0"]).dropna()
    assert 8 < lag.mean() < 10.5
    assert (lag > 0).all()
    assert ((ages["21003-3.0"] - ages["21003-2.0"]).dropna() >= 0).all()


def test_imaging_sites_are_imaging_sites(table):
    assert set(numbers(table["54-2.0"])) == {11025, 11026, 11027, 11028}
    assert max(numbers(table["54-0.0"])) < 11025


def test_some_answers_are_missing(table):
    attended = table["53-2.0"] != ""
    for field in YES_NO_FIELDS.values():
        no_answer = table.loc[attended, f"{field}-2.0"].isin(["-1", "-3"]).mean()
        assert 0.005 < no_answer < 0.06
    for column in ("30020-0.0", "30780-0.0"):
        assert 0.005 < (table[column] == "").mean() < 0.15
    assert (table["25757-2.0"] == "-999999").sum() > 0


def test_the_table_says_what_the_latents_are(table):
    z = latents(variates(11, range(1, N + 1)))
    np.testing.assert_array_equal(numbers(table["31-0.0"]), z["male"])
    attended = (table["53-2.0"] != "").to_numpy()
    np.testing.assert_array_equal(numbers(table["21003-2.0"]), np.floor(z["age_years"][attended]))
    np.testing.assert_array_equal(numbers(table["54-2.0"]), z["site_code"][attended])
    right = table["1707-2.0"] == "1"
    assert abs(right[attended].mean() - 0.89) < 0.03
    head = pd.to_numeric(table["25000-2.0"], errors="coerce")
    assert np.corrcoef(head[head.notna()], z["head"][head.notna()])[0, 1] < -0.95


def test_a_tenth_comes_back(table):
    imaged = table["53-2.0"] != ""
    assert 0.07 < (table.loc[imaged, "53-3.0"] != "").mean() < 0.13
    assert (table.loc[~imaged, "53-3.0"] == "").all()


def test_a_row_depends_on_seed_and_number_only(table):
    few = main_table(cohort(participants=40))
    rows = table.iloc[:40]
    for column in table.columns:
        if column in few:
            assert list(few[column]) == list(rows[column])
        else:
            assert (rows[column] == "").all()
    other = main_table(cohort(participants=40, seed=12))
    assert (other["31-0.0"] != few["31-0.0"]).any()


def test_men_and_women_are_asked_about_medication_in_their_own_fields(table):
    male = table["31-0.0"] == "1"
    assert (table.loc[male, "6153-2.0"] == "").all()
    assert (table.loc[~male, "6177-2.0"] == "").all()
    assert set(table["6153-2.0"]) == set(table["6177-2.0"]) == {"", "1", "2", "-7", "-3"}


def test_codes_are_written_as_whole_numbers(table):
    for field, codes in ((1707, {"", "1", "2", "3", "-3"}), (1920, {"", "0", "1", "-1", "-3"})):
        for column in columns_of(table, field):
            assert set(table[column]) <= codes


def test_withdrawals_are_the_people_who_withdrew():
    gone = withdrawn(cohort())
    assert gone == [9_000_000 + n for n in range(1, N + 1) if visits_of(11, n).withdrawn]
    assert 1 <= len(gone) < 0.02 * N


def test_relatedness_file_on_both_sides_of_third_degree():
    pairs = relatedness_file(cohort())
    assert list(pairs.columns) == ["ID1", "ID2", "HetHet", "IBS0", "Kinship"]
    assert pairs[["ID1", "ID2"]].min(axis=None) >= 9_000_001
    assert pairs["ID2"].max() <= 9_000_000 + N
    assert (pairs["ID1"] < pairs["ID2"]).all()
    assert not pairs.duplicated(["ID1", "ID2"]).any()
    close, distant = pairs[pairs["Kinship"] > 0.0442], pairs[pairs["Kinship"] <= 0.0442]
    assert len(distant) > 5
    assert close["Kinship"].between(0.18, 0.32).all()
    assert (distant["Kinship"] > 0).all()
    families = [family_of(11, n) for n in range(1, N + 1)]
    expected = {(f, n) for n, f in enumerate(families, start=1) if f != n}
    got = {(a - 9_000_000, b - 9_000_000) for a, b in close[["ID1", "ID2"]].to_numpy()}
    assert got == expected
    assert max(Counter(families).values()) == 3


def test_a_cohort_without_pairs_has_an_empty_file_of_the_same_columns():
    pairs = relatedness_file(cohort(participants=1))
    assert list(pairs.columns) == ["ID1", "ID2", "HetHet", "IBS0", "Kinship"]
    assert pairs.empty
