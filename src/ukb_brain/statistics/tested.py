"""Whose predictions the tables are about, gathered once for all of them alike."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid
from ukb_brain.statistics.draws import FamilyDraws
from ukb_brain.statistics.scores.target_predictions import TargetPredictions, gather_targets
from ukb_brain.statistics.settings import Certainty, Reporting


@dataclass(frozen=True, eq=False)
class Tested:
    """What cells predict of test people, and how tables say how sure they are of it.

    Attributes
    ----------
    targets : dict of str to TargetPredictions
        By key; a target without scores is absent.
    level : float
        Coverage of intervals.
    """

    targets: Mapping[str, TargetPredictions]
    draws: FamilyDraws
    grid: Grid
    level: float = 0.95

    def in_full(self) -> Iterator[tuple[str, TargetPredictions]]:
        """Give each target's cell of the fullest inputs; a target without one is left out."""
        for key, table in self.targets.items():
            cell = table.cell(self.grid.fullest(key))
            if cell is not None:
                yield key, cell


def choose_strategy(cell_fits: pd.DataFrame, reporting: Reporting) -> str:
    """Take the strategy of the map: the first that parameters name and that was trained.

    Raises
    ------
    InputError
        If none of them was trained.
    """
    trained = sorted(cell_fits["strategy"].unique())
    found = [strategy for strategy in reporting.strategy if strategy in trained]
    if not found:
        raise InputError(
            f"reporting.strategy names {', '.join(reporting.strategy)}, and the fits are of "
            f"{', '.join(trained)}: name one of these, or add it to modelling.strategies and run "
            "`kedro run`."
        )
    return found[0]


def draw_families(
    participants: pd.DataFrame, reporting: Reporting, certainty: Certainty, seed: int
) -> tuple[pd.Series, FamilyDraws, FamilyDraws]:
    """Look up each person's family, by eid, and draw families.

    For all tables, and fewer times for relations between targets.
    """
    families = participants.drop_duplicates("eid").set_index("eid")["family"]
    of_relations = FamilyDraws(families, certainty.relation_draws, seed)
    return families, FamilyDraws(families, reporting.draws, seed), of_relations


def predictions_of(predictions: pd.DataFrame, strategy: str, split: str) -> pd.DataFrame:
    """Take some people's predictions of all cells, averaged over seeds.

    Parameters
    ----------
    split : str
        ``validation``, or ``repeat``: later visits of test people.

    Returns
    -------
    pandas.DataFrame
        ``eid, instance, target, inputs, fold, y_true, y_pred``.
    """
    mine = (predictions["split"] == split) & (predictions["strategy"] == strategy)
    keys = ["eid", "instance", "target", "inputs", "fold"]
    grouped = predictions.loc[mine].groupby(keys, observed=True, as_index=False)
    return grouped[["y_true", "y_pred"]].mean().astype({"target": object, "inputs": object})


def gather_validation_people(
    predictions: pd.DataFrame, strategy: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take what the map's cells predict of validation people, and of repeat visits."""
    given = (predictions, strategy)
    return predictions_of(*given, "validation"), predictions_of(*given, "repeat")


def gather_unrefined(
    unrefined: pd.DataFrame,
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    strategy: str,
) -> tuple[dict[str, TargetPredictions], pd.DataFrame]:
    """Take what cells predicted of test and validation people before the ladder.

    Gains are judged on it. A strategy without a ladder predicts the same before it.
    """
    has_ladder = bool((unrefined["strategy"] == strategy).any())
    known = unrefined if has_ladder else predictions
    return (
        gather_targets(known, cell_fits, participants, grid, strategy),
        predictions_of(known, strategy, "validation"),
    )
