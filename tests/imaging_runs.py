"""Whole runs of imaging on small real files."""

import numpy as np
import pandas as pd
import yaml
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner
from scan_cases import ROOT

from ukb_brain.cluster import Compute
from ukb_brain.pipelines.data_engineering.nodes import index_bulk
from ukb_brain.pipelines.imaging_preprocess import create_pipeline
from ukb_brain.tables.dictionary import Codings

# What the pipeline makes but for its pages, which take longer to draw.
TABLES = (
    *("primary.quality_summary", "reporting.mean_images", "primary.scan_flags"),
    "reporting.connectivity",
)
FIRST = 9_000_001
# Motion in mm of everybody at each visit, in the order of participants.
MOTION = 0.125


def put(root, eid, field, content, instance=2):
    """Write a bulk file where a run finds it."""
    path = root / f"01_raw/bulk/{field}/{eid}_{field}_{instance}_0.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def numbers_of(people, grid):
    """A table of numbers: two fields, each the visit's place; no rows where the grid has none."""
    if "idps" not in grid.imaging:
        return people[["eid", "instance"]].iloc[:0]
    values = np.arange(len(people), dtype=np.float32)
    return people[["eid", "instance"]].assign(**{"25001": values, "25002": values})


def run_imaging(root, keys, splits, grid, settings, outputs=TABLES, sites=(11025,)):
    """Run the pipeline on what lies under `root`, as the catalog of conf/base has it."""
    entries = {}
    for name in ("data_engineering", "imaging_preprocess"):
        text = (ROOT / f"conf/base/catalog_{name}.yml").read_text().replace("${_root}", str(root))
        entries |= yaml.safe_load(text.replace("${_raw}", str(root / "01_raw")))
    entries["raw.bulk"].pop("folder")
    catalog = DataCatalog.from_config({k: v for k, v in entries.items() if k[0] != "_"})
    given = {"imaging_preprocess": settings, "source": "synthetic", "grid": grid}
    given |= {"compute": Compute(workers=1), "reporting.suppress_below": 10}
    given["codings"] = Codings({10: {11025: "Cheadle (imaging)"}})
    for name, value in given.items():
        catalog[f"params:{name}"] = value
    people = pd.DataFrame(keys, columns=["eid", "instance"])
    catalog.save("primary.confounds", people.assign(head_motion=MOTION))
    date = pd.Timestamp("2016-01-01")
    people = people.assign(family=people["eid"] - FIRST, date=date, age=60.0, sex=1.0)
    people["site"] = [sites[row % len(sites)] for row in range(len(people))]
    people["chosen"] = people["instance"] == 2
    catalog.save("primary.participants", people)
    catalog.save("primary.imaging_numbers", numbers_of(people, grid))
    catalog.save("primary.splits", splits[splits["eid"].isin(people["eid"])])
    before = catalog.load("intermediate.bulk_index_before")
    bulk, gone = catalog.load("raw.bulk"), catalog.load("raw.withdrawals")
    index = index_bulk(bulk, before, grid, settings, gone)
    catalog.save("intermediate.bulk_index", index)
    SequentialRunner().run(create_pipeline().to_outputs(*outputs), catalog)
    return catalog
