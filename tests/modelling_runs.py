"""What tests of whole runs of modelling compare: models, predictions and fits of data roots."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from modelling_cases import GRID, PARTS, invented_cohort, people_of

from ukb_brain.ledger.artifact import read_model
from ukb_brain.training.results import FINAL, UNREFINED

KINDS = {
    "grams": "gram_of_group",
    "kernels": "fit_set",
    "encoders": "train_encoder",
    "cells": "fit_cells_of_target",
    "dedicated": "train_dedicated",
}
SETS = len({cell.inputs.groups for cell in GRID.cells})
NUMBERS = {
    "grams": 3, "kernels": SETS, "encoders": 2, "cells": len(GRID.targets), "dedicated": 3,
}  # fmt: skip
PREDICTIONS, FITS = "07_model_output/predictions.parquet", "07_model_output/cell_fits.parquet"
NOBODY = np.array([], dtype=np.int64)
# What differs between two runs of the same thing, and what names the people of a run.
TIMINGS = {"seconds", "finished", "wait_share", "process_bytes", "device_bytes"}
OF_PEOPLE = {"hash"}
# People of these arrays, by axis; the predictions' are validation and test people.
BY_PERSON = {"scores": 0, "outputs": 1}


def models_of(root, kind="*"):
    return sorted(
        str(path.parent.relative_to(root)) for path in root.glob(f"06_models/{kind}/*/card.json")
    )


def without(value, names):
    """A card without some of its values, however deep."""
    if isinstance(value, dict):
        return {k: without(v, names) for k, v in value.items() if k not in names}
    return [without(v, names) for v in value] if isinstance(value, list) else value


@cache
def having(group):
    return people_of(invented_cohort()).has[group]


def of_others(name, model, altered):
    """What an array says of people who are not altered, or of nobody in particular."""
    array, kind = model.arrays[name], name.split("/")[0]
    if kind in (FINAL, UNREFINED):
        return array[~altered[PARTS != "train"]]
    if kind in ("gram", "norms"):
        array = array[~altered[having(model.card["group"])]]
        return array[:, ~altered[model.arrays["columns"]]] if kind == "gram" else array
    return np.delete(array, altered, BY_PERSON[kind]) if kind in BY_PERSON else array


def rows_of(invented, eids):
    return np.isin(invented.eid, eids)


def assert_models_are_alike(before, after, altered, kinds=KINDS, but=frozenset()):
    """Compare all that is fitted or chosen, and all that is said of other people, byte by byte."""
    for kind in kinds:
        assert models_of(before, kind) == models_of(after, kind) != []
        for model in models_of(before, kind):
            old, new = (read_model(root / model) for root in (before, after))
            assert set(old.arrays) == set(new.arrays), model
            for name in old.arrays:
                pair = [of_others(name, each, altered).tobytes() for each in (old, new)]
                assert pair[0] == pair[1], (model, name)
            names = TIMINGS | OF_PEOPLE | but
            assert without(old.card, names) == without(new.card, names), model


def assert_scaling_is_alike(before, after):
    file = "04_feature/block_scaling.parquet"
    assert (before / file).read_bytes() == (after / file).read_bytes(), file


def assert_others_are_predicted_alike(before, after, altered):
    old, new = (pd.read_parquet(root / PREDICTIONS) for root in (before, after))
    others = [table[~table["eid"].isin(altered)].reset_index(drop=True) for table in (old, new)]
    pd.testing.assert_frame_equal(*others, check_exact=True)
    mine = [table.loc[table["eid"].isin(altered), "y_pred"] for table in (old, new)]
    assert (mine[0] != mine[1]).mean() > 0.9


def assert_files_are_alike(before, after):
    """Every array of every model, and every prediction."""
    assert models_of(before) == models_of(after)
    for model in models_of(before):
        file = f"{model}/model.safetensors"
        assert (before / file).read_bytes() == (after / file).read_bytes(), file
    assert (before / PREDICTIONS).read_bytes() == (after / PREDICTIONS).read_bytes()


def fits(root):
    return pd.read_parquet(root / FITS)
