"""The performance tables: what every cell scores on test people, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Cell, Grid
from ukb_brain.statistics.intervals import FamilyDraws, score_with_interval
from ukb_brain.statistics.metrics import METRICS, Floats, scores_of

KEYS = ["target", "inputs", "strategy", "fold", "seed"]
ALL_METRICS = (*METRICS["binary"], *METRICS["continuous"])
METRIC_COLUMNS = [f"{metric}{end}" for metric in ALL_METRICS for end in ("", "_low", "_high")]


def performance_columns(grid: Grid, every: bool = False) -> list[str]:
    """Columns of the performance table, in their order.

    Parameters
    ----------
    grid : Grid
        Its modalities and domains are the boolean columns.
    every : bool
        With the column ``fold`` of the table of all strategies, folds and seeds.

    Returns
    -------
    list of str
    """
    return [
        *("target", "domain", "kind", "inputs"),
        *(*grid.modalities, *grid.domains),
        *("n_train", "n_val", "n_test", "status"),
        *METRIC_COLUMNS,
        *("train_seconds", "strategy"),
        *(("fold",) if every else ()),
        "seed",
    ]


class _Draws:
    """Weights of the people of a cell; cells of one target mostly have the same people."""

    def __init__(self, draws: FamilyDraws) -> None:
        self._draws = draws
        self._last: tuple[bytes, Floats] = (b"", np.empty((0, 0)))

    def __call__(self, families: np.ndarray) -> Floats:
        key = families.tobytes()
        if self._last[0] != key:
            self._last = (key, self._draws.weights(families))
        return self._last[1]


def _scored(
    fit: dict[Any, Any], kind: str, people: pd.DataFrame | None, draws: _Draws, level: float
) -> dict[str, Any]:
    """Metrics of one fit and its status, which says why where there are none."""
    if fit["status"] != "ok":
        return {"status": fit["status"]}
    if people is None or people.empty:
        return {"status": "no test predictions"}
    y_true, y_pred = people["y_true"].to_numpy(float), people["y_pred"].to_numpy(float)
    if len(y_true) < 2:
        return {"status": "fewer than two people in test"}
    if kind == "binary" and len(np.unique(y_true)) < 2:
        return {"status": "one class in test"}
    if not np.isfinite(y_pred).all():
        return {"status": "predictions are not finite"}
    weights = draws(people["family"].to_numpy(np.int64))
    threshold = fit["decision_threshold"] if kind == "binary" else fit["train_median"]
    row: dict[str, Any] = {"status": fit["status"]}
    for metric, score in scores_of(kind, float(threshold)).items():
        found = score_with_interval(score, y_true, y_pred, weights, level)
        row |= dict(zip((metric, f"{metric}_low", f"{metric}_high"), found, strict=True))
    return row


def _test_people(
    predictions: pd.DataFrame, participants: pd.DataFrame
) -> dict[tuple, pd.DataFrame]:
    test = predictions.loc[(predictions["split"] == "test") & predictions["y_true"].notna()]
    families = participants[["eid", "instance", "family"]]
    test = test.merge(families, on=["eid", "instance"], how="left", validate="many_to_one")
    if test["family"].isna().any():
        raise InputError(
            f"{int(test['family'].isna().sum())} test predictions belong to nobody among the "
            "participants: the tables are of different runs. Run data_engineering and modelling "
            "again on one data root."
        )
    # The order of people decides in which order sums are added: fix it.
    test = test.sort_values(["eid", "instance"], kind="stable")
    wanted = ["family", "y_true", "y_pred"]
    return {key: rows[wanted] for key, rows in test.groupby(KEYS, sort=False, observed=True)}


def score_all(
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    draws: int,
    level: float,
    seed: int,
) -> pd.DataFrame:
    """Score every fit of every strategy, fold and seed on its test people.

    Parameters
    ----------
    predictions : pandas.DataFrame
        ``eid, instance, target, inputs, strategy, fold, seed, split, y_true, y_pred``.
    cell_fits : pandas.DataFrame
        One row a target, inputs, strategy, fold and seed; a row whose status is not ``ok`` keeps
        its place with empty metrics.
    participants : pandas.DataFrame
        ``eid, instance, family``.
    grid : Grid
        Gives domains, kinds, order and boolean columns.
    draws : int
        Bootstrap draws.
    level : float
        Coverage of the intervals.
    seed : int
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        Columns of `performance_columns`, in the order of strategy, fold, seed and grid.

    Raises
    ------
    InputError
        If predictions belong to nobody among the participants.
    """
    people = _test_people(predictions, participants)
    families = {int(f) for rows in people.values() for f in rows["family"].unique()}
    shared = _Draws(FamilyDraws(families, draws, seed))
    place = {(cell.target, cell.inputs.name): at for at, cell in enumerate(grid.cells)}
    at = [place.get(key, -1) for key in zip(cell_fits["target"], cell_fits["inputs"], strict=True)]
    fits = cell_fits.assign(cell=at).query("cell >= 0")
    rows = []
    for fit in fits.sort_values(["strategy", "fold", "seed", "cell"]).to_dict("records"):
        cell = grid.cells[fit["cell"]]
        mine = people.get(tuple(fit[key] for key in KEYS))
        kind = grid.targets[cell.target].kind
        rows.append(_described(cell, grid) | _copied(fit) | _scored(fit, kind, mine, shared, level))
    return _typed(pd.DataFrame(rows), grid, every=True)


def _described(cell: Cell, grid: Grid) -> dict[str, Any]:
    target = grid.targets[cell.target]
    return {
        "target": cell.target,
        "domain": target.domain,
        "kind": target.kind,
        "inputs": cell.inputs.name,
    } | grid.flags(cell.inputs)


def _copied(fit: dict[Any, Any]) -> dict[str, Any]:
    names = ("n_train", "n_val", "n_test", "train_seconds", "strategy", "fold", "seed")
    return {name: fit[name] for name in names}


def _typed(table: pd.DataFrame, grid: Grid, every: bool) -> pd.DataFrame:
    table = table.reindex(columns=performance_columns(grid, every))
    numbers = [*METRIC_COLUMNS, "train_seconds"]
    counts = ["n_train", "n_val", "n_test", "seed", *(["fold"] if every else [])]
    return table.astype(
        dict.fromkeys(numbers, "float64")
        | dict.fromkeys(counts, "int64")
        | dict.fromkeys([*grid.modalities, *grid.domains], "bool")
    ).reset_index(drop=True)


def one_row_a_cell(performance_all: pd.DataFrame, grid: Grid, strategy: str) -> pd.DataFrame:
    """Keep the strategy that parameters name; it is never chosen by test score.

    Of several folds or seeds the first is shown. A cell without any fit keeps its row, with
    status ``not fitted``.

    Parameters
    ----------
    performance_all : pandas.DataFrame
        From `score_all`.
    grid : Grid
        Its cells are the rows.
    strategy : str
        Name of a strategy in the table.

    Returns
    -------
    pandas.DataFrame
        Columns of `performance_columns`, one row a cell, in the order of the grid.

    Raises
    ------
    InputError
        If no fit is of that strategy.
    """
    chosen = performance_all.loc[performance_all["strategy"] == strategy]
    if chosen.empty:
        raise InputError(
            f"Parameter reporting.strategy is {strategy!r}, but the fits are of "
            f"{sorted(performance_all['strategy'].unique())}: name one of these, or add it to the "
            "strategies of the modelling pipeline and run that again."
        )
    chosen = chosen.sort_values(["fold", "seed"], kind="stable")
    first = chosen.drop_duplicates(["target", "inputs"])
    fitted = {(row["target"], row["inputs"]): row for row in first.to_dict("records")}
    blank: dict[Any, Any] = {"n_train": 0, "n_val": 0, "n_test": 0, "status": "not fitted"}
    blank |= {"strategy": strategy, "seed": int(chosen["seed"].min())}
    rows = [
        fitted.get((cell.target, cell.inputs.name), blank) | _described(cell, grid)
        for cell in grid.cells
    ]
    return _typed(pd.DataFrame(rows), grid, every=False)
