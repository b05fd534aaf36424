import csv
import gzip
import io
import re

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ukb_brain.errors import InputError
from ukb_brain.tables import text_files
from ukb_brain.tables.text_files import TEXT, find_form, read_columns
from ukb_brain.tables.text_lines import Counted, count_lines, lines_of

TITLES = "Participant ID{0}Sex{0}Blood clot, DVT, bronchitis, emphysema, asthma; rhinitis"


@pytest.mark.parametrize(
    ("line", "delimiter", "quoted"),
    [
        ('"eid","31-0.0"', ",", True),
        ("eid\t31-0.0", "\t", False),
        ('"eid"\t"31-0.0"', "\t", True),
        ("eid;31-0.0;50-0.0", ";", True),
        # Commas within titles are more than tabs between them.
        (TITLES.format("\t"), "\t", False),
        (TITLES.format(";").replace("asthma;", "asthma"), ";", True),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_form_is_found_out_from_the_header(tmp_path, line, delimiter, quoted, end, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes((line + end).encode(encoding))
    form = find_form(path)
    assert (form.delimiter, form.quoted) == (delimiter, quoted)
    assert form.encoding == ("utf-16" if encoding == "utf-16" else "utf-8")
    assert len(form.header) == line.count(delimiter) + 1
    assert form.header[0] in ("eid", "Participant ID")


def test_an_empty_file_has_no_header(tmp_path):
    (tmp_path / "a.csv").write_text("")
    assert find_form(tmp_path / "a.csv").header == ()


# A line of an answer that begins as a row does, and has as many cells, is refused: see below.
CELLS = st.text("ab1;\t ,\"\n|'é", max_size=6).filter(
    lambda text: not (re.search(r"\n1+,", text) and text.count(",") > 1)
)


@pytest.mark.parametrize("block", [64, 1 << 20])
@settings(phases=[Phase.generate], max_examples=60)
@given(rows=st.lists(st.tuples(CELLS, st.integers(0, 99)), min_size=1, max_size=30))
def test_rows_of_a_csv_are_as_many_whatever_its_text_holds(tmp_path_factory, block, rows):
    path = tmp_path_factory.mktemp("t") / "a.csv"
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    table = [(9_000_001 + k, text, number) for k, (text, number) in enumerate(rows)]
    writer.writerows([("eid", "10877-0.0", "31-0.0"), *table])
    path.write_text(written.getvalue(), newline="")
    with pytest.MonkeyPatch.context() as patched:
        # Blocks so small that answers lie across their edges.
        patched.setattr(text_files, "BLOCK_BYTES", block)
        found = read_columns(path, find_form(path), {0: pa.int64(), 2: pa.float64()})
    assert found["0"].to_pylist() == [row[0] for row in table]
    assert found["2"].to_pylist() == [row[2] for row in table]


def test_pieces_of_rows_say_nothing_of_the_types_of_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "BLOCK_BYTES", 64)
    # Read by lines at first, a piece of an answer stands where an id should.
    rows = [
        ("b , éé", 10),
        ('é\na,|"', 31),
        ("", 90),
        ("", 11),
        ("\t", 52),
        ("", 66),
        ("\t1bba", 8),
        ("é,b'", 3),
    ]
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("eid", "10877-0.0", "31-0.0"))
        writer.writerows((9_000_001 + k, *row) for k, row in enumerate(rows))
    found = read_columns(path, find_form(path), {0: pa.int64(), 2: pa.float64()})
    assert found.schema.types == [pa.int64(), pa.float64()]


@pytest.mark.parametrize("swallowed", [1, 2, 30])
@pytest.mark.parametrize("block", [128, 1 << 20])
def test_people_between_two_stray_quotes_are_never_lost(tmp_path, monkeypatch, swallowed, block):
    monkeypatch.setattr(text_files, "BLOCK_BYTES", block)
    rows = [f"{9_000_001 + k},none,{k % 2}" for k in range(100)]
    rows[40] = rows[40].replace("none", '"fell')
    rows[40 + swallowed] = rows[40 + swallowed].replace("none", 'the "')
    path = tmp_path / "ukb1.csv"
    path.write_text("eid,10877-0.0,31-0.0\n" + "\n".join(rows))
    told = f"ukb1.csv: {swallowed} line(s) that look like whole rows lie inside quoted cells"
    with pytest.raises(InputError, match=re.escape(told)) as caught:
        read_columns(path, find_form(path), {0: pa.int64(), 2: pa.float64()})
    assert "9000" not in str(caught.value)


@pytest.mark.bad_input(
    given="a table that was cut short in the middle of a row",
    says="has a row of 2 columns where its header has 3; the file is damaged or cut short",
)
def test_a_file_that_is_cut_short(tmp_path, says):
    path = tmp_path / "ukb1.tab"
    path.write_text("f.eid\tf.31.0.0\tf.50.0.0\n9000001\t1\t170\n9000002\t1")
    with pytest.raises(InputError, match=re.escape(says)):
        read_columns(path, find_form(path), {0: pa.int64()})


def test_columns_that_hold_text_are_read_as_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("eid,31-0.0,20116-2.0,50-0.0\n1,Male,Never,170\n2,Female,,\n")
    found = read_columns(
        path, find_form(path), {0: pa.int64()} | dict.fromkeys((1, 2, 3), pa.float64())
    )
    assert found["1"].type == found["2"].type == TEXT
    assert found["0"].type == pa.int64()
    assert found["1"].to_pylist() == ["Male", "Female"]


def test_text_that_is_no_utf_8_is_read_as_latin_1(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("eid,1647-0.0\n1,Curaçao\n".encode("latin-1"))
    found = read_columns(path, find_form(path), {0: pa.int64(), 1: TEXT})
    assert found["1"].to_pylist() == ["Curaçao"]


@given(st.text("a\né\r,", max_size=40), st.sampled_from(["utf-8", "utf-16", "latin-1"]))
def test_lines_are_counted_while_bytes_pass(text, encoding):
    counted = Counted(io.BytesIO(text.encode(encoding)), encoding)
    pieces = []
    while piece := counted.read(8):
        assert len(piece) <= 8
        pieces.append(piece)
    assert b"".join(pieces).decode() == text
    assert counted.lines == len(text.split("\n")) - (text == "" or text.endswith("\n"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_lines_of_packed_files(tmp_path, encoding):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress("eid\n1\n2".encode(encoding)))
    assert count_lines(path, encoding) == 3
    assert list(lines_of(path, encoding)) == ["eid\n", "1\n", "2"]
