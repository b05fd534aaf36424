from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from abide_cases import TABLE, row_of, write_table

from ukb_brain.errors import InputError
from ukb_brain.tables.abide import is_abide
from ukb_brain.tables.dictionary import Codings
from ukb_brain.tables.exclusions import DataEngineering, dated_visits, select_cohort, usable_scans
from ukb_brain.tables.main_table import TableFolder
from ukb_brain.tables.people_lists import Withdrawals
from ukb_brain.tables.table_file import TableSettings
from ukb_brain.tables.visits import derive_confounds, describe_participants

CONF = Path(__file__).parents[2] / "conf/abide"


def parameters(name):
    return yaml.safe_load((CONF / f"parameters_{name}.yml").read_text())


CODINGS = Codings(parameters("codings")["codings"])
ENGINEERING = DataEngineering(**parameters("data_engineering")["data_engineering"])
FIELDS = {31, 54, 21003, 25741, 1_000_101, 1_000_102, 1_000_103}


def read(folder, *rows):
    write_table(folder, rows)
    return TableFolder(folder, folder / "codings").open(TableSettings(), CODINGS).read(FIELDS)


def test_what_both_have_gets_uk_biobanks_fields_and_codes(tmp_path):
    table = read(
        tmp_path, row_of(5, SEX=2, DX_GROUP=1), row_of(3, SEX=1, AGE_AT_SCAN=6.47, FIQ="88.5")
    )
    # Sorted by number.
    assert table["eid"].tolist() == [50_003, 50_005]
    assert table["31-0.0"].tolist() == [1.0, 0.0]
    assert table["54-0.0"].tolist() == [6.0, 17.0]  # MAX_MUN, UM_1
    assert table["21003-0.0"].iloc[0] == 6.47
    assert table["1000101-0.0"].tolist() == [1.0, 1.0]
    assert table["1000102-0.0"].iloc[0] == 88.5


@pytest.mark.parametrize("text", ["-9999", "-9999.0", ""])
def test_what_is_not_known_is_no_answer(tmp_path, text):
    table = read(tmp_path, row_of(0, FIQ=text, func_mean_fd=text), row_of(1))
    assert np.isnan(table["1000102-0.0"].iloc[0]) and np.isnan(table["25741-0.0"].iloc[0])
    assert table["1000103-0.0"].isna().all()
    assert np.isfinite(table["1000102-0.0"].iloc[1])


def test_the_header_tells_whatever_the_name(tmp_path):
    write_table(tmp_path, [row_of(0)])
    (tmp_path / TABLE).rename(tmp_path / "people.csv")
    table = TableFolder(tmp_path, tmp_path).open(TableSettings(), CODINGS)
    assert [file.style for file in table.files] == ["ABIDE"]
    assert not is_abide(["eid", "31-0.0", "SEX", "AGE_AT_SCAN"])


@pytest.mark.bad_input(
    given="ABIDE's table with sexes as M and F, or 0 and 1",
    says="something else than 1 (male) and 2 (female) in 1 row(s)",
)
def test_sexes_in_another_code(tmp_path, says):
    with pytest.raises(InputError) as caught:
        read(tmp_path, row_of(1, SEX=0), row_of(2))
    assert says in str(caught.value)
    with pytest.raises(InputError, match="SEX"):
        read(tmp_path, row_of(1, SEX="M"), row_of(2))


def test_a_site_that_abide_has_not_is_told(tmp_path):
    with pytest.raises(InputError, match="'SITE_ID' of Phenotypic"):
        read(tmp_path, row_of(1, SITE_ID="ATLANTIS"), row_of(2))


def test_visits_without_dates_and_children(tmp_path):
    table = read(tmp_path, *(row_of(n) for n in range(6)))
    index = pd.DataFrame(
        {"eid": table["eid"], "field": 1, "instance": 0, "array": 0, "state": "ok"}
    )
    scans = usable_scans(index[:5], {"rsfmri": 1})
    lists = Withdrawals(frozenset(), 0, "raw")
    cohort, flow = select_cohort(table, lists, scans, pd.DataFrame(), ENGINEERING)
    assert len(cohort) == 6 and flow["excluded"].sum() == 0
    people = describe_participants(cohort, pd.DataFrame(), scans, ENGINEERING)
    assert people["date"].isna().all() and people["date"].dtype.kind == "M"
    assert people["age"].min() < 18 and people["chosen"].all()
    confounds = derive_confounds(cohort, people)
    assert confounds["date"].isna().all() and confounds["head_motion"].notna().all()


def test_nobody_has_a_visit_without_a_site(tmp_path):
    table = read(tmp_path, row_of(0), row_of(1)).assign(**{"54-0.0": [np.nan, 3.0]})
    assert dated_visits(table, (0,), ENGINEERING.visit_field).tolist() == [(50_001, 0)]
    # With dates asked for, as of UK Biobank, nobody has one.
    assert len(dated_visits(table, (0,))) == 0
