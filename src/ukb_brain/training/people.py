"""Who is in a fold, with what is known of them: rows that every strategy shares."""

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
    site, phase : ndarray of shape (n,)
        Assessment centre, -1 where it is not known, and how often its scanner had changed.
    part : ndarray of shape (n,)
        ``train``, ``validation`` or ``test``; ``repeat`` is another visit of a test person, and
        ``set_aside`` whose scans alone are used.
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
    site: NDArray[np.int64]
    phase: NDArray[np.int64]
    part: NDArray[np.str_]
    targets: dict[str, Floats]
    blocks: dict[str, Floats]
    has: dict[str, Mask]

    @cached_property
    def train(self) -> Mask:
        """Training people."""
        return self.part == "train"

    def usable(self, cell: Cell) -> Mask:
        """People who have the target and all imaging groups of a cell, of shape (n,)."""
        return np.isfinite(self.targets[cell.target]) & self.having(cell.inputs.groups)

    def having(self, groups: tuple[str, ...]) -> Mask:
        """People who have all of some imaging groups, of shape (n,); of none everybody has all."""
        return np.all([np.ones(len(self.eid), dtype=bool), *(self.has[g] for g in groups)], axis=0)

    def keys(self, rows: Mask | NDArray[np.int64]) -> list[tuple[int, int]]:
        """Give eid and instance of the rows that are true, or named."""
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
        """Deal training families into parts, for choices made without validation people.

        Parts are 0 to ``n`` - 1; -1 is not in training.
        """
        return self.dealt(n, f"{self.fold}")

    def dealt(self, n: int, draw: str) -> NDArray[np.int64]:
        """Deal training families into so many parts by a named draw; -1 is not in training."""
        digest = [hashlib.sha256(f"{draw}:{f}".encode()).digest() for f in self.family]
        dealt = np.array([int.from_bytes(d[:8], "little") % n for d in digest], dtype=np.int64)
        return np.where(self.train, dealt, -1)


def gather_people(
    targets: pd.DataFrame,
    blocks: pd.DataFrame,
    block_scaling: pd.DataFrame,
    splits: pd.DataFrame,
    participants: pd.DataFrame,
    quality: pd.DataFrame,
    grid: Grid,
) -> dict[int, People]:
    """Line up everything that is known of the people of each fold, as earlier pipelines left it.

    Returns
    -------
    dict of int to People
        One row a person, and one for each other visit of a test person.

    Raises
    ------
    InputError
        If blocks were scaled on other people than a fold's training people, or tables are of
        different runs.
    """
    keys = ["eid", "instance"]
    chosen = pd.MultiIndex.from_frame(one_visit(participants)[keys])
    # Phases are a column only where there are any.
    known = participants.assign(phase=participants.get("phase", 0)).sort_values(keys)
    visits = known[[*keys, "family", "site", "phase"]]
    visits["again"] = ~pd.MultiIndex.from_frame(visits[keys]).isin(chosen)
    usable = quality.assign(ok=quality["status"] == "ok")
    usable = usable.pivot_table(index=keys, columns="modality", values="ok", aggfunc="first")
    found = {}
    for fold, expected in sorted(training_fingerprints(splits).items()):
        for given in block_scaling.loc[block_scaling["fold"] == fold, "training_people"].unique():
            check_fitted_on(str(given), expected, "feature.block_scaling")
        mine = splits[splits["fold"] == fold]
        rows = visits.merge(mine[["eid", "part"]], on="eid")
        rows = rows[~rows["again"] | (rows["part"] == "test")]
        rows["part"] = rows["part"].mask(rows["again"], REPEAT)
        cut = fit_cut(targets, participants, mine, grid)(targets, fold)
        rows = rows.merge(cut, on=keys, validate="one_to_one")
        people = pd.MultiIndex.from_frame(rows[keys])
        known = blocks.loc[blocks["fold"] == fold].drop(columns="fold").set_index(keys)
        absent = int((~people.isin(known.index)).sum())
        if absent:
            raise InputError(
                f"feature.blocks lacks {absent} of {len(people)} people: it is of another run. Run "
                "`kedro run`."
            )
        known = known.loc[people]
        ok = usable.reindex(index=people, columns=list(grid.modalities)).eq(True)
        found[fold] = People(
            fold=fold,
            eid=rows["eid"].to_numpy(np.int64),
            instance=rows["instance"].to_numpy(np.int64),
            family=rows["family"].to_numpy(np.int64),
            site=rows["site"].to_numpy(np.int64),
            phase=rows["phase"].to_numpy(np.int64),
            part=rows["part"].to_numpy(str),
            targets={t: rows[t].to_numpy(np.float64) for t in grid.targets},
            blocks={d: block_of(known, grid.targets_of(d)) for d in grid.domains},
            has={g: ok[list(of)].all(axis=1).to_numpy(bool) for g, of in grid.imaging.items()},
        )
    return found


def block_of(known: pd.DataFrame, traits: tuple[str, ...]) -> Floats:
    """Take traits of a domain, then their masks, from a table of blocks."""
    masks = [trait + MISSING_SUFFIX for trait in traits]
    return known[[*traits, *masks]].to_numpy(np.float64)
