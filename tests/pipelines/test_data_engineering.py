from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner
from scan_cases import imaging

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.pipelines.data_engineering import create_pipeline
from ukb_brain.tables.dictionary import Codings, field_of
from ukb_brain.tables.exclusions import DataEngineering
from ukb_brain.tables.splits import Splitting
from ukb_brain.tables.table_file import TableSettings

CONF = Path(__file__).parents[2] / "conf" / "base"
# Of fields in their own units: values of another size are refused.
MEANS = {21002: 76, 23099: 31, 30020: 14, 30760: 1.5, 30750: 36, 30780: 3.6, 20023: 560}
N, WITHDRAWN, NEVER_SCANNED = 120, 3, 7


def parameters(name):
    return yaml.safe_load((CONF / f"parameters_{name}.yml").read_text())


def raw_files(folder, seed=0):
    """Write a main table, a withdrawal list and relatives as UK Biobank hands them out."""
    rng = np.random.default_rng(seed)
    eid = 9_000_001 + np.arange(N)
    table = {"eid": eid, "31-0.0": rng.integers(0, 2, N)}
    scanned = np.arange(N) >= NEVER_SCANNED
    for instance, came in enumerate((eid > 0, eid % 2 == 0, scanned, scanned & (eid % 10 == 0))):
        when = f"{2007 + 4 * instance}-03-04"
        table[f"53-{instance}.0"] = np.where(came, when, "")
        table[f"54-{instance}.0"] = np.where(came, rng.choice(["11025", "11026"], N), "")
        table[f"21003-{instance}.0"] = np.where(came, rng.integers(45, 80, N).astype(str), "")
        for target in parameters("grid")["grid"]["targets"].values():
            if target["field"] in (31, 21003):
                continue
            if target["kind"] == "binary":
                known = parameters("codings")["codings"][field_of(target["field"]).coding]
                answers = rng.choice(["", *map(str, known)], N)
            else:
                answers = MEANS[target["field"]] * rng.normal(1, 0.1, N)
            table[f"{target['field']}-{instance}.0"] = np.where(came, answers.astype(str), "")
    table["9999-0.0"] = "nobody asked for this"
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(table).to_csv(folder / "ukb12345.csv", index=False, quoting=1)
    (folder / "w12345_20260101.csv").write_text("".join(f"{e}\n" for e in eid[-WITHDRAWN:]))
    pairs = "".join(f"{eid[i]} {eid[i + 1]} 0.1 0.01 0.25\n" for i in range(20, 60, 4))
    (folder / "ukb_rel.dat").write_text("ID1 ID2 HetHet IBS0 Kinship\n" + pairs)


def catalog_of(root, *names, **changes):
    entries = {}
    for name in names:
        text = (CONF / f"catalog_{name}.yml").read_text().replace("${_root}", str(root))
        text = text.replace("${_raw}", str(Path(root) / "01_raw"))
        entries |= {n: e for n, e in yaml.safe_load(text).items() if n[0] != "_"}
    settings = parameters("data_engineering")
    given = {
        "params:grid": Grid(**parameters("grid")["grid"]),
        "params:data_engineering": DataEngineering(**settings["data_engineering"]),
        "params:splitting": Splitting(**settings["splitting"]),
        "params:imaging_preprocess": imaging(shape=(20, 24, 20), voxel_mm=8),
        "params:tables": TableSettings(),
        "params:codings": Codings(parameters("codings")["codings"]),
        "params:source": "synthetic",
        "params:seed": 5,
    }
    catalog = DataCatalog.from_config(entries)
    for name, value in (given | changes).items():
        catalog[name] = value
    return catalog


def run(root, **changes):
    catalog = catalog_of(root, "data_engineering", **changes)
    catalog["raw.bulk"] = root / "01_raw" / "bulk"
    SequentialRunner().run(create_pipeline(), catalog)
    return catalog


@pytest.fixture
def root(tmp_path):
    raw_files(tmp_path / "01_raw")
    return tmp_path


def test_raw_files_become_tables_that_agree(root):
    catalog = run(root)
    names = ("participants", "targets", "confounds", "splits", "exclusion_flow")
    people, targets, confounds, splits, flow = (catalog.load(f"primary.{name}") for name in names)
    assert flow["excluded"].tolist() == [0, WITHDRAWN, 0, NEVER_SCANNED]
    assert flow["remaining"].iloc[-1] == people["eid"].nunique() == splits["eid"].nunique()
    assert people["instance"].value_counts().to_dict() == {2: N - 10, 3: 11}
    for table in (targets, confounds):
        pd.testing.assert_frame_equal(table[["eid", "instance"]], people[["eid", "instance"]])
    assert list(targets)[2:] == list(parameters("grid")["grid"]["targets"])
    np.testing.assert_equal(targets["age"].to_numpy(), people["age"].to_numpy())
    assert splits["part"].value_counts().to_dict() == {"train": 88, "validation": 11, "test": 11}
    described = catalog.load("primary.data_dictionary")
    assert (described["n"] + described["missing"] == people["eid"].nunique()).all()
    assert (splits.merge(people).groupby("family")["part"].agg(set).str.len() == 1).all()
    assert people.drop_duplicates("eid")["family"].duplicated().sum() == 10
    summary = catalog.load("primary.target_summary")
    assert (summary["n"] + summary["missing"] == N - 10).all()


def test_a_second_run_changes_no_byte(root):
    run(root)
    before = {p: p.read_bytes() for p in (root / "03_primary").iterdir()}
    run(root)
    assert {p: p.read_bytes() for p in (root / "03_primary").iterdir()} == before


def test_a_person_who_withdraws_is_gone_and_nobody_else_changes_part(root):
    before = run(root).load("primary.splits")
    leaver = int(before.loc[before["part"] == "train", "eid"].iloc[0])
    (root / "01_raw" / "w12345_20270101.csv").write_text(f"{leaver}\n")
    after = run(root)
    for name in ("participants", "targets", "confounds", "splits"):
        assert leaver not in set(after.load(f"primary.{name}")["eid"])
    pd.testing.assert_frame_equal(
        after.load("primary.splits"), before[before["eid"] != leaver].reset_index(drop=True)
    )


@pytest.mark.parametrize("scheme", ["k_fold", "leave_one_site_out"])
def test_other_schemes_test_everybody_once_and_survive_a_withdrawal(root, scheme):
    splitting = {"params:splitting": Splitting(scheme=scheme, min_per_part=2)}
    people = (first := run(root, **splitting)).load("primary.participants")
    before = first.load("primary.splits")
    tested = before.loc[before["part"] == "test", "eid"]
    assert sorted(tested) == sorted(people["eid"].unique())
    assert before["fold"].nunique() == {"k_fold": 5, "leave_one_site_out": 2}[scheme]
    leaver = int(tested.iloc[0])
    (root / "01_raw" / "w12345_20270101.csv").write_text(f"{leaver}\n")
    for _ in range(2):
        after = run(root, **splitting).load("primary.splits")
        stay = before[before["eid"] != leaver].reset_index(drop=True)
        pd.testing.assert_frame_equal(after, stay)


def stopped(root, **changes):
    with pytest.raises(Exception) as caught:
        run(root, **changes)
    error = caught.value
    while not isinstance(error, InputError):
        error = error.__cause__
    assert "\n" not in str(error)
    assert "9000" not in str(error)
    assert not (root / "03_primary").exists() or not list((root / "03_primary").glob("splits*"))
    return str(error)


def test_real_data_without_a_withdrawal_list_stop(root):
    (root / "01_raw" / "w12345_20260101.csv").unlink()
    assert "no_withdrawals_issued=true" in stopped(root, **{"params:source": "ukb"})
    stated = DataEngineering(no_withdrawals_issued=True)
    flow = run(root, **{"params:source": "ukb", "params:data_engineering": stated}).load(
        "primary.exclusion_flow"
    )
    assert flow["excluded"].tolist() == [0, 0, 0, NEVER_SCANNED]


def test_a_target_whose_field_is_not_there(root):
    settings = parameters("grid")["grid"]
    settings["targets"]["sex"]["field"] = 1488
    message = stopped(root, **{"params:grid": Grid(**settings)})
    assert "lacks field(s) 1488 (sex)" in message


def test_no_raw_files(tmp_path):
    assert "kedro run --pipelines synthetic_cohort" in stopped(tmp_path)


def test_too_few_people(root):
    message = stopped(root, **{"params:splitting": Splitting(min_per_part=50)})
    assert f"{N - 10} participants" in message


def test_participation_weights_are_looked_up_where_they_are_given(root):
    before = run(root).load("primary.participants")
    assert "participation_weight" not in before
    weights = pd.DataFrame({"eid": before["eid"].unique()[::2], "weight": 1.5})
    weights.to_csv(root / "01_raw" / "participation_weights.csv", index=False)
    people = run(root).load("primary.participants")
    given = people["eid"].isin(weights["eid"])
    assert given.any() and not given.all()
    assert (people.loc[given, "participation_weight"] == 1.5).all()
    assert people.loc[~given, "participation_weight"].isna().all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("eid,w\n9000001,1\n", "no column weight"),
        ("", "participation_weights.csv cannot be read as CSV"),
    ],
)
def test_a_table_of_weights_that_cannot_be_used(root, text, says):
    (root / "01_raw" / "participation_weights.csv").write_text(text)
    assert says in stopped(root)


def test_values_of_another_size_stop_a_run_without_hooks_too(root):
    path = root / "01_raw/ukb12345.csv"
    table = pd.read_csv(path, dtype=str)
    # Weight in grams.
    for column in table.filter(regex="^21002-"):
        table[column] = (1000 * table[column].astype(float)).astype(str).replace("nan", "")
    table.to_csv(path, index=False, quoting=1)
    with pytest.raises(InputError, match="21002") as caught:
        run(root)
    assert "'weight'" in str(caught.value)
