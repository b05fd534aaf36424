"""Tables as tests write and read them."""

from pathlib import Path

import yaml

from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.table import main_table
from ukb_brain.tables.dictionary import Codings
from ukb_brain.tables.main_table import TableFolder
from ukb_brain.tables.table_file import TableSettings

CONF = Path(__file__).parents[1] / "conf/base"
CODINGS = Codings(yaml.safe_load((CONF / "parameters_codings.yml").read_text())["codings"])
COHORT = main_table(
    SyntheticCohort(participants=12, voxel_mm=8, regions=25, time_points=80, seed=1)
)


def opened(folder, **settings):
    """Find the main table of a folder."""
    return TableFolder(folder, folder / "codings").open(TableSettings(**settings), CODINGS)


def read(folder, fields=None, **settings):
    """Read fields of the main table of a folder, by default all."""
    table = opened(folder, **settings)
    return table.read(fields_of(table) if fields is None else fields)


def fields_of(table):
    return {column.field for column in table.columns}


def written(folder, text, name="ukb12345.csv", encoding="utf-8"):
    """Write a file as it is, and give its folder."""
    data = text if isinstance(text, bytes) else text.encode(encoding)
    (folder / name).write_bytes(data)
    return folder
