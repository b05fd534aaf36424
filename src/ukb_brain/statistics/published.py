"""The study's own results table: written for scripts that read it, and read back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid

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
MODES = {"binary": "classification", "continuous": "regression"}


def _weighted_scores(people: pd.DataFrame, threshold: float) -> dict[str, float]:
    precision, recall, f1, _ = precision_recall_fscore_support(
        people["y_true"] > 0, people["y_pred"] > threshold, average="weighted", zero_division=0
    )
    return {
        "Weighted precision": float(precision),
        "Weighted recall": float(recall),
        "Weighted F1": float(f1),
    }


def _row(cell: Any, fit: Any, people: pd.DataFrame | None, grid: Grid) -> dict[str, Any]:
    blocks = [cell[domain] for domain in grid.domains]
    row: dict[str, Any] = dict.fromkeys(COLUMNS, 0.0) | {
        "Mode": MODES[cell["kind"]],
        "Target": grid.targets[cell["target"]].name,
        "Inputs": cell["inputs"],
        "Training time (mins)": cell["train_seconds"] / 60,
        "Loss": fit["loss"] if fit is not None else np.nan,
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
    if cell["status"] != "ok" or fit is None or people is None:
        return row | dict.fromkeys(("Weighted precision", "Weighted recall", "Weighted F1"), np.nan)
    return row | _weighted_scores(people, fit["decision_threshold"])


def published_layout(
    performance: pd.DataFrame, predictions: pd.DataFrame, cell_fits: pd.DataFrame, grid: Grid
) -> pd.DataFrame:
    """Arrange the performance table in the columns of the study's published table.

    A metric that does not apply to a kind of target is 0, as published; one that applies but
    could not be measured (a status other than ``ok``) is empty. The "balanced accuracy" of a
    continuous target is that of a split at the training median. Precision, recall and F1 are
    means over both classes weighted by their size (scikit-learn), at the decision threshold.

    Parameters
    ----------
    performance : pandas.DataFrame
        One row a cell.
    predictions, cell_fits : pandas.DataFrame
        Of at least the strategy and seed of ``performance``.
    grid : Grid
        Gives the published names.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS` in their order, with a plain index that is the file's first column.
    """
    keys = ["target", "inputs", "strategy", "seed"]
    fits = cell_fits.sort_values("fold").drop_duplicates(keys).set_index(keys)
    test = predictions.loc[
        (predictions["split"] == "test")
        & (predictions["strategy"] == performance["strategy"].iloc[0])
        & predictions["y_true"].notna()
    ]
    people = dict(iter(test.groupby([*keys, "fold"], sort=False, observed=True)))
    rows = []
    for cell in performance.to_dict("records"):
        key = tuple(cell[name] for name in keys)
        fit = fits.loc[key] if key in fits.index else None
        mine = None if fit is None else people.get((*key, fit["fold"]))
        rows.append(_row(cell, fit, mine, grid))
    return pd.DataFrame(rows, columns=COLUMNS)


def read_published(table: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Read a table in the published layout for analysis.

    Parameters
    ----------
    table : pandas.DataFrame
        With at least the columns Target, Balanced accuracy, Domain and the Yes/No flags.
    grid : Grid
        Names the targets.

    Returns
    -------
    pandas.DataFrame
        ``target, domain, balanced_accuracy`` and one boolean column a flag.

    Raises
    ------
    InputError
        If a column is absent or a flag is neither Yes nor No.
    """
    absent = [
        name for name in ("Target", "Balanced accuracy", "Domain", *FLAGS) if name not in table
    ]
    if absent:
        raise InputError(
            f"The published table lacks the columns {absent}; it has {list(table.columns)[:30]}. "
            "Give a file in the layout of metrics_comparison_test.csv."
        )
    keys = {target.name: key for key, target in grid.targets.items()}
    read = pd.DataFrame(
        {
            "target": [keys.get(name, name) for name in table["Target"]],
            "domain": table["Domain"].str.lower().to_numpy(),
            "balanced_accuracy": table["Balanced accuracy"].to_numpy(float),
        }
    )
    for name, key in FLAGS.items():
        odd = sorted(set(table[name]) - {"Yes", "No"}, key=str)
        if odd:
            raise InputError(
                f"Column {name!r} of the published table holds {odd[:3]}; use Yes or No."
            )
        read[key] = (table[name] == "Yes").to_numpy()
    return read
