"""People who withdrew, erased from what earlier runs made."""

import json
import re
import shutil
import sqlite3

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from ukb_brain.atomic import PARTIAL
from ukb_brain.datasets.splits import SplitsDataset
from ukb_brain.errors import InputError
from ukb_brain.imaging.store import RecordStore
from ukb_brain.ledger import purge as ledger_purge
from ukb_brain.ledger.artifact import Model, ModelFolder, write_model
from ukb_brain.ledger.purge import erase_people
from ukb_brain.pipelines.purge import erase_withdrawn
from ukb_brain.tables.exclusions import DataEngineering
from ukb_brain.tables.people_lists import Withdrawals
from ukb_brain.tables.purge import erase_numbers, names_somebody
from ukb_brain.tables.splits import check_disjoint, fingerprint

PEOPLE = [9_000_000 + n for n in range(1, 31)]
GONE = frozenset(PEOPLE[:2])
STAY = PEOPLE[2:]


def splits_of(people):
    parts = ["train", "train", "train", "validation", "test"]
    return pd.DataFrame(
        {"eid": people, "fold": 0, "part": [parts[n % 5] for n in range(len(people))]}
    )


@pytest.fixture
def root(tmp_path):
    """A data root in which everybody took part."""
    for folder in ("01_raw", "02_intermediate", "03_primary", "04_feature", "06_models/cells"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("07_model_output", "08_reporting/published", "mlflow/artifacts"):
        (tmp_path / folder).mkdir(parents=True)
    everybody = pd.DataFrame({"eid": PEOPLE, "instance": 2, "value": np.arange(30.0)})
    everybody["site"] = pd.Categorical(["a", "b", "c"] * 10)
    everybody.to_csv(tmp_path / "01_raw/ukb.csv", index=False)
    everybody.to_parquet(tmp_path / "02_intermediate/bulk_index.parquet")
    everybody.to_parquet(tmp_path / "03_primary/participants.parquet")
    everybody.to_parquet(tmp_path / "04_feature/blocks.parquet")
    everybody.to_parquet(tmp_path / "07_model_output/predictions.parquet")
    everybody.to_csv(tmp_path / "07_model_output/other.csv", index=False)
    splits = splits_of(PEOPLE)
    splits.to_parquet(tmp_path / "03_primary/splits.parquet", index=False)
    train = fingerprint(splits.loc[splits["part"] == "train", "eid"])
    scaling = pd.DataFrame({"fold": [0], "target": ["age"], "mean": [1.0]})
    scaling.assign(training_people=train).to_parquet(tmp_path / "04_feature/block_scaling.parquet")
    counts = pd.DataFrame({"reason": ["in the table"], "remaining": [30]})
    counts.to_parquet(tmp_path / "03_primary/exclusion_flow.parquet")
    scores = Model({"scores": np.arange(30.0)}, {"training_people": train, "fold": 0, "hash": "x"})
    for kind in ("grams", "cells"):
        write_model(tmp_path / "06_models" / kind / "fold0-age", scores)
        ModelFolder(tmp_path / "06_models" / kind).finish()
    scratch = tmp_path / "06_models/encoders/fold0-seed0/scratch-abc"
    scratch.mkdir(parents=True)
    (scratch / "checkpoint.safetensors").write_bytes(b"half a network")
    (tmp_path / "06_models/search").mkdir()
    database(tmp_path / "06_models/search/trials.db")
    database(tmp_path / "mlflow/mlflow.db")
    store = RecordStore(tmp_path / "02_intermediate/volumes.store")
    store.claim("synthetic")
    for eid in PEOPLE[:4]:
        store.write("t1", (eid, 2), np.ones((3, 4, 5)), {})
    (tmp_path / "08_reporting/note.md").write_text(f"Scan of {PEOPLE[0]}_20252 and 9000005.\n")
    (tmp_path / "08_reporting/page.html").write_text(f"<p>{PEOPLE[1]}</p>")
    (tmp_path / "08_reporting/plain.html").write_text("<p>1.9000001 90000011 x9000001</p>")
    (tmp_path / "run.log").write_text(f"warning: {PEOPLE[0]}\n")
    (tmp_path / "mine.txt").write_text(f"my own list: {PEOPLE[0]}\n")
    (tmp_path / "07_model_output" / f"{PARTIAL}predictions.parquet").write_bytes(b"PAR1 half")
    (tmp_path / "07_model_output" / f"{PEOPLE[0]}_2.npz").write_bytes(b"\0\1")
    return tmp_path


def database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE params (key VARCHAR(250), value TEXT, step INTEGER)")
        rows = [("who", f"scan {PEOPLE[0]}", 1), ("run", "a9000001b", 2), ("n", None, 3)]
        connection.executemany("INSERT INTO params VALUES (?, ?, ?)", rows)
    connection.close()


def contents(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def everything_but_raw(root):
    """Every name and every text or value under a data root, raw files and the user's own apart."""
    for path in root.rglob("*"):
        at = path.relative_to(root)
        if at.parts[0] == "01_raw" or at.name == "mine.txt":
            continue
        yield at.as_posix()
        if path.is_dir():
            continue
        if path.suffix == ".parquet" and not path.name.startswith(PARTIAL):
            yield pq.read_table(path).to_pandas().to_csv()
            yield str(pq.read_schema(path).metadata)
        else:
            yield path.read_bytes().decode("latin-1")


def occurs(eids, root):
    alone = re.compile(rf"(?<![0-9A-Za-z.])({'|'.join(map(str, eids))})(?![0-9A-Za-z])")
    return [text[:80] for text in everything_but_raw(root) if alone.search(text)]


def test_whoever_withdrew_is_nowhere_and_the_others_are_untouched(root):
    assert len(occurs(GONE, root)) > 10
    before = contents(root)
    counts = erase_people(root, GONE).set_index("what")["n"]
    assert occurs(GONE, root) == []
    for name in ("03_primary/participants", "02_intermediate/bulk_index", "04_feature/blocks"):
        left = pd.read_parquet(root / f"{name}.parquet")
        assert left["eid"].tolist() == STAY
        assert left["value"].tolist() == list(np.arange(2.0, 30))
        assert left["site"].dtype == "category"
    assert pd.read_csv(root / "07_model_output/other.csv")["eid"].tolist() == STAY
    store = RecordStore(root / "02_intermediate/volumes.store")
    assert store.keys("t1") == [(eid, 2) for eid in PEOPLE[2:4]]
    after = contents(root)
    same = ["01_raw/ukb.csv", "mine.txt", "03_primary/exclusion_flow.parquet"]
    for name in [*same, "08_reporting/plain.html"]:
        assert after[name] == before[name]
    assert (root / "08_reporting/note.md").read_text() == "Scan of #######_20252 and 9000005.\n"
    with sqlite3.connect(root / "mlflow/mlflow.db") as connection:
        kept = connection.execute("SELECT * FROM params").fetchall()
    connection.close()
    assert kept == [("who", "scan #######", 1), ("run", "a9000001b", 2), ("n", None, 3)]
    assert counts["rows"] == 12 and counts["tables"] == 6 and counts["scans"] == 2


def test_every_model_is_removed_and_so_is_fitted_anew(root):
    counts = erase_people(root, GONE).set_index("what")["n"]
    assert counts["models, which the next run fits anew"] == 2
    assert not list((root / "06_models").rglob("*.safetensors"))
    assert not list((root / "06_models").rglob("*.json"))
    assert not (root / "04_feature/block_scaling.parquet").exists()
    # Nobody's row is in the record of trials.
    assert (root / "06_models/search/trials.db").exists()


def test_a_page_with_pictures_is_removed_although_it_names_nobody(root):
    page, other = root / "03_primary/scans.html", root / "08_reporting/quality.html"
    for path in (page, other):
        path.parent.mkdir(exist_ok=True)
        path.write_text("<p>nobody's number</p>")
    erase_people(root, frozenset({PEOPLE[-1] + 1000}))
    assert page.exists()
    erase_people(root, GONE)
    assert not page.exists()
    assert other.exists()


def test_twice_changes_nothing_and_nobody_changes_nothing(root):
    before = contents(root)
    nobody = frozenset({1_234_567})
    (root / "07_model_output" / f"{PARTIAL}predictions.parquet").unlink()
    before.pop(f"07_model_output/{PARTIAL}predictions.parquet")
    assert erase_people(root, nobody).empty
    assert contents(root) == before
    erase_people(root, GONE)
    once = contents(root)
    assert erase_people(root, GONE).empty
    assert contents(root) == once


@pytest.mark.parametrize("step", range(1, 9))
def test_an_erasure_that_was_killed_is_finished_by_the_next(
    root, tmp_path_factory, step, monkeypatch
):
    whole = tmp_path_factory.mktemp("whole") / "root"
    shutil.copytree(root, whole)
    erase_people(whole, GONE)
    calls = 0

    def killed(path, *given, _done=ledger_purge.purge.erase_rows):
        nonlocal calls
        calls += 1
        if calls == step:
            raise KeyboardInterrupt
        return _done(path, *given)

    monkeypatch.setattr(ledger_purge.purge, "erase_rows", killed)
    try:
        erase_people(root, GONE)
    except KeyboardInterrupt:
        # Until the end, a run that would go on with these tables still sees who is gone.
        assert set(pd.read_parquet(root / "03_primary/participants.parquet")["eid"]) & GONE
    monkeypatch.undo()
    erase_people(root, GONE)
    assert contents(root).keys() == contents(whole).keys()
    assert occurs(GONE, root) == []


def test_models_of_people_who_left_by_another_run_are_removed_too(root):
    # Tables were made anew without them, and that run was killed before any model was fitted.
    for path in [*root.glob("0[23478]_*/*.parquet"), root / "07_model_output/other.csv"]:
        if path.name.startswith((PARTIAL, "exclusion_flow", "block_scaling")):
            continue
        read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
        table = read(path)
        table = table[~table["eid"].isin(GONE)]
        table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    shutil.rmtree(root / "02_intermediate/volumes.store")
    erase_people(root, GONE)
    assert not list((root / "06_models").rglob("*.safetensors"))


def test_models_stay_where_nobody_who_took_part_withdrew(root):
    spare = 9_000_099
    index = pd.DataFrame({"eid": [spare, *PEOPLE], "instance": 2})
    index.to_parquet(root / "02_intermediate/bulk_index.parquet")
    erase_people(root, frozenset({spare}))
    assert spare not in set(pd.read_parquet(root / "02_intermediate/bulk_index.parquet")["eid"])
    assert len(list((root / "06_models").rglob("card.json"))) == 2


def test_models_of_evidence_go_even_if_tables_and_map_were_made_anew(root):
    # After a full run without them, only what evidence had fitted before still rests on them.
    spare = frozenset({9_000_099})
    old = Model({"scores": np.arange(3.0)}, {"training_people": "another", "hash": "x"})
    write_model(root / "06_models" / "evidence" / "half-age", old)
    erase_people(root, spare)
    assert not list((root / "06_models" / "evidence").rglob("*.safetensors"))
    assert len(list((root / "06_models" / "cells").rglob("card.json"))) == 1
    assert erase_people(root, spare).empty


def test_negative_eids_are_erased_too(root):
    path = root / "03_primary/participants.parquet"
    table = pd.read_parquet(path)
    table.loc[5, "eid"] = -1
    table.to_parquet(path)
    erase_people(root, GONE)
    assert (pd.read_parquet(path)["eid"] > 0).all()


def test_splits_without_them_are_taken_by_the_next_run(root):
    """Those who stay keep their parts, though dealing anew would give them others."""
    path = root / "03_primary/splits.parquet"
    erase_people(root, GONE)
    kept = pd.read_parquet(path)
    check_disjoint(kept)
    anew = splits_of(STAY)
    assert not kept.sort_values("eid", ignore_index=True).equals(anew)
    dataset = SplitsDataset(filepath=str(path))
    dataset.save(anew)
    pd.testing.assert_frame_equal(dataset.load(), kept, check_like=True)
    # The same again is the same; other splits are refused as ever.
    dataset.save(anew)
    pd.testing.assert_frame_equal(dataset.load(), kept, check_like=True)
    with pytest.raises(DatasetError, match="Other splits"):
        dataset.save(splits_of(STAY[::-1]))


def test_splits_without_them_do_not_take_others_in(root):
    erase_people(root, GONE)
    dataset = SplitsDataset(filepath=str(root / "03_primary/splits.parquet"))
    with pytest.raises(DatasetError, match="1 of them new"):
        dataset.save(splits_of([*STAY, 9_000_099]))


def test_a_number_within_another_is_none(tmp_path):
    text = "19000001 9000001.5 9000001.0 x9000001 9000001x 1.9000001 (9000001)"
    path = tmp_path / "a.txt"
    path.write_text(text)
    assert erase_numbers(path, GONE)
    assert path.read_text() == text.replace("9000001.0", "#######.0").replace(
        "(9000001)", "(#######)"
    )
    assert names_somebody("9000001_20252_2_0.zip", GONE)
    assert not names_somebody("99000001_2.zip", GONE)


def test_it_tells_counts_and_nobodys_number(root, caplog):
    lists = Withdrawals(GONE, 2, str(root / "01_raw"))
    with caplog.at_level("INFO", logger="ukb_brain"):
        counts = erase_withdrawn(root, lists, DataEngineering(), "ukb")
    assert counts["n"].min() > 0
    assert "of the 2 people on 2 withdrawal list(s)" in caplog.text
    assert not re.search(r"\d{7}", caplog.text.replace(str(root), "") + counts.to_csv())


def test_real_data_without_a_list_stop_it(root):
    with pytest.raises(InputError, match="legal duty"):
        erase_withdrawn(root, Withdrawals(frozenset(), 0, "raw"), DataEngineering(), "ukb")


def test_a_table_that_cannot_be_read_is_named(root):
    (root / "04_feature/blocks.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(InputError, match=r"blocks\.parquet cannot be read.*remove it"):
        erase_people(root, GONE)


def test_nothing_was_made_yet(tmp_path):
    assert erase_people(tmp_path / "none", GONE).empty
    assert json.loads(erase_people(tmp_path, GONE).to_json()) == {"what": {}, "n": {}}


def test_a_store_of_an_earlier_version_is_not_passed_over(tmp_path):
    (tmp_path / "02_intermediate/volumes.zarr").mkdir(parents=True)
    with pytest.raises(InputError, match=r"volumes\.zarr is a store of an earlier version"):
        erase_people(tmp_path, frozenset({9000001}))
