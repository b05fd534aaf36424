import re
import shutil
import zipfile

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner
from reporting_cases import ROOT, study_grid
from scan_cases import dwi_members, flair_members, imaging, series_members, t1_members, zipped

from ukb_brain.cluster import Compute
from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.imaging.bulk import BulkFile
from ukb_brain.imaging.store import INCOMPLETE, RecordStore
from ukb_brain.pipelines.data_engineering.nodes import index_bulk
from ukb_brain.pipelines.imaging_preprocess import create_pipeline, nodes

SETTINGS = imaging(shape=(18, 22, 20), voxel_mm=8.0)
MEMBERS = {20252: t1_members, 20253: flair_members, 20250: dwi_members, 31016: series_members}
STORES = ("volumes", "vectors")
FIRST = 9_000_001
# The first person came twice; the last one is no participant.
KEYS = [*((FIRST + k, 2) for k in range(5)), (FIRST, 3)]
PARTS = ["train", "train", "train", "validation", "test"]
STRANGER = FIRST + 7


def bulk_file(root, eid, field, instance=2):
    return root / f"01_raw/bulk/{field}/{eid}_{field}_{instance}_0.zip"


def put(root, eid, field, content, instance=2):
    path = bulk_file(root, eid, field, instance)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture(scope="module")
def members():
    """Zips by person, visit and field."""
    return {
        (eid, instance, field): zipped(make(seed=10 * k + j))
        for k, (eid, instance) in enumerate([*KEYS, (STRANGER, 2)])
        for j, (field, make) in enumerate(MEMBERS.items())
    }


@pytest.fixture
def root(tmp_path, members):
    for (eid, instance, field), content in members.items():
        put(tmp_path, eid, field, content, instance)
    return tmp_path


GRID = study_grid()


def numbers_of(people, grid):
    """A table of numbers: two fields, each the visit's place; no rows where the grid has none."""
    if "idps" not in grid.imaging:
        return people[["eid", "instance"]].iloc[:0]
    values = np.arange(len(people), dtype=np.float32)
    return people[["eid", "instance"]].assign(**{"25001": values, "25002": values})


def run(root, keys=KEYS, grid=GRID, settings=SETTINGS):
    entries = {}
    for name in ("data_engineering", "imaging_preprocess"):
        text = (ROOT / f"conf/base/catalog_{name}.yml").read_text().replace("${_root}", str(root))
        entries |= yaml.safe_load(text.replace("${_raw}", str(root / "01_raw")))
    entries["raw.bulk"].pop("folder")
    catalog = DataCatalog.from_config({k: v for k, v in entries.items() if k[0] != "_"})
    given = {"imaging_preprocess": settings, "source": "synthetic", "grid": grid}
    given["compute"] = Compute(workers=1)
    for name, value in given.items():
        catalog[f"params:{name}"] = value
    people = pd.DataFrame(keys, columns=["eid", "instance"])
    date = pd.Timestamp("2016-01-01")
    people = people.assign(family=people["eid"] - FIRST, site=11025, date=date, age=60.0, sex=1.0)
    people["chosen"] = people["instance"] == 2
    catalog.save("primary.participants", people)
    catalog.save("primary.imaging_numbers", numbers_of(people, grid))
    splits = pd.DataFrame({"eid": FIRST + np.arange(5), "fold": 0, "part": PARTS})
    catalog.save("primary.splits", splits[splits["eid"].isin(people["eid"])])
    before = catalog.load("intermediate.bulk_index_before")
    bulk, gone = catalog.load("raw.bulk"), catalog.load("raw.withdrawals")
    index = index_bulk(bulk, before, grid, settings, gone)
    catalog.save("intermediate.bulk_index", index)
    SequentialRunner().run(create_pipeline(), catalog)
    return catalog


def store(root, name="volumes"):
    return RecordStore(root / f"02_intermediate/{name}.store")


def stamps(folder):
    return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.rglob("*") if p.is_file()}


def records(root):
    return {
        (modality, *key): store(root, name).read(modality, key).tobytes()
        for name, modalities in (("volumes", ("t1", "flair", "dwi")), ("vectors", ("rsfmri",)))
        for modality in modalities
        for key in store(root, name).keys(modality)
    }


def mean_images(root):
    return {p.name: p.read_bytes() for p in (root / "08_reporting/mean_images").iterdir()}


def test_quality_counts_add_up(root):
    bulk_file(root, FIRST, 20250).unlink()
    put(root, FIRST + 1, 20253, b"no zip")
    put(root, FIRST + 2, 20252, zipped(t1_members(prefix="T1/unusable/")))
    catalog = run(root)
    quality, summary = (
        catalog.load(name) for name in ("primary.quality", "primary.quality_summary")
    )
    assert quality["modality"].value_counts().to_dict() == dict.fromkeys(
        ("t1", "flair", "dwi", "rsfmri"), len(KEYS)
    )
    assert (summary.groupby("modality")["n"].sum() == len(KEYS)).all()
    counts = summary.set_index(["modality", "status"])["n"].to_dict()
    # Without a usable T1 nothing says where a FLAIR lies.
    assert counts == {
        ("t1", "ok"): 5, ("t1", "unusable"): 1,
        ("flair", "ok"): 4, ("flair", "broken"): 1, ("flair", "unusable"): 1,
        ("dwi", "ok"): 5, ("dwi", "missing"): 1,
        ("rsfmri", "ok"): 6,
    }  # fmt: skip
    assert quality.loc[quality["status"] != "ok", "reason"].str.len().gt(5).all()


def test_a_corrupt_zip_is_recorded_and_others_go_on(root):
    path = bulk_file(root, FIRST + 1, 20250)
    path.write_bytes(path.read_bytes()[:500])
    quality = run(root).load("primary.quality")
    bad = quality[quality["status"] != "ok"]
    assert bad[["eid", "modality", "status"]].to_numpy().tolist() == [[FIRST + 1, "dwi", "broken"]]
    assert set(records(root)) == {
        (modality, *key)
        for modality in ("t1", "flair", "dwi", "rsfmri")
        for key in KEYS
        if (modality, *key) != ("dwi", FIRST + 1, 2)
    }


def test_nobodys_scans_are_read_but_participants(root):
    quality = run(root).load("primary.quality")
    assert set(zip(quality["eid"], quality["instance"], strict=True)) == set(KEYS)
    assert all(eid != STRANGER for _, eid, _ in records(root))


def test_a_repeat_run_reads_and_writes_nothing_again(root, monkeypatch):
    run(root)
    folders = [root / name for name in ("02_intermediate", "03_primary", "08_reporting")]
    before = [stamps(folder) for folder in folders]
    # Two files a modality.
    assert len(before[0]) > 8

    def read_again(*_):
        raise AssertionError("a bulk file is read again")

    for name in ("image", "matrix"):
        monkeypatch.setattr(BulkFile, name, read_again)
    monkeypatch.setattr("ukb_brain.imaging.bulk_index.directory_of", read_again)
    monkeypatch.setattr("ukb_brain.imaging.readers.fisher_z_of_time_series", read_again)
    run(root)
    assert [stamps(folder) for folder in folders] == before


def test_a_file_that_changed_is_read_again_and_no_other(root):
    run(root)
    before = records(root)
    put(root, FIRST + 3, 20250, zipped(dwi_members(seed=99)))
    run(root)
    after = records(root)
    assert {key for key in after if after[key] != before[key]} == {("dwi", FIRST + 3, 2)}


def test_a_scan_that_became_corrupt_leaves_no_record_behind(root):
    run(root)
    before = records(root)
    put(root, FIRST + 3, 20250, b"no zip")
    run(root)
    assert records(root) == {k: v for k, v in before.items() if k != ("dwi", FIRST + 3, 2)}


def test_the_order_in_which_batches_end_changes_nothing(root, monkeypatch):
    run(root)
    quality = root / "03_primary/quality.parquet"
    before = quality.read_bytes()
    monkeypatch.setattr(nodes, "VISITS_PER_BATCH", 2)
    monkeypatch.setattr(
        nodes, "run_items", lambda function, items, *_: [function(item) for item in items[::-1]]
    )
    quality.unlink()
    run(root)
    assert quality.read_bytes() == before


def test_one_short_parcellation_loses_its_scan_and_the_run_goes_on(root):
    put(root, FIRST + 2, 31016, zipped(series_members(regions=4)))
    quality = run(root).load("primary.quality")
    (bad,) = quality[quality["status"] != "ok"].to_dict("records")
    assert (bad["eid"], bad["modality"], bad["status"]) == (FIRST + 2, "rsfmri", "broken")
    assert bad["reason"] == "4 of 5 regions have a time series that varies"
    assert not store(root, "vectors").marked(INCOMPLETE.format("rsfmri"))


def test_who_lacks_a_region_stays_where_settings_allow_it(root):
    put(root, FIRST + 2, 31016, zipped(series_members(lost=(1,))))
    settings = SETTINGS.model_copy(update={"most_regions_missing": 0.2})
    quality = run(root, settings=settings).load("primary.quality")
    assert (quality["status"] == "ok").all()
    kept = store(root, "vectors")
    assert kept.marked(INCOMPLETE.format("rsfmri"))
    assert np.isnan(kept.read("rsfmri", (FIRST + 2, 2))).sum() == 4
    put(root, FIRST + 2, 31016, zipped(series_members()))
    run(root, settings=settings)
    assert not kept.marked(INCOMPLETE.format("rsfmri"))


@pytest.mark.bad_input(
    given="no 31016 at all, or T1 only",
    says="no scan can be used of",
)
@pytest.mark.parametrize(
    ("fields", "told", "groups"),
    [
        (
            (31016,),
            r"rsfmri \(field 31016, imaging group functional\): no bulk file \(6\): put",
            "functional",
        ),
        (
            (31016, 20253, 20250),
            r"flair \(field 20253, .* · dwi \(field 20250, .* · rsfmri \(field 31016, ",
            "flair+diffusion+functional",
        ),
    ],
)
def test_a_modality_without_any_scan_is_one_error_before_training(root, fields, told, groups, says):
    for field in fields:
        shutil.rmtree(root / f"01_raw/bulk/{field}")
    with pytest.raises(InputError, match=f"^{says} .*{told}") as caught:
        run(root)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(f"--params grid.leave_out={groups}.")
    assert str(FIRST) not in message


def test_a_modality_without_any_scan_may_be_left_out_by_name(root):
    shutil.rmtree(root / "01_raw/bulk/31016")
    grid = Grid.model_validate(GRID.model_dump() | {"leave_out": ("functional",)})
    quality = run(root, grid=grid).load("primary.quality")
    assert set(quality["modality"]) == {"t1", "flair", "dwi"}
    assert set(quality["status"]) == {"ok"}


def test_who_has_t1_only_leaves_single_modalities_out(root):
    for field in (31016, 20253, 20250):
        shutil.rmtree(root / f"01_raw/bulk/{field}")
    names = "flair+diffusion+functional"
    grid = Grid.model_validate(GRID.model_dump() | {"leave_out": names})
    assert {group: [*held] for group, held in grid.imaging.items()} == {"structural": ["t1"]}
    quality = run(root, grid=grid).load("primary.quality")
    assert set(quality.loc[quality["modality"] == "t1", "status"]) == {"ok"}


IDPS = Grid.model_validate(GRID.model_dump() | {"also": "idps", "only": "idps"})


def of_numbers(**record):
    """Settings with two fields as an imaging group."""
    fields = {"reader": "numbers", "fields": (25001, 25002)} | record
    return imaging(**{"modalities": {"idps": fields}, "shape": (18, 22, 20), "voxel_mm": 8.0})


def test_numbers_are_vectors_with_their_names(root):
    catalog = run(root, grid=IDPS, settings=of_numbers())
    quality = catalog.load("primary.quality")
    assert quality["modality"].tolist() == ["idps"] * len(KEYS)
    assert set(quality["status"]) == {"ok"}
    vectors = store(root, "vectors")
    assert vectors.names_of("idps") == ("25001", "25002")
    assert vectors.names_of("rsfmri") == ()
    for place, key in enumerate(KEYS):
        np.testing.assert_array_equal(vectors.read("idps", key), [place, place])
    assert not (root / "02_intermediate/volumes.store/t1").exists()
    before = stamps(root / "02_intermediate/vectors.store")
    run(root, grid=IDPS, settings=of_numbers())
    after = stamps(root / "02_intermediate/vectors.store")
    assert {p: s for p, s in after.items() if p.suffix in (".index", ".records")} == {
        p: s for p, s in before.items() if p.suffix in (".index", ".records")
    }


def test_another_choice_of_fields_is_made_anew(root):
    run(root, grid=IDPS, settings=of_numbers())
    run(root, grid=IDPS, settings=of_numbers(fields=(25002,)))
    vectors = store(root, "vectors")
    assert vectors.names_of("idps") == ("25002",)
    assert vectors.read("idps", KEYS[0]).shape == (1,)


def test_scans_of_which_none_can_be_used_stop_the_run_in_one_line(root):
    for path in (root / "01_raw/bulk").rglob("*.zip"):
        path.write_bytes(b"no zip")
    with pytest.raises(
        InputError, match=r"t1 \(.*the bulk file is no zip \(6\).*flair.*rsfmri"
    ) as caught:
        run(root)
    assert "\n" not in str(caught.value)


def test_the_second_file_of_a_visit_is_not_used(root):
    run(root)
    before = records(root)
    (root / f"01_raw/bulk/20252/{FIRST}_20252_2_1.zip").write_bytes(b"broken")
    put(root, FIRST + 1, 20252, zipped(t1_members(seed=50)))
    shutil.move(
        bulk_file(root, FIRST + 1, 20252),
        root / f"01_raw/bulk/20252/{FIRST + 1}_20252_2_1.zip",
    )
    quality = run(root).load("primary.quality")
    state = quality[quality["modality"] == "t1"].set_index(["eid", "instance"])["status"]
    assert state[FIRST, 2] == "ok"
    assert state[FIRST + 1, 2] == "missing"
    assert records(root)["t1", FIRST, 2] == before["t1", FIRST, 2]


def test_only_modalities_of_the_grid_are_preprocessed(root):
    grid = Grid(**(GRID.model_dump() | {"leave_out": ["dwi", "t1"]}))
    quality = run(root, grid=grid).load("primary.quality")
    # Native FLAIR lies in T1's space.
    assert set(quality["modality"]) == {"t1", "flair", "rsfmri"}
    assert {path.name for path in store(root).path.glob("*/")} == {"t1", "flair"}


@pytest.mark.bad_input(
    given="two atlases in each zip, none of them named",
    says="and no atlas is named: name one of them: --params imaging_preprocess.atlas=Glasser",
)
def test_several_atlases_stop_before_anything_is_read(root, says):
    for eid, instance in KEYS:
        both = series_members() | series_members(name="fMRI/fMRI.aparc.csv.gz", regions=3)
        put(root, eid, 31016, zipped(both), instance)
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        run(root)
    assert "\n" not in str(caught.value)
    assert not (root / "02_intermediate/volumes.store").exists()
    named = SETTINGS.model_copy(update={"atlas": "aparc"})
    assert set(run(root, settings=named).load("primary.quality")["status"]) == {"ok"}
    assert store(root, "vectors").read("rsfmri", (FIRST, 2)).shape == (3,)


@pytest.mark.bad_input(
    given="one scan that cannot be read, for whatever reason", says="left out with its reason"
)
def test_dangling_unreadable_and_vanished_files_end_no_run(root, monkeypatch):
    dangling = bulk_file(root, FIRST, 20250)
    dangling.unlink()
    dangling.symlink_to(root / "gone.zip")
    opens, asked = zipfile.ZipFile, []

    def opened(path, *more):
        asked.append(path.name)
        if path.name == bulk_file(root, FIRST + 1, 20250).name:
            raise PermissionError(13, "Permission denied", str(path))
        if path.name == bulk_file(root, FIRST + 2, 20250).name and asked.count(path.name) > 1:
            path.unlink(missing_ok=True)
        return opens(path, *more)

    monkeypatch.setattr(zipfile, "ZipFile", opened)
    quality = run(root).load("primary.quality").query("status != 'ok'").sort_values("eid")
    assert quality[["eid", "modality", "status", "reason"]].to_numpy().tolist() == [
        [FIRST, "dwi", "missing", "the bulk file is a link that leads nowhere"],
        [FIRST + 1, "dwi", "broken", "no permission to read the bulk file"],
        [FIRST + 2, "dwi", "missing", "the bulk file is not there, or no longer"],
    ]


def test_a_mean_of_few_people_shows_nothing(root):
    run(root)
    for modality in ("t1", "flair", "dwi"):
        image = nib.load(root / f"08_reporting/mean_images/{modality}.nii.gz")
        assert image.shape == SETTINGS.shape
        assert not image.get_fdata().any()


def test_mean_images_are_of_training_people_only(root, monkeypatch):
    monkeypatch.setattr(nodes, "FEWEST_AVERAGED", 3)
    run(root)
    before = mean_images(root)
    volumes = store(root)
    for modality in ("t1", "flair", "dwi"):
        image = nib.load(root / f"08_reporting/mean_images/{modality}.nii.gz")
        training = [volumes.read(modality, (FIRST + k, 2)) for k in range(3)]
        expected = np.mean(np.stack(training), axis=0, dtype=np.float64)
        np.testing.assert_allclose(image.get_fdata(), expected, atol=1e-6)
        np.testing.assert_allclose(image.affine, SETTINGS.affine)
    for eid, instance in ((FIRST + 3, 2), (FIRST + 4, 2), (FIRST, 3)):
        for field, make in MEMBERS.items():
            put(root, eid, field, zipped(make(seed=77)), instance)
    run(root)
    assert mean_images(root) == before
    put(root, FIRST + 1, 20250, zipped(dwi_members(seed=77)))
    run(root)
    differ = {name for name, content in mean_images(root).items() if content != before[name]}
    assert differ == {"dwi.nii.gz"}


def test_a_person_who_is_erased_leaves_the_others(root):
    run(root)
    before = records(root)
    number = np.int64(FIRST).tobytes()

    def held():
        files = (root / "02_intermediate").glob("*.store/*/*")
        return sum(path.read_bytes().count(number) for path in files)

    # In each record and in its entry.
    assert held() == 2 * (6 + 2)
    assert [store(root, name).erase(FIRST) for name in STORES] == [6, 2]
    assert held() == 0
    others = {key: array for key, array in before.items() if key[1] != FIRST}
    left = records(root)
    assert left == others
    run(root)
    assert records(root) == before


def test_a_person_who_is_no_longer_a_participant_is_erased(root):
    run(root)
    before = records(root)
    run(root, [key for key in KEYS if key[0] != FIRST + 1])
    after = records(root)
    assert after == {key: content for key, content in before.items() if key[1] != FIRST + 1}
    assert not list((root / "02_intermediate").rglob(f"*{FIRST + 1}*"))
