"""The study's own results table: written for scripts that read it, and read back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.statistics.scores.folds import predicted_people
from ukb_brain.statistics.scores.legibility_map import Combined, combine, fits_by_cell

FLAGS = {
    "Constitutional": "constitutional",
    "Serology": "serology",
    "Psychology": "psychology",
    "Disease": "disease",
    "T1": "t1",
    "FLAIR": "flair",
    "DWI": "dwi",
    "rsfMRI connectivity": "rsfmri",
}
COLUMNS = [
    "Mode",
    "Target",
    "Inputs",
    "Balanced accuracy",
    "Weighted precision",
    "Weighted recall",
    "Weighted F1",
    "AUC",
    "Training time (mins)",
    "Loss",
    "r2",
    "r",
    "MAE",
    "Metadata",
    *FLAGS,
    "Domain",
]
# Column of the file: its name here, the kind of target it is of, and the least that it can be.
SCORES = {
    "Balanced accuracy": ("balanced_accuracy", None, 0.0),
    "AUC": ("roc_auc", "binary", 0.0),
    "r2": ("r2", "continuous", -np.inf),
}
MODES = {"binary": "classification", "continuous": "regression"}
WEIGHTED = ("Weighted precision", "Weighted recall", "Weighted F1")


def _weighted_scores(combined: Combined) -> dict[str, float]:
    """Each fold's scores at its own threshold, averaged by test people."""
    folds = combined.averaged
    scores = [
        precision_recall_fscore_support(
            fold.y_true > 0, fold.y_pred > threshold, average="weighted", zero_division=0
        )[:3]
        for fold, threshold in zip(folds, combined.threshold, strict=True)
    ]
    means = np.average(scores, axis=0, weights=[len(fold.y_true) for fold in folds])
    return dict(zip(WEIGHTED, means.tolist(), strict=True))


def _row(cell: Any, loss: float, combined: Combined | None, grid: Grid) -> dict[str, Any]:
    blocks = [cell[domain] for domain in grid.domains]
    row: dict[str, Any] = dict.fromkeys(COLUMNS, 0.0) | {
        "Mode": MODES[cell["kind"]],
        "Target": grid.targets[cell["target"]].name,
        "Inputs": cell["inputs"],
        "Training time (mins)": cell["train_seconds"] / 60,
        "Loss": loss,
        "Metadata": "Yes" if any(blocks) else "No",
        "Domain": cell["domain"].title(),
    }
    row |= {name: "Yes" if cell.get(key, False) else "No" for name, key in FLAGS.items()}
    if cell["kind"] == "continuous":
        return row | {
            "Balanced accuracy": cell["median_split_accuracy"],
            "r2": cell["r2"],
            "r": cell["pearson_r"],
            "MAE": cell["mae"],
        }
    row |= {"Balanced accuracy": cell["balanced_accuracy"], "AUC": cell["roc_auc"]}
    if combined is None or combined.status != "ok":
        return row | dict.fromkeys(WEIGHTED, np.nan)
    return row | _weighted_scores(combined)


def published_layout(
    performance: pd.DataFrame, predictions: pd.DataFrame, cell_fits: pd.DataFrame, grid: Grid
) -> pd.DataFrame:
    """Arrange the performance table in the columns of the study's published table.

    A metric that does not apply to a kind of target is 0, as published; one that applies but
    could not be measured (a status other than ``ok``) is empty. The "balanced accuracy" of a
    continuous target is that of a split at the training median. Precision, recall and F1 are
    means over both classes weighted by their size (scikit-learn), at the decision threshold; of
    several folds they are averaged by test people, as the balanced accuracy is. The loss is the
    mean over folds and seeds, the training time their sum.

    Parameters
    ----------
    performance : pandas.DataFrame
        One row a cell.
    predictions, cell_fits : pandas.DataFrame
        Of at least the strategy of ``performance``, with all its folds and seeds.
    grid : Grid
        Gives the published names.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS` in their order, with a plain index that is the file's first column.
    """
    strategy = performance["strategy"].iloc[0]
    fits = cell_fits.loc[cell_fits["strategy"] == strategy]
    people = predicted_people(predictions.loc[predictions["strategy"] == strategy])
    folds = sorted(fits["fold"].unique().tolist())
    loss = fits.groupby(["target", "inputs"])["loss"].mean()
    of_cell = fits_by_cell(fits)
    rows = []
    for cell in performance.to_dict("records"):
        key = (cell["target"], cell["inputs"])
        mine = of_cell.get(key)
        combined = combine(mine, folds, cell["kind"], people) if mine else None
        rows.append(_row(cell, loss.get(key, np.nan), combined, grid))
    return pd.DataFrame(rows, columns=COLUMNS)


def read_published(table: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Read a table in the published layout for analysis.

    Parameters
    ----------
    table : pandas.DataFrame
        With at least the columns Mode, Target, Inputs, Domain, Balanced accuracy, AUC, r2 and the
        Yes/No flags.
    grid : Grid
        Names the targets.

    Returns
    -------
    pandas.DataFrame
        ``target, domain, kind, inputs, balanced_accuracy, roc_auc, r2``, empty where a metric does
        not apply, and one boolean column a flag.

    Raises
    ------
    InputError
        If a column is absent, a cell is there twice, a target or inputs are not of the grid, a
        score is impossible, or a flag is neither Yes nor No.
    """
    needed = ("Mode", "Target", "Inputs", "Domain", *SCORES, *FLAGS)
    absent = [name for name in needed if name not in table]
    if absent:
        raise InputError(
            f"The published table lacks the columns {absent}; it has {list(table.columns)[:30]}. "
            "Give a file in the layout of metrics_comparison_test.csv."
        )
    keys = {target.name: key for key, target in grid.targets.items()}
    _refuse(table, ~table["Target"].isin(keys), "Target", "the grid has no such target")
    inputs = {cell.inputs.name for cell in grid.cells}
    _refuse(table, ~table["Inputs"].isin(inputs), "Inputs", "the grid has no such inputs")
    twice = table.duplicated(["Target", "Inputs"])
    _refuse(table, twice, "Inputs", "this cell of its target is there twice")
    kinds = {mode: kind for kind, mode in MODES.items()}
    _refuse(table, ~table["Mode"].isin(kinds), "Mode", f"use one of {list(kinds)}")
    of_target = {(grid.targets[c.target].name, c.inputs.name): c for c in grid.cells}
    pairs = list(zip(table["Target"], table["Inputs"], strict=True))
    stranger = pd.Series([pair not in of_target for pair in pairs], index=table.index)
    _refuse(table, stranger, "Inputs", "the grid has no such cell of its target")
    meant = [MODES[grid.targets[of_target[pair].target].kind] for pair in pairs]
    _refuse(table, table["Mode"] != meant, "Mode", "the target is of the other kind")
    read = pd.DataFrame(
        {
            "target": table["Target"].map(keys).to_numpy(),
            "domain": [grid.targets[keys[name]].domain for name in table["Target"]],
            "kind": table["Mode"].map(kinds).to_numpy(),
            "inputs": table["Inputs"].to_numpy(),
        }
    )
    for name, (key, kind, least) in SCORES.items():
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(float)
        applies = np.ones(len(read), dtype=bool) if kind is None else read["kind"] == kind
        odd = pd.Series(applies & ((values < least) | (values > 1)), index=table.index)
        _refuse(table, odd, name, f"scores lie between {least} and 1")
        unread = pd.Series(np.isnan(values) & table[name].notna().to_numpy(), index=table.index)
        _refuse(table, unread, name, "this is no number")
        read[key] = np.where(applies, values, np.nan)
    for name, key in FLAGS.items():
        _refuse(table, ~table[name].isin(["Yes", "No"]), name, "use Yes or No")
        read[key] = (table[name] == "Yes").to_numpy()
    return read


def _refuse(table: pd.DataFrame, odd: pd.Series, column: str, why: str) -> None:
    if odd.any():
        shown = sorted({str(value) for value in table.loc[odd, column]})[:3]
        raise InputError(
            f"Column {column!r} of the published table: {int(odd.sum())} rows, such as {shown}: "
            f"{why}. Give a file in the layout of metrics_comparison_test.csv."
        )
