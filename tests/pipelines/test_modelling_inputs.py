"""Which cells see a scan or a trait."""

import shutil

import numpy as np
import pandas as pd
import pytest
from modelling_cases import (
    CONSTANT,
    EVERY,
    GRID,
    PARTS,
    changed,
    people_of,
    run,
)
from modelling_runs import (
    NOBODY,
    PREDICTIONS,
    fits,
)

from ukb_brain.training.dedicated import drawn_cells


def changed_cells(before, after, eid):
    """Cells of which a person's prediction is another."""
    keys = ["strategy", "target", "inputs"]
    tables = []
    for root in (before, after):
        table = pd.read_parquet(root / PREDICTIONS)
        mine = table[table["eid"] == eid].astype(dict.fromkeys(keys, str))
        tables.append(mine.set_index(keys)["y_pred"].sort_index())
    assert tables[0].index.equals(tables[1].index)
    return {key for key in tables[0].index if tables[0][key] != tables[1][key]}


def cells_with(groups=(), blocks=()):
    of_strategy = dict.fromkeys(("linear", "amortised"), GRID.cells)
    return {
        (strategy, cell.target, cell.inputs.name)
        for strategy, cells in (of_strategy | {"dedicated": drawn_cells(GRID, 3)}).items()
        for cell in cells
        if cell.target not in CONSTANT
        and (set(groups) & set(cell.inputs.groups) or set(blocks) & set(cell.inputs.blocks))
    }


def without_images(root):
    """Linear cells in whose fit nothing is left to images."""
    rows = fits(root).query("strategy == 'linear' and image_penalty.isna()")
    return set(rows[["strategy", "target", "inputs"]].itertuples(index=False, name=None))


@pytest.fixture(scope="module")
def complete(invented):
    """Test people of whom everything is known."""
    people = people_of(invented)
    known = people.having(tuple(GRID.imaging)) & (PARTS == "test")
    known &= np.all([np.isfinite(y) for y in people.targets.values()], axis=0)
    return [int(eid) for eid in people.eid[known]]


# Each changed in one test person; groups and blocks whose cells may change.
CHANGES = {
    "dwi": {"groups": ["diffusion"]},
    "rsfmri": {"groups": ["functional"]},
    "smoking": {"blocks": ["disease"]},
    "worry": {"blocks": ["psychology"]},
}


@pytest.fixture(scope="module")
def each_changed(invented, before, complete, tmp_path_factory):
    """Runs before and after, without and with the ladder."""
    other = invented.copy()
    targets = other.tables["primary.targets"]
    for name, eid in zip(CHANGES, complete, strict=False):
        if name in other.scans:
            other.scans[name][eid - invented.eid[0]] += 3
        else:
            targets.loc[targets["eid"] == eid, name] = 1 - targets.loc[targets["eid"] == eid, name]
    after = tmp_path_factory.mktemp("after")
    run(after, other, before, np.array(complete), modelling=EVERY)
    roots = {True: (before, after)}
    flat = [tmp_path_factory.mktemp("flat") / when for when in ("before", "after")]
    for cohort, source, root in zip((invented, other), (before, after), flat, strict=True):
        shutil.copytree(source, root)
        run(root, cohort, altered=NOBODY, modelling=changed(EVERY, ladder=False))
    return roots | {False: tuple(flat)}


@pytest.mark.parametrize("name", list(CHANGES))
def test_a_scan_or_trait_reaches_the_cells_with_its_group_or_block_only(
    each_changed, complete, name
):
    eid = complete[list(CHANGES).index(name)]
    may = cells_with(**CHANGES[name])
    # With traits beside them images may be left out.
    if "groups" in CHANGES[name]:
        deaf = without_images(each_changed[False][0])
        assert len(may & deaf) < len(may) / 10
        may -= deaf
    assert changed_cells(*each_changed[False], eid) == may
    # On the ladder a cell may do without what changed, and never takes up what is not its own.
    found = changed_cells(*each_changed[True], eid)
    assert found <= may
    assert {cell for cell in found if cell[0] != "amortised"} == {
        cell for cell in may if cell[0] != "amortised"
    }
