"""The study's own results table: written for scripts that read it, and read back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support, roc_auc_score

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.statistics.kinds import BINARY, CONTINUOUS, KINDS
from ukb_brain.statistics.scores.target_predictions import CELL, TargetPredictions
from ukb_brain.statistics.weighted_sums import Floats

FLAGGED = ("Constitutional", "Serology", "Psychology", "Disease", "T1", "FLAIR", "DWI")
FLAGS = {name: name.lower() for name in FLAGGED} | {"rsfMRI connectivity": "rsfmri"}
SPLIT_SCORES = ("Balanced accuracy", "Weighted precision", "Weighted recall", "Weighted F1", "AUC")
UNSCORED = dict.fromkeys(SPLIT_SCORES, np.nan)
COLUMNS = [
    *("Mode", "Target", "Inputs", *SPLIT_SCORES),
    *("Training time (mins)", "Loss", "r2", "r", "MAE", "Metadata", *FLAGS, "Domain"),
]
# Column of the file: its name here, and the least that it can be. Its AUC is none of the trait:
# `micro_averaged`.
SCORES = {
    "Balanced accuracy": ("balanced_accuracy", 0.0),
    "r2": ("r2", -np.inf),
    "r": ("pearson_r", -1.0),
}
OF_QUANTITIES = {"r2": "r2", "r": "pearson_r", "MAE": "mae"}
# Of the split that was scored, never a kind of target.
MODES = ("Test", "Validation")


def micro_averaged(y: NDArray[np.bool_], second: Floats) -> float:
    """Area under the curve of both one-hot outputs taken as one, as the study computes it.

    Of who is of the second class, y, and what is predicted for it, between 0 and 1, both of shape
    (n,); the first has the rest. It follows the share of the larger class; of hard decisions it is
    their plain accuracy.
    """
    truth = np.concatenate([y, ~y])
    return float(roc_auc_score(truth, np.concatenate([second, 1 - second])))


def _split_scores(table: TargetPredictions, inputs: str) -> dict[str, float]:
    """Scores of two classes in each fold, averaged by test people.

    A continuous target and its predictions are split at the training median, as in the study.
    """
    kind, cell, scores, people = KINDS[table.kind], table.inputs.index(inputs), [], []
    for fold, threshold in zip(table.folds, table.threshold[:, cell], strict=True):
        mine = (table.fold == fold) & np.isfinite(table.predicted[:, cell])
        predicted = table.predicted[mine, cell]
        said, truth = predicted > threshold, kind.positive(table.y[mine], threshold)
        macro = precision_recall_fscore_support(truth, said, average="macro", zero_division=0)[:3]
        outputs = predicted if kind is BINARY else said.astype(float)
        accuracy = balanced_accuracy_score(truth, said)
        scores.append((accuracy, *macro, micro_averaged(truth, outputs)))
        people.append(len(predicted))
    return dict(zip(SPLIT_SCORES, np.average(scores, axis=0, weights=people).tolist(), strict=True))


def published_layout(
    performance: pd.DataFrame,
    targets: Mapping[str, TargetPredictions],
    cell_fits: pd.DataFrame,
    grid: Grid,
) -> pd.DataFrame:
    """Arrange the performance table in the columns of the study's published table.

    Columns are what the study's ``train.py`` puts there, whatever their names: ``Mode`` is the
    split that was scored; precision, recall and F1 are plain means over both classes, so that
    recall is the balanced accuracy; the AUC is `micro_averaged`. Those of a continuous target are
    of a split at the training median. R², r and MAE of a binary target are 0, as published; what
    could not be measured (a status other than ``ok``) is empty. Folds are averaged by test people.
    Ours differ in three: a yes is said above the training share of yes rather than by the larger
    of two outputs, no target is clamped before it is scored, and the loss (mean over folds and
    seeds) is of validation people, without a weight penalty. The training time is the sum over
    folds and seeds.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS` in their order, with a plain index that is the file's first column.
    """
    fits = cell_fits[cell_fits["strategy"] == performance["strategy"].iloc[0]]
    loss = fits.groupby(CELL, observed=True)["loss"].mean()
    rows = []
    for cell in performance.to_dict("records"):
        own = KINDS[cell["kind"]].metrics
        row: dict[str, Any] = dict.fromkeys(COLUMNS, 0.0) | {
            "Mode": "Test",
            "Target": grid.targets[cell["target"]].name,
            "Inputs": cell["inputs"],
            "Training time (mins)": cell["train_seconds"] / 60,
            "Loss": loss.get((cell["target"], cell["inputs"]), np.nan),
            "Metadata": "Yes" if any(cell[domain] for domain in grid.domains) else "No",
            "Domain": cell["domain"].title(),
        }
        row |= {name: "Yes" if cell.get(key, False) else "No" for name, key in FLAGS.items()}
        row |= {name: cell[metric] for name, metric in OF_QUANTITIES.items() if metric in own}
        scored = cell["status"] == "ok"
        row |= _split_scores(targets[cell["target"]], cell["inputs"]) if scored else UNSCORED
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def read_published(table: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Read a table in the published layout for analysis.

    Parameters
    ----------
    table : pandas.DataFrame
        With at least the columns Mode, Target, Inputs, Domain, Balanced accuracy, r2, r and the
        Yes/No flags. Its AUC is not read: it is none of the trait (`micro_averaged`).
    grid : Grid
        Names the targets.

    Returns
    -------
    pandas.DataFrame
        ``target, domain, kind, inputs, balanced_accuracy, r2, pearson_r``, empty where a metric
        does not apply, ``precision, f1`` where the file has them, and one boolean column a flag.
        The kind is that of the grid's target.

    Raises
    ------
    InputError
        If a column is absent, a cell is there twice, rows are of several splits, a target or inputs
        are not of the grid, a score is impossible, or a flag is neither Yes nor No.
    """
    needed = ("Mode", "Target", "Inputs", "Domain", *SCORES, *FLAGS)
    absent = [name for name in needed if name not in table]
    if absent:
        raise InputError(
            f"The published table lacks the columns {absent}; it has {list(table.columns)[:30]}. "
            "Give a file in the layout of metrics_comparison_test.csv."
        )
    table = table.reset_index(drop=True)
    _check_cells(table, grid)
    about = {
        target.name: {"target": key, "domain": target.domain, "kind": target.kind}
        for key, target in grid.targets.items()
    }
    read = pd.DataFrame([about[name] for name in table["Target"]]).assign(inputs=table["Inputs"])
    for name, key in {"Weighted precision": "precision", "Weighted F1": "f1"}.items():
        given = table.get(name, pd.Series(np.nan, table.index))
        read[key] = pd.to_numeric(given, errors="coerce").astype(float)
    for name, (key, least) in SCORES.items():
        values = pd.to_numeric(table[name], errors="coerce").astype(float)
        applies = (read["kind"] == CONTINUOUS.name) | (key not in CONTINUOUS.metrics)
        odd = applies & ((values < least) | (values > 1))
        _refuse(table, odd, name, f"scores lie between {least} and 1")
        _refuse(table, values.isna() & table[name].notna(), name, "this is no number")
        read[key] = values.where(applies)
    for name, key in FLAGS.items():
        _refuse(table, ~table[name].isin(["Yes", "No"]), name, "use Yes or No")
        read[key] = table[name] == "Yes"
    return read


def _check_cells(table: pd.DataFrame, grid: Grid) -> None:
    """Refuse rows that are of no cell of the grid, of a cell that is there twice, or of two splits.

    Names that are wrong by themselves come first.
    """
    cells = {(grid.targets[cell.target].name, cell.inputs.name) for cell in grid.cells}
    names, inputs = (set(known) for known in zip(*cells, strict=True))
    pairs = pd.Series(list(zip(table["Target"], table["Inputs"], strict=True)), index=table.index)
    first = table["Mode"].iloc[0]
    for column, odd, why in (
        ("Target", ~table["Target"].isin(names), "the grid has no such target"),
        ("Inputs", ~table["Inputs"].isin(inputs), "the grid has no such inputs"),
        ("Inputs", pairs.duplicated(), "this cell of its target is there twice"),
        ("Mode", ~table["Mode"].isin(MODES), f"use one of {list(MODES)}"),
        ("Mode", table["Mode"] != first, f"others are {first}; give one split at a time"),
        ("Inputs", ~pairs.isin(cells), "the grid has no such cell of its target"),
    ):
        _refuse(table, odd, column, why)


def _refuse(table: pd.DataFrame, odd: pd.Series, column: str, why: str) -> None:
    if odd.any():
        shown = sorted({str(value) for value in table.loc[odd, column]})[:3]
        raise InputError(
            f"Column {column!r} of the published table: {odd.sum()} rows, such as {shown}: "
            f"{why}. Give a file in the layout of metrics_comparison_test.csv."
        )
