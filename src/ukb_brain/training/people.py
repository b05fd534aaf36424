"""Who is in a fold, with what is known of them: rows that every strategy shares."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ukb_brain.errors import InputError
from ukb_brain.grid import Cell, Grid
from ukb_brain.tables.blocks import MISSING_SUFFIX
from ukb_brain.tables.splits import check_fitted_on, fingerprint, training_fingerprints
from ukb_brain.tables.thresholds import fit_cut
from ukb_brain.tables.visits import one_visit

# Other visits of test people: nothing is learned from them or judged by them.
REPEAT = "repeat"
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class People:
    """People of one fold at their chosen imaging visit, and test people also at others.

    Sorted by eid and instance.

    Attributes
    ----------
    fold : int
        Of the splits.
    eid, instance, family : ndarray of shape (n,)
        Keys and family.
    part : ndarray of shape (n,)
        ``train``, ``validation`` or ``test``; ``repeat`` is another visit of a test person.
    targets : dict of str to ndarray of shape (n,)
        In their own units, cut as in this fold where a cut-off is fitted; NaN is unknown.
    blocks : dict of str to ndarray of shape (n, 2 * traits)
        By domain: imputed and scaled traits, then their masks.
    has : dict of str to ndarray of shape (n,)
        By imaging group: whether all its modalities can be used.
    """

    fold: int
    eid: NDArray[np.int64]
    instance: NDArray[np.int64]
    family: NDArray[np.int64]
    part: NDArray[np.str_]
    targets: dict[str, Floats]
    blocks: dict[str, Floats]
    has: dict[str, Mask]

    @cached_property
    def train(self) -> Mask:
        """Training people."""
        return self.part == "train"

    def usable(self, cell: Cell) -> Mask:
        """People who have everything that a cell needs.

        Parameters
        ----------
        cell : Cell
            Of the grid.

        Returns
        -------
        ndarray of shape (n,)
            True where the target and all imaging groups are known.
        """
        return np.isfinite(self.targets[cell.target]) & self.having(cell.inputs.groups)

    def having(self, groups: tuple[str, ...]) -> Mask:
        """People who have all of some imaging groups.

        Parameters
        ----------
        groups : tuple of str
            Imaging groups; of none everybody has all.

        Returns
        -------
        ndarray of shape (n,)
        """
        return np.all([np.ones(len(self.eid), dtype=bool), *(self.has[g] for g in groups)], axis=0)

    def keys(self, rows: Mask) -> list[tuple[int, int]]:
        """Keys of some people's records.

        Parameters
        ----------
        rows : ndarray of shape (n,)
            True for those wanted.

        Returns
        -------
        list of (int, int)
            eid and instance.
        """
        return [(int(e), int(i)) for e, i in zip(self.eid[rows], self.instance[rows], strict=True)]

    def record_of(self, group: str) -> NDArray[np.int64]:
        """Keys of everybody who has an imaging group, sorted, of shape (n_has, 2)."""
        has = self.has[group]
        return np.column_stack([self.eid[has], self.instance[has]])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the training people, kept in every model's card and checked before it is used."""
        return fingerprint(self.eid[self.train])

    def cross_fits(self, n: int) -> NDArray[np.int64]:
        """Deal training families into so many parts, for choices made without validation people.

        Parameters
        ----------
        n : int
            Number of parts.

        Returns
        -------
        ndarray of shape (n_people,)
            0 to n - 1 by family; -1 for people who are not in training.
        """
        digest = [hashlib.sha256(f"{self.fold}:{f}".encode()).digest() for f in self.family]
        dealt = np.array([int.from_bytes(d[:8], "little") % n for d in digest], dtype=np.int64)
        return np.where(self.train, dealt, -1)


def gather(
    targets: pd.DataFrame,
    blocks: pd.DataFrame,
    block_scaling: pd.DataFrame,
    splits: pd.DataFrame,
    participants: pd.DataFrame,
    quality: pd.DataFrame,
    grid: Grid,
    fold: int,
) -> People:
    """Line up everything that is known of a fold's people.

    Parameters
    ----------
    targets, blocks, block_scaling, splits, participants, quality : pandas.DataFrame
        Of the earlier pipelines.
    grid : Grid
        Domains and imaging groups.
    fold : int
        Of the splits.

    Returns
    -------
    People
        One row a person, and one for each other visit of a test person.

    Raises
    ------
    InputError
        If blocks were scaled on other people than the fold's training people, or tables are of
        different runs.
    """
    expected = training_fingerprints(splits)[fold]
    for found in block_scaling.loc[block_scaling["fold"] == fold, "training_people"].unique():
        check_fitted_on(str(found), expected, "feature.block_scaling")
    keys = ["eid", "instance"]
    chosen = pd.MultiIndex.from_frame(one_visit(participants)[keys])
    visits = participants.sort_values(keys)[[*keys, "family"]]
    again = ~pd.MultiIndex.from_frame(visits[keys]).isin(chosen)
    rows = visits.assign(again=again).merge(
        splits.loc[splits["fold"] == fold, ["eid", "part"]], on="eid"
    )
    rows = rows[~rows["again"] | (rows["part"] == "test")]
    rows["part"] = rows["part"].mask(rows["again"], REPEAT)
    mine = splits[splits["fold"] == fold]
    cut = fit_cut(targets, participants, mine, grid)(targets, fold)
    rows = rows.merge(cut, on=keys, validate="one_to_one")
    known = blocks.loc[blocks["fold"] == fold].drop(columns="fold").set_index(keys)
    known = lined_up(known, pd.MultiIndex.from_frame(rows[keys]), "feature.blocks")
    usable = quality.assign(ok=quality["status"] == "ok")
    usable = usable.pivot_table(index=keys, columns="modality", values="ok", aggfunc="first")
    usable = usable.reindex(pd.MultiIndex.from_frame(rows[keys])).eq(True)
    return People(
        fold=fold,
        eid=rows["eid"].to_numpy(np.int64),
        instance=rows["instance"].to_numpy(np.int64),
        family=rows["family"].to_numpy(np.int64),
        part=rows["part"].to_numpy(str),
        targets={t: rows[t].to_numpy(np.float64) for t in grid.targets},
        blocks={d: _block(known, grid.targets_of(d)) for d in grid.domains},
        has={
            group: np.asarray(
                usable.reindex(columns=list(modalities), fill_value=False)
                .to_numpy(bool)
                .all(axis=1)
            )
            for group, modalities in grid.imaging.items()
        },
    )


def lined_up(table: pd.DataFrame, people: pd.MultiIndex, what: str) -> pd.DataFrame:
    """Take the rows of some people, in their order.

    Parameters
    ----------
    table : pandas.DataFrame
        Indexed by eid and instance.
    people : pandas.MultiIndex
        Those wanted.
    what : str
        Name of the table, for the message.

    Returns
    -------
    pandas.DataFrame
        One row a person.

    Raises
    ------
    InputError
        If somebody is not in the table.
    """
    absent = int((~people.isin(table.index)).sum())
    if absent:
        raise InputError(
            f"{what} lacks {absent} of {len(people)} people: it is of another run. Run `kedro run`."
        )
    return table.loc[people]


def _block(known: pd.DataFrame, traits: tuple[str, ...]) -> Floats:
    masks = [trait + MISSING_SUFFIX for trait in traits]
    return known[[*traits, *masks]].to_numpy(np.float64)
