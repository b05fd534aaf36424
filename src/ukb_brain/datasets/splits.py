"""The splits: written once, checked whenever they are read."""

import hashlib
import logging

import pandas as pd

from ukb_brain.atomic import atomic_path
from ukb_brain.datasets.parquet import AtomicParquet
from ukb_brain.errors import InputError
from ukb_brain.tables.splits import COLUMNS, PEOPLE_LEFT, check_disjoint

logger = logging.getLogger(__name__)

# Kept with the table: the hash of the splits that its people would be given if made anew.
MADE_ANEW = "made_anew"


class SplitsDataset(AtomicParquet):
    """The table ``eid, fold, part``, which is made once.

    Making it again for the same people must give the same table. Where people only left (they
    withdrew), those who stay keep their parts in every fold and the others' rows are erased, so
    that nobody moves from test to training; the hash of what those who stay would be given is
    kept, so that the next run knows that nothing changed since. Anything else is refused: models
    were trained on what is there.
    """

    def load(self) -> pd.DataFrame:
        """Read the splits and check them; see `ukb_brain.tables.splits.check_disjoint`."""
        splits = pd.read_parquet(self._get_load_path(), **self._load_args)
        check_disjoint(splits)
        splits.attrs.clear()
        return splits

    def save(self, data: pd.DataFrame) -> None:
        """Write the splits once they are checked.

        Raises
        ------
        InputError
            If somebody is in two parts of a fold or tested in two folds, or other splits are
            there.
        """
        check_disjoint(data)
        new = _in_order(data)
        if self._exists():
            there = _in_order(pd.read_parquet(self._get_load_path()))
            left = there.attrs.pop(PEOPLE_LEFT, False)
            same = there.equals(new)
            if not left and (same or there.attrs.get(MADE_ANEW) == _hash(new)):
                return
            new = new if same else self._without_leavers(there, new, left)
        with atomic_path(self._get_save_path()) as partial:
            new.to_parquet(partial, **self._save_args)
        self._invalidate_cache()

    def _without_leavers(self, there: pd.DataFrame, new: pd.DataFrame, left: bool) -> pd.DataFrame:
        """Keep parts, where people left now or were purged, and nothing else changed."""
        stay = there["eid"].isin(new["eid"])
        kept = there[stay].reset_index(drop=True)
        # Not row by row: where sites are left out, a leaver's relatives may gain a part.
        same = all(set(kept[key]) == set(new[key]) for key in ("eid", "fold"))
        if (stay.all() and not left) or not same:
            joined = int((~new["eid"].drop_duplicates().isin(there["eid"])).sum())
            raise InputError(
                f"Other splits are in {self._filepath}: {there['eid'].nunique()} participants in "
                f"{there['fold'].nunique()} folds there, {new['eid'].nunique()} in "
                f"{new['fold'].nunique()} now, {joined} of them new. Splits are made once, "
                "because models were trained on them. To make new ones, delete that file and the "
                "folders 04_feature, 06_models and 07_model_output, and run `kedro run`."
            )
        gone = there.loc[~stay, "eid"].nunique()
        if gone:
            words = (
                "People who left the cohort: %s. Their rows are erased from the splits, and "
                "everybody else keeps their part."
            )
            logger.warning(words, gone)
        kept.attrs[MADE_ANEW] = _hash(new)
        return kept


def _in_order(splits: pd.DataFrame) -> pd.DataFrame:
    return splits.sort_values(["fold", "eid"], ignore_index=True)


def _hash(splits: pd.DataFrame) -> str:
    text = splits[COLUMNS].to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()
