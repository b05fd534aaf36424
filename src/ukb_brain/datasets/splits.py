"""The splits: written once, checked whenever they are read."""

from __future__ import annotations

import logging

import pandas as pd

from ukb_brain.datasets.atomic import atomic_path
from ukb_brain.datasets.parquet import AtomicParquet
from ukb_brain.errors import InputError
from ukb_brain.tables.splits import check_disjoint

logger = logging.getLogger(__name__)


class SplitsDataset(AtomicParquet):
    """The table ``eid, fold, part``, which is made once.

    Making it again for the same people must give the same table. Where people only left (they
    withdrew), those who stay keep their parts and the others' rows are erased, so that nobody
    moves from test to training. Anything else is refused: models were trained on what is there.
    """

    def load(self) -> pd.DataFrame:
        """Read the splits and check that nobody is in two parts of a fold.

        Returns
        -------
        DataFrame
            ``eid, fold, part``.

        Raises
        ------
        InputError
            If somebody is in two parts of a fold.
        """
        splits = pd.read_parquet(self._get_load_path(), **self._load_args)
        check_disjoint(splits)
        return splits

    def save(self, data: pd.DataFrame) -> None:
        """Write the splits, unless different ones are there.

        Parameters
        ----------
        data : DataFrame
            ``eid, fold, part``.

        Raises
        ------
        InputError
            If somebody is in two parts of a fold, or other splits are there.
        """
        check_disjoint(data)
        new = _in_order(data)
        if self._exists():
            there = _in_order(pd.read_parquet(self._get_load_path()))
            if there.equals(new):
                return
            new = self._without_leavers(there, new)
        with atomic_path(self._get_save_path()) as partial:
            new.to_parquet(partial, **self._save_args)
        self._invalidate_cache()

    def _without_leavers(self, there: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
        stay = there["eid"].isin(new["eid"])
        kept = there[stay].reset_index(drop=True)
        same_people = kept[["eid", "fold"]].equals(new[["eid", "fold"]])
        if stay.all() or not same_people:
            joined = int((~new["eid"].isin(there["eid"])).sum())
            raise InputError(
                f"Other splits are in {self._filepath}: {there['eid'].nunique()} participants "
                f"there, {new['eid'].nunique()} now, {joined} of them new. Splits are made once, "
                "because models were trained on them. To make new ones, delete that file and the "
                "folders 04_feature, 06_models and 07_model_output, and run `kedro run`."
            )
        logger.warning(
            "People who left the cohort: %s. Their rows are erased from the splits, and everybody "
            "else keeps their part.",
            there.loc[~stay, "eid"].nunique(),
        )
        return kept


def _in_order(splits: pd.DataFrame) -> pd.DataFrame:
    return splits.sort_values(["fold", "eid"], ignore_index=True)
