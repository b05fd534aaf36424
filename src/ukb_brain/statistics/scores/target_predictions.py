"""All cells of a target side by side: one row a test person and visit, one column a cell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid, Inputs
from ukb_brain.statistics.kinds import BINARY, KINDS
from ukb_brain.statistics.weighted_sums import Floats

CELL = ["target", "inputs"]
ROW = ["fold", "eid", "instance"]
FIT = [*CELL, "strategy", "fold", "seed"]
DIFFERENT_RUNS = (
    "they are of different runs. Delete the folders 06_models and 07_model_output, and run "
    "`kedro run --pipelines modelling`."
)


@dataclass(frozen=True, eq=False)
class TargetPredictions:
    """Test people of a target and what every scored cell predicts for them.

    Attributes
    ----------
    target, kind : str
        Its key in the grid, and ``binary`` or ``continuous``.
    inputs : tuple of str
        Published names of the cells' inputs, in the order of the grid.
    visit : ndarray of int, shape (n, 2)
        eid and instance, sorted by fold first.
    family, fold : ndarray of int, shape (n,)
        Relatives have the same family; each was tested in one fold.
    y : ndarray, shape (n,)
        In the target's own units, or 0 and 1.
    predicted : ndarray, shape (n, cells)
        In the same units, or a probability; NaN where a cell lacks the person.
    threshold : ndarray, shape (folds, cells)
        The decision threshold, or the training median of a continuous target.
    folds : tuple of int
        Labels of the folds, sorted.
    """

    target: str
    kind: str
    inputs: tuple[str, ...]
    visit: NDArray[np.int64]
    family: NDArray[np.int64]
    fold: NDArray[np.int64]
    y: Floats
    predicted: Floats
    threshold: Floats
    folds: tuple[int, ...]

    @property
    def row_of_fold(self) -> NDArray[np.intp]:
        """Where each person's fold is among the ``folds``, shape (n,)."""
        return np.searchsorted(self.folds, self.fold)

    def cell(self, inputs: Inputs) -> Self | None:
        """Keep one cell, and the people whom it has; None: it has no scores."""
        if inputs.name not in self.inputs:
            return None
        at = [self.inputs.index(inputs.name)]
        predicted, threshold = self.predicted[:, at], self.threshold[:, at]
        one = replace(self, inputs=(inputs.name,), predicted=predicted, threshold=threshold)
        return one.restricted(np.isfinite(one.predicted[:, 0]))

    def restricted(self, rows: NDArray[np.bool_]) -> Self:
        """Keep the test people of ``rows``, shape (n,)."""
        names = ("visit", "family", "fold", "y", "predicted")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def rows_of(visit: NDArray[np.int64], people: pd.DataFrame) -> pd.DataFrame:
    """Look up what a table of ``eid, instance`` and more says of visits, shape (n, 2), in order."""
    index = pd.MultiIndex.from_arrays(list(visit.T), names=["eid", "instance"])
    return people.set_index(["eid", "instance"]).reindex(index).reset_index(drop=True)


def gather_targets(
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    strategy: str,
) -> dict[str, TargetPredictions]:
    """Collect what a strategy predicts for test people, with seeds averaged within a fold.

    Returns
    -------
    dict of str to TargetPredictions
        By target, in the order of the grid; of cells with the status ``ok``, so a target without
        any is absent.

    Raises
    ------
    InputError
        As of `of_strategy` and `side_by_side`.

    Notes
    -----
    ``tests/statistics/scores/test_target_predictions.py`` scores these tables fold by fold and
    compares the result with `ukb_brain.statistics.scores.performance.score_map`.
    """
    fits, tested = of_strategy(predictions, cell_fits, participants, grid, strategy)
    return side_by_side(fits, tested, grid)[0]


def of_strategy(
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    strategy: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Look up the fits of a strategy, `in_grid`, and its `people_in_test`.

    Raises
    ------
    InputError
        If there are no fits, or predictions belong to nobody among the participants.
    """
    fits = in_grid(cell_fits.loc[cell_fits["strategy"] == strategy], grid)
    if fits.empty:
        raise InputError(
            f"There are no fits of strategy {strategy!r}, only of "
            f"{sorted(cell_fits['strategy'].unique())}: name one of these in reporting.strategy, "
            "or add it to the strategies of the modelling pipeline and run that again."
        )
    mine = predictions.loc[predictions["strategy"] == strategy]
    return fits, people_in_test(mine, participants)


def cells_of(grid: Grid) -> pd.DataFrame:
    """List the grid's cells: ``cell``, its place, ``target, domain, kind, inputs`` and flags."""
    rows = []
    for cell in grid.cells:
        target = grid.targets[cell.target]
        names = {"target": cell.target, "domain": target.domain, "kind": target.kind}
        rows.append(names | {"inputs": cell.inputs.name} | grid.flags(cell.inputs))
    return pd.DataFrame(rows).reset_index(names="cell")


def in_grid(cell_fits: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Add each fit's place in the grid, ``cell``, and leave out what is not of the grid.

    Rows are in the order of strategy, fold, seed and grid.
    """
    fits = cell_fits.merge(cells_of(grid)[["cell", *CELL]], on=CELL)
    return fits.sort_values(["strategy", "fold", "seed", "cell"])


def people_in_test(predictions: pd.DataFrame, participants: pd.DataFrame) -> pd.DataFrame:
    """Keep the predictions of test people whose target is known, and add their ``family``.

    Parameters
    ----------
    participants : pandas.DataFrame
        ``eid, instance, family``.

    Raises
    ------
    InputError
        If predictions belong to nobody among the participants.
    """
    test = predictions.loc[(predictions["split"] == "test") & predictions["y_true"].notna()]
    families = participants[["eid", "instance", "family"]]
    test = test.merge(families, on=["eid", "instance"], how="left", validate="many_to_one")
    if test["family"].isna().any():
        raise InputError(
            f"{int(test['family'].isna().sum())} test predictions belong to nobody among the "
            "participants: the tables are of different runs. Run data_engineering and modelling "
            "again on one data root."
        )
    return test


def side_by_side(
    fits: pd.DataFrame, tested: pd.DataFrame, grid: Grid, folds: Sequence[int] | None = None
) -> tuple[dict[str, TargetPredictions], pd.DataFrame]:
    """Average the seeds of each cell that have scores in every fold.

    Parameters
    ----------
    fits : pandas.DataFrame
        Of one strategy, `in_grid`.
    tested : pandas.DataFrame
        From `people_in_test`: of this strategy at least.
    folds : sequence of int, optional
        All that cells are to have; those of the fits where it is not given.

    Returns
    -------
    targets : dict of str to TargetPredictions
        As of `gather_targets`.
    status : pandas.DataFrame
        ``target, inputs, status``, in the order of the grid: ``ok``, or in how many folds no seed
        has scores, and why.

    Raises
    ------
    InputError
        If seeds have different test people, or cells of a target differ in what is true of a
        person.
    """
    folds = folds or sorted(fits["fold"].unique().tolist())
    kinds: dict[str, str] = {key: target.kind for key, target in grid.targets.items()}
    by_seed = ["cell", *CELL, "seed"]
    each = fits.assign(status=_status(fits, tested, kinds))
    of_seed = each.pivot_table("status", by_seed, "fold", aggfunc="first", observed=True)
    of_seed = of_seed.reindex(columns=list(folds)).fillna("not fitted")
    lacking = (of_seed != "ok").sum(axis=1).rename("lacking")
    fewest = lacking.groupby(level=["cell", *CELL]).idxmin()
    status = fewest.index.to_frame(index=False)[CELL]
    status["status"] = [_in_words(of_seed.loc[at].tolist()) for at in fewest]
    kept = fits.merge(lacking.reset_index(), on=by_seed).query("lacking == 0")
    return {table.target: table for table in _tables(kept, tested, kinds, folds)}, status


def _status(fits: pd.DataFrame, tested: pd.DataFrame, kinds: dict[str, str]) -> NDArray:
    """Say of each fit ``ok``, or why it has no scores on its test people."""
    marks = {"n": 1, "finite": np.isfinite(tested["y_pred"]), "yes": tested["y_true"] > 0}
    counts = tested.assign(**marks).groupby(FIT, observed=True)[list(marks)].sum()
    n, finite, yes = counts.reindex(pd.MultiIndex.from_frame(fits[FIT])).to_numpy(float).T
    binary = fits["target"].map(kinds) == BINARY.name
    lacks = {
        "no test predictions": np.isnan(n),
        "fewer than two people in test": n < 2,
        f"{BINARY.constant} in test": binary & ((yes == 0) | (yes == n)),
        "predictions are not finite": finite < n,
    }
    why = np.select(list(lacks.values()), list(lacks), "ok")
    return np.where(fits["status"] == "ok", why, fits["status"])


def _in_words(status: Sequence[str]) -> str:
    """Sum up a seed's status in all folds."""
    reasons = [why for why in status if why != "ok"]
    where = f"{len(reasons)} of {len(status)} folds: " if len(status) > 1 else ""
    return where + reasons[0] if reasons else "ok"


def _tables(
    kept: pd.DataFrame, tested: pd.DataFrame, kinds: dict[str, str], folds: Sequence[int]
) -> Iterator[TargetPredictions]:
    mine = tested.merge(kept[[*FIT, "cell"]], on=FIT)
    members = mine.groupby(["cell", *ROW]).size()
    seeds = kept.groupby("cell")["seed"].nunique()
    if (members != seeds.loc[members.index.get_level_values("cell")].to_numpy()).any():
        raise InputError(
            "The seeds of a cell have different test people, so their predictions cannot be "
            f"averaged: {DIFFERENT_RUNS}"
        )
    kept = kept.sort_values("cell")
    for key, fits in kept.groupby("target", sort=False, observed=True):
        target, people = str(key), mine[mine["target"] == key]
        kind = kinds[target]
        about = people.groupby(ROW)[["y_true", "family"]]
        y, family = about.min().to_numpy(float).T
        differ = int((about.max()["y_true"] != y).sum())
        if differ:
            raise InputError(
                f"Cells of target {target!r} differ in the true value of {differ} test people: "
                f"{DIFFERENT_RUNS}"
            )
        predicted = people.pivot_table("y_pred", ROW, "cell")
        rows = predicted.index.to_frame().to_numpy(np.int64)
        # Cuts differ between seeds only where chosen so.
        cuts = fits.pivot_table(KINDS[kind].cut, "fold", "cell", aggfunc="median")
        yield TargetPredictions(
            target,
            kind,
            inputs=tuple(fits["inputs"].unique()),
            visit=rows[:, 1:],
            family=family.astype(np.int64),
            fold=rows[:, 0],
            y=y,
            predicted=predicted.to_numpy(float),
            threshold=cuts.to_numpy(float),
            folds=tuple(folds),
        )
