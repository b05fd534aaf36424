from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner

from ukb_brain.grid import Grid
from ukb_brain.pipelines.feature_tabular import create_pipeline

CONF = Path(__file__).parents[2] / "conf" / "base"
GRID = Grid(**yaml.safe_load((CONF / "parameters_grid.yml").read_text())["grid"])


@pytest.fixture
def tables():
    rng = np.random.default_rng(8)
    eid = np.arange(9_000_001, 9_000_041)
    keys = pd.DataFrame({"eid": [*eid, *eid[:5]], "instance": [2] * 40 + [3] * 5})
    values = rng.normal(5, 2, (45, len(GRID.targets)))
    values[rng.random(values.shape) < 0.1] = np.nan
    parts = ["train"] * 30 + ["validation"] * 5 + ["test"] * 5
    people = keys.assign(
        chosen=keys["instance"] == 2,
        family=keys["eid"] - eid[0],
        site=11025,
        date=pd.Timestamp("2016-01-01"),
        age=60.0,
        sex=1.0,
    )
    return {
        "primary.targets": pd.concat(
            [keys, pd.DataFrame(values, columns=list(GRID.targets))], axis=1
        ),
        "primary.splits": pd.DataFrame({"eid": eid, "fold": 0, "part": parts}),
        "primary.participants": people,
    }


def run(root, tables):
    text = "".join(
        (CONF / f"catalog_{name}.yml").read_text()
        for name in ("data_engineering", "feature_tabular")
    )
    entries = yaml.safe_load(text.replace("${_root}", str(root)))
    catalog = DataCatalog.from_config({n: e for n, e in entries.items() if n[0] != "_"})
    for name, table in tables.items():
        catalog.save(name, table)
    catalog["params:grid"] = GRID
    SequentialRunner().run(create_pipeline(), catalog)
    return catalog


def test_every_target_becomes_a_trait_with_its_mask(tmp_path, tables):
    catalog = run(tmp_path, tables)
    blocks, scaling = catalog.load("feature.blocks"), catalog.load("feature.block_scaling")
    assert len(blocks) == 45
    assert scaling["target"].tolist() == list(GRID.targets)
    assert list(blocks)[3:] == [c for t in GRID.targets for c in (t, f"{t}__missing")]
    masks = blocks[[f"{t}__missing" for t in GRID.targets]].to_numpy()
    targets = tables["primary.targets"].sort_values(["eid", "instance"])[list(GRID.targets)]
    np.testing.assert_array_equal(masks == 1, targets.isna().to_numpy())


@pytest.mark.parametrize("part", ["validation", "test"])
def test_canary_the_scaling_file_ignores_people_outside_training(tmp_path, tables, part):
    before = run(tmp_path / "before", tables)
    splits, targets = tables["primary.splits"], tables["primary.targets"].copy()
    others = targets["eid"].isin(splits.loc[splits["part"] == part, "eid"])
    targets.loc[others, list(GRID.targets)] = 1e5
    after = run(tmp_path / "after", tables | {"primary.targets": targets})
    files = [tmp_path / when / "04_feature/block_scaling.parquet" for when in ("before", "after")]
    assert files[0].read_bytes() == files[1].read_bytes()
    blocks = [c.load("feature.blocks").set_index("eid") for c in (before, after)]
    train = splits.loc[splits["part"] == "train", "eid"]
    pd.testing.assert_frame_equal(blocks[0].loc[train], blocks[1].loc[train])
    assert not blocks[0].equals(blocks[1])


def test_families_that_straddle_stop_the_fit(tmp_path, tables):
    together = tables["primary.participants"].assign(family=0)
    with pytest.raises(Exception, match="1 families are in more than one part"):
        run(tmp_path, tables | {"primary.participants": together})
