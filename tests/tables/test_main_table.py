import gzip
import os
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from table_cases import CODINGS, COHORT, fields_of, opened, read, written

from ukb_brain.errors import InputError
from ukb_brain.synthetic.table_styles import STYLES, write_table
from ukb_brain.tables.headers import parse_column

bad_input = pytest.mark.bad_input
# Each example writes files: to make a failing one smaller would take minutes.
GENERATE = [Phase.generate]


def of(text, fields=None, **given):
    def of_folder(folder):
        return read(written(folder, text, **given), fields)

    return of_folder


def expected_of(table):
    """What the text of a cohort says, read without the project's reader."""
    columns = {"eid": table["eid"].astype("int64")}
    for name in sorted(table.columns.drop("eid"), key=lambda n: parse_column(n)[0]):
        texts = table[name].replace("", None)
        dates = pd.to_datetime(texts).astype("datetime64[us]") if name.startswith("53-") else None
        columns[name] = pd.to_numeric(texts).astype("float64") if dates is None else dates
    return pd.DataFrame(columns).sort_values("eid", ignore_index=True)


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=5, phases=GENERATE)
@given(random=st.randoms(use_true_random=False), n=st.integers(1, 12))
def test_a_cohort_in_any_style_reads_as_the_same_table(tmp_path_factory, style, random, n):
    folder = tmp_path_factory.mktemp("raw")
    rows = random.sample(range(len(COHORT)), n)
    every = list(COHORT.columns.drop("eid"))
    fields = set(random.sample(sorted({parse_column(name)[0].field for name in every}), 12))
    columns = [name for name in every if parse_column(name)[0].field in fields]
    random.shuffle(columns)
    # Answers of one visit stay in their order, as every writer keeps it.
    columns.sort(key=lambda name: int(name.rpartition(".")[2]))
    table = COHORT.iloc[rows][["eid", *columns]]
    write_table(table, folder, style, CODINGS)
    expected = expected_of(table)
    found = read(folder, fields)
    # A column of answers that nobody gave is not there where answers share a cell.
    expected, there = (t.dropna(axis=1, how="all") for t in (expected, found))
    pd.testing.assert_frame_equal(there[list(expected)], expected)


@pytest.mark.parametrize("style", STYLES)
def test_weight_is_read_in_any_style(tmp_path, style):
    write_table(COHORT, tmp_path, style, CODINGS)
    found = read(tmp_path, {21002})["21002-2.0"]
    assert found.equals(expected_of(COHORT)["21002-2.0"])


@settings(max_examples=15, phases=GENERATE)
@given(random=st.randoms(use_true_random=False), parts=st.integers(1, 4), by_rows=st.booleans())
def test_the_order_of_rows_columns_and_files_changes_nothing(
    tmp_path_factory, random, parts, by_rows
):
    folder = tmp_path_factory.mktemp("raw")
    some = random.sample(list(COHORT.columns.drop("eid")), 30)
    columns, rows = ["eid", *some], list(range(len(COHORT)))
    random.shuffle(columns)
    random.shuffle(rows)
    table = COHORT.iloc[rows][columns]
    names = random.sample(["a.csv", "b.csv", "c.csv", "z.csv"], parts)
    others = [name for name in columns if name != "eid"]
    for k, name in enumerate(names):
        part = table.iloc[k::parts] if by_rows else table[["eid", *others[k::parts]]]
        part.to_csv(folder / name, index=False)
    pd.testing.assert_frame_equal(read(folder), expected_of(table))


@pytest.mark.parametrize(
    ("name", "encoding", "text"),
    [
        ("ukb1.csv", "utf-8", "eid,31-0.0,6150-2.0,6150-2.1\r\n2,0,-7,\r\n1,1,1,4\r\n"),
        ("ukb1.csv", "utf-8-sig", "eid,31-0.0,6150-2.0,6150-2.1\n2,0,-7,\n1,1,1,4"),
        (
            "ukb1.tab",
            "utf-8",
            "f.eid\tf.31.0.0\tf.6150.2.0\tf.6150.2.1\n2\t0\t-7\tNA\n1\t1\t1\t4",
        ),
        ("ukb1.tsv", "utf-8", '"eid"\t"31-0.0"\t"6150-2.0"\n"2"\t"0"\t"-7"\n"1"\t"1"\t"1|4"\n'),
        ("ukb1.txt", "utf-16", "eid\tp31\tp6150_i2\n2\t0\t-7\n1\t1\t1|4\n"),
        ("ukb1.csv", "utf-8", "eid;31_0_0;6150_2_0;6150_2_1\n2;0;-7;\n1;1;1;4\n\n\n"),
        ("ukb1.csv", "utf-8", '"","eid","X31.0.0","X6150.2.0"\n"1","2",0,"-7"\n"2","1",1,"1|4"\n'),
        ("UKB1.CSV", "utf-8", "eid,p31,p6150_i2\n2,Female,None of the above\n1,Male,1|4\n"),
        (
            "a.csv",
            "utf-8",
            "Participant ID,Sex,Vascular/heart problems diagnosed by doctor | Instance 2\n"
            "2,female,None of the above\n1, Male ,Heart attack|High blood pressure\n",
        ),
        ("a.csv", "utf-8", 'eid,p31,p6150_i2\n2,0,[-7]\n1,1,"[1,4]"\n'),
        ("a.csv", "utf-8", 'eid,p31,p6150_i2\n2,0,"[""-7""]"\n1,1,"[""1"",""4""]"\n'),
        ("a.tsv", "utf-8", 'eid\tp31\tp6150_i2\n2\t0\t[-7]\n1\t1\t["1","4"]\n'),
        ("a.csv", "utf-8", "eid,sex_f31_0_0,heart_f6150_2_0,heart_f6150_2_1\n2,0,-7,NA\n1,1,1,4\n"),
        ("a.csv", "utf-8", "eid,31-0.0_x,31-0.0_y,6150-2.0,6150-2.1\n2,0,,-7,\n1,,1,1,4\n"),
        ("a.csv", "utf-8", "eid ,31-0.0, 6150-2.0,6150-2.1\n2.0,0.0,-7.0,NA\n1.0,1,1,4\n"),
    ],
)
def test_ways_of_writing_that_mean_the_same(tmp_path, name, encoding, text):
    found = read(written(tmp_path, text, name, encoding))
    assert list(found) == ["eid", "31-0.0", "6150-2.0", "6150-2.1"]
    np.testing.assert_array_equal(found.to_numpy(float), [[1, 1, 1, 4], [2, 0, -7, np.nan]])
    assert found["eid"].dtype == "int64"


READ = {
    "several answers in a cell, as the Platform exports them: `1|4`": (
        "eid,p6150_i2\n1,1|4\n",
        "read: as answers 0 and 1",
        {"6150-2.0": 1, "6150-2.1": 4},
    ),
    "several answers in a cell in another order: `[4,1]`": (
        'eid,p6150_i2\n1,"[4,1]"\n',
        "read: in the order given",
        {"6150-2.0": 4, "6150-2.1": 1},
    ),
    "labels in place of codes": (
        "eid,p31,p20116_i2\n1,Male,Prefer not to answer\n",
        "read: by the field's coding",
        {"31-0.0": 1, "20116-2.0": -3},
    ),
    "labels and codes mixed in one column": (
        "eid,p6150_i2\n1,High blood pressure|1\n",
        "read: each by itself",
        {"6150-2.0": 4, "6150-2.1": 1},
    ),
    "the id column `Participant ID`": ("Participant ID,Sex\n1,Male\n", "read", {"31-0.0": 1}),
    "columns that R renamed: `X31.0.0`": ("eid,X31.0.0\n1,1\n", "read", {"31-0.0": 1}),
    "columns that R renamed: `31_0_0`": ("eid,31_0_0\n1,1\n", "read", {"31-0.0": 1}),
    "columns that ukbtools renamed: `sex_f31_0_0`": (
        "eid,sex_f31_0_0\n1,1\n",
        "read",
        {"31-0.0": 1},
    ),
    "semicolons": ("eid;31-0.0;50-0.0\n1;1;170.5\n", "read", {"31-0.0": 1, "50-0.0": 170.5}),
    "eids as `1000001.0`": ("eid,31-0.0\n1000001.0,1\n", "read: as whole numbers", {"31-0.0": 1}),
    "weight as `21002-2.0_x` after a merge": (
        "eid,21002-2.0_x,21002-2.0_y\n1,,80.5\n",
        "read: from whichever of the two has it",
        {"21002-2.0": 80.5},
    ),
    "dates with `T` and `Z`": (
        "eid,53-2.0\n1,2016-05-03T00:00:00.000Z\n",
        "read: the day",
        {"53-2.0": pd.Timestamp(2016, 5, 3)},
    ),
    "dates as dd/mm/yyyy, one of them past the 12th": (
        "eid,53-2.0\n1,03/05/2016\n2,30/05/2016 10:11\n",
        "read: days first",
        {"53-2.0": pd.Timestamp(2016, 5, 3)},
    ),
    "dates as mm/dd/yyyy, one of them past the 12th": (
        "eid,53-2.0\n1,05/03/2016\n2,05/30/2016\n",
        "read: months first",
        {"53-2.0": pd.Timestamp(2016, 5, 3)},
    ),
    "a line break inside a quoted answer of a CSV": (
        'eid,10877-0.0,31-0.0\n1,"fell,\nthen rose",1\n2,,0\n',
        "read: one person",
        {"31-0.0": 1},
    ),
    "a stray quote inside an answer of a CSV": (
        'eid,10877-0.0,31-0.0\n1,slipped "disc,1\n2,"none",0\n3,5" nail,0\n',
        "read: quotes count at the start of a cell only",
        {"31-0.0": 1},
    ),
    "two stray quotes in a tab file's text column": (
        'f.eid\tf.10877.0.0\tf.31.0.0\n1\t"fell\t1\n2\tnone\t0\n3\t"hip\t0\n4\t"\t1\n',
        "read: quotes mean nothing there",
        {"31-0.0": 1},
    ),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(text, expected, marks=bad_input(given=given, says=says), id=given)
        for given, (text, says, expected) in READ.items()
    ],
)
def test_common_ways_of_writing_are_read(tmp_path, text, expected):
    asked = {int(name.split("-")[0]) for name in expected}
    found = read(written(tmp_path, text), asked)
    assert len(found) == len([line for line in text.splitlines() if line[0].isdigit()])
    assert found.iloc[0][list(expected)].to_dict() == expected


REFUSED = {
    "decimal commas": (
        "eid;21002-2.0\n9000001;80,5\n9000002;70\n",
        "'21002-2.0' of ukb12345.csv holds numbers with a decimal comma in 1 cell(s)",
    ),
    "eids as `1e+06`": (
        "eid,31-0.0\n1e+06,1\n",
        "eids such as 1e+06: a spreadsheet or R rounded them",
    ),
    "eids that are text": (
        "eid,31-0.0\nx9000003,1\n",
        "'eid' of ukb12345.csv holds text where participants' whole numbers were expected",
    ),
    "an eid of twenty-five digits": (
        "eid,31-0.0\n9000003000000000000000000,1\n",
        "'eid' of ukb12345.csv holds text where participants' whole numbers were expected",
    ),
    "a row without an eid": ("eid,31-0.0\n,1\n9000002,0\n", "1 row(s) without an eid"),
    "an eid that comes twice": (
        "eid,31-0.0\n9000001,1\n9000001,1\n9000001,0\n9000002,0\n",
        "2 row(s) whose eid came before, and one row a participant was expected",
    ),
    "an unknown label": (
        "eid,20116-2.0\n9000001,Sometimes\n9000002,Never\n9000003,Sometimes\n",
        "(field 20116) holds labels that coding 90 is not known to have: 'Sometimes' (fewer than "
        "10)",
    ),
    "text where numbers belong": (
        "eid,21002-2.0\n9000001,heavy\n",
        "(field 21002) holds text in 1 cell(s) where numbers were expected",
    ),
    "dates of which day and month cannot be told apart": (
        "eid,53-2.0\n9000001,03/05/2016\n",
        "'##/##/####', and day and month cannot be told apart",
    ),
    "a date that is none": (
        "eid,53-2.0\n9000001,2016-02-31\n",
        "'####-##-##', and is no date (fewer than 10 cell(s))",
    ),
    "a row that is cut short": (
        "eid,31-0.0,50-0.0\n9000001,1,170\n9000002,1",
        "a row of 2 columns where its header has 3",
    ),
    "rows with names in front, as R's write.table leaves them": (
        "eid,31-0.0,50-0.0\n1,9000001,1,170\n2,9000002,1,160\n",
        "R's write.table leaves names of rows in front",
    ),
    "stray quotes in a CSV that swallow a person": (
        'eid,10877-0.0,31-0.0\n9000001,"fell,1\n9000002,"none,0\n9000003,,1\n',
        "stray quotes would swallow people without a word",
    ),
    "two columns of one name that contradict each other": (
        "eid,31-0.0,31-0.0\n9000001,1,0\n",
        "'31-0.0' of ukb12345.csv is there twice",
    ),
    "two columns of a merge that contradict each other": (
        "eid,6150-2.0_x,6150-2.0_y\n9000001,1,1|4\n9000002,4,1\n",
        "the two differ for 1 people",
    ),
    "two dates of a merge that contradict each other": (
        "eid,53-2.0_x,53-2.0_y\n9000001,2016-05-03,2016-05-04\n",
        "the two differ for 1 people",
    ),
    "an answer both in the cell of its array and beside it": (
        "eid,p6150_i2_a0,p6150_i2_a1\n9000001,1|4,3\n",
        "holds 6150-2.1 twice",
    ),
}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, marks=bad_input(given=given, says=says), id=given)
        for given, (text, says) in REFUSED.items()
    ],
)
def test_what_cannot_be_trusted_is_told_in_one_line_without_an_eid(tmp_path, text, says):
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        read(written(tmp_path, text))
    message = str(caught.value)
    assert "900000" not in message
    assert "\n" not in message
    assert "ukb12345.csv" in message


@bad_input(
    given="two tables that contradict each other", says="31-0.0 differs for 1 people. Keep one"
)
def test_contradicting_files_are_named(tmp_path, says):
    written(tmp_path, "eid,31-0.0,50-0.0\n9000001,1,170\n9000002,,160\n", "a.csv")
    written(tmp_path, "eid,31-0.0\n9000001,0\n9000002,1\n", "b.csv")
    with pytest.raises(InputError, match=f"b.csv and a.csv .*{re.escape(says)}"):
        read(tmp_path)
    assert read(tmp_path, files=("a.csv",))["31-0.0"].tolist()[0] == 1


def test_files_fill_each_others_gaps(tmp_path):
    written(tmp_path, "eid,31-0.0\n2,\n1,1\n", "a.csv")
    written(tmp_path, "f.eid\tf.31.0.0\tf.50.0.0\n3\t0\t150\n2\t0\tNA\n", "b.tab")
    found = read(tmp_path)
    assert found.fillna(-9).to_numpy().tolist() == [[1, 1, -9], [2, 0, -9], [3, 0, 150]]


def test_other_files_beside_the_table_are_passed_over(tmp_path):
    written(tmp_path, "eid,31-0.0\n1,1\n", "anything at all.csv")
    written(tmp_path, "eid,sex,fold\n1,0,3\n", "splits_of_mine.csv")
    written(tmp_path, "", "empty.csv")
    written(tmp_path, "31-0.0,21003-2.0\n1,2\n", "no_ids.csv")
    written(tmp_path, "ID1 ID2 HetHet IBS0 Kinship\n1 2 0 0 .2\n", "ukb_rel.txt")
    written(tmp_path, b"\x00\xff\xfe\x00" * 99, "picture.txt")
    written(tmp_path, "9000001\n", "w12345_20230425.csv")
    (tmp_path / "codings").mkdir()
    written(tmp_path / "codings", "eid,31-0.0\n1,0\n", "table.csv")
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "nowhere.csv")
    assert [file.path.name for file in opened(tmp_path).files] == ["anything at all.csv"]
    assert read(tmp_path)["31-0.0"].tolist() == [1]


@pytest.mark.parametrize("text", ["eid,31-0.0\n", "eid,31-0.0"])
def test_a_table_of_nobody_has_no_rows(tmp_path, text):
    found = read(written(tmp_path, text))
    assert found.shape == (0, 2)
    assert found.dtypes.tolist() == ["int64", "float64"]


def test_only_what_is_asked_for_is_read(tmp_path):
    text = "31-0.0,eid,10877-0.0,20116-2.0\n1,7,a text,Sometimes\n0,8,,\n"
    assert list(read(written(tmp_path, text), {31, 54})) == ["eid", "31-0.0"]
    table = opened(tmp_path)
    assert fields_of(table) == {31, 10877, 20116}
    assert (20116, 2, 0) in table.columns


def test_how_many_have_an_unknown_label_is_told_where_they_are_many(tmp_path):
    rows = "".join(f"{9000001 + k},Sometimes\n" for k in range(12))
    written(tmp_path, "eid,20116-2.0\n" + rows)
    with pytest.raises(InputError, match=r"'Sometimes' \(12\)"):
        read(tmp_path, [20116])


def test_coding_files_of_the_user_name_further_labels(tmp_path):
    written(tmp_path, "eid,p1647_i0\n1,England\n2,Wales\n")
    with pytest.raises(
        InputError, match=r"coding 100420 .*'England' \(fewer than 10\).*coding100420\.tsv"
    ):
        read(tmp_path)
    (tmp_path / "codings").mkdir()
    written(tmp_path / "codings", "coding\tmeaning\n1\tEngland\n2\tWales\n", "coding100420.tsv")
    assert read(tmp_path)["1647-0.0"].tolist() == [1, 2]


@pytest.mark.parametrize("numbers", [[1.0, np.nan], [1, 0], ["Male", None], [True, False]])
def test_parquet_holds_numbers_text_or_lists(tmp_path, numbers):
    frame = pd.DataFrame({"participant.eid": [2, 1], "participant.p31": numbers})
    frame["participant.p6150_i2"] = [[1, 4], None]
    frame["participant.p6152_i2"] = [["Asthma", "9"], []]
    frame["participant.p53_i2"] = pd.to_datetime(["2016-05-03", None]).date
    frame.to_parquet(tmp_path / "part-0.parquet")
    found = read(tmp_path)
    assert found["eid"].tolist() == [1, 2]
    assert found["31-0.0"][1] == 1
    several = found[["6150-2.0", "6150-2.1", "6152-2.0", "6152-2.1"]]
    assert several.iloc[1].tolist() == [1, 4, 8, 9]
    assert several.iloc[0].isna().all()
    assert found["53-2.0"][1] == pd.Timestamp(2016, 5, 3)
    assert found["53-2.0"].dtype == "datetime64[us]"


@bad_input(given="a Parquet file that is none", says="a.parquet is no readable Parquet file")
def test_a_broken_parquet_file(tmp_path, says):
    with pytest.raises(InputError, match=re.escape(says)):
        read(written(tmp_path, "eid,31-0.0\n", "a.parquet"))


@pytest.mark.parametrize("cut", [1, 40])
@bad_input(given="a packed table that is cut short", says="a.csv.gz cannot be read to its end")
def test_a_broken_packed_file(tmp_path, cut, says):
    rows = "".join(f"{k},{k % 2}\n" for k in range(1000))
    whole = gzip.compress(f"eid,31-0.0\n{rows}".encode())
    with pytest.raises(InputError, match=re.escape(says)):
        read(written(tmp_path, whole[:-cut], "a.csv.gz"))
    with pytest.raises(InputError, match=re.escape(says)):
        read(written(tmp_path, b"eid,31-0.0\n1,1\n", "a.csv.gz"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_table_without_permission(tmp_path):
    written(tmp_path, "eid,31-0.0\n1,1\n")
    (tmp_path / "ukb12345.csv").chmod(0)
    with pytest.raises(InputError, match=r"ukb12345\.csv cannot be read for want of permission"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "says"),
    [("mine.csv", "no column `eid`"), ("none.csv", "There is no .*none.csv, which tables.files")],
)
def test_a_named_file_that_is_no_table(tmp_path, name, says):
    written(tmp_path, "ID,31-0.0\n1,2\n", "mine.csv")
    with pytest.raises(InputError, match=says):
        read(tmp_path, files=(name,))


def test_delimiter_and_encoding_may_be_told(tmp_path):
    written(tmp_path, "eid;31-0.0\n1;1\n", "a.csv")
    with pytest.raises(InputError, match="None of the 1 file"):
        opened(tmp_path, delimiter=",")
    assert read(tmp_path, delimiter=";")["31-0.0"].tolist() == [1]
    written(tmp_path, "eid,31-0.0,10877-0.0\n1,1,M\xe9ni\xe8re\n", "a.csv", "latin-1")
    assert opened(tmp_path, encoding="latin-1").files[0].form.encoding == "latin-1"
    assert read(tmp_path, {31}, encoding="latin-1")["31-0.0"].tolist() == [1]


@bad_input(
    given="an encoding that the file has not",
    says="a.csv is not written in the encoding that tables.encoding tells",
)
def test_a_wrong_encoding(tmp_path, says):
    with pytest.raises(InputError, match=re.escape(says)):
        opened(written(tmp_path, "eid,31-0.0\n1,1\n", "a.csv"), encoding="utf-16")
