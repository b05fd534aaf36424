"""Strata of people, and permutations that keep strata, folds and families, for all targets."""

from itertools import groupby

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Ints = NDArray[np.int64]

# In the order in which they are given up where people are too few: site is held on to longest,
# since it is what a scan shows without any biology.
GIVEN_UP = ("age", "sex", "site")


def coarse_strata(
    people: pd.DataFrame, target: str, bands: int = 3, smallest: int = 10
) -> tuple[Ints, tuple[str, ...]]:
    """Stratify by site, sex and age band, leaving the target itself out.

    Parameters
    ----------
    people : pandas.DataFrame
        Columns ``site``, ``sex`` and ``age`` (years). A value that is absent is a category of its
        own.
    target : str
        Key of the target. Strata of ``sex`` are made of site and age, those of ``age`` of site
        and sex; a target cannot be tested within strata of itself.
    bands : int
        Number of age bands with equally many rows (3: thirds).
    smallest : int
        Rows of strata smaller than this are put together across age bands, those that are still
        too few across sexes, and in the end across sites. Larger strata stay as they are.

    Returns
    -------
    code : ndarray of int, shape (n,)
        The stratum of each row.
    by : tuple of str
        What strata are made of, among site, sex and age. Targets with the same ``by`` have the
        same strata.

    Notes
    -----
    A p value from permutations within strata tests association beyond the strata: it is blind to
    what a scan tells through site, sex and age band, and within a band age still varies. Rows
    that are merged are tested beyond the coarser stratum only.
    Permutations restricted to strata: Good, Permutation, Parametric and Bootstrap Tests of
    Hypotheses (2005), chapter 5. ``tests/statistics/certainty/test_exchange.py`` holds the strata
    against a table grouped by pandas.
    """
    age = people["age"].to_numpy(float)
    known = age[np.isfinite(age)]
    inner = np.quantile(known, np.arange(1, bands) / bands) if len(known) else []
    band = pd.cut(age, [-np.inf, *np.unique(inner), np.inf], labels=False)
    left = people[["site", "sex"]].assign(age=band).reset_index(drop=True)
    left = left.drop(columns=target, errors="ignore")
    by, code = tuple(map(str, left)), np.full(len(people), -1, dtype=np.int64)
    for given_up in ([], *(name for name in GIVEN_UP if name in by)):
        left = left.drop(columns=given_up)
        parts = list(left)
        # What nothing is left to give up for stays together, however few they are.
        one = left.groupby(parts, dropna=False).ngroup() if parts else pd.Series(0, left.index)
        closed = (one.groupby(one).transform("size") >= smallest) | (not parts)
        code[left.index[closed]] = code.max(initial=-1) + 1 + one[closed]
        left = left[~closed]
    return pd.factorize(code)[0], by


class Exchange:
    """Who may get whose label, and random ways to do so.

    Families are exchanged whole, and only with families of the same make-up: as many people,
    as many visits of each, and each visit in the same block. Most families are one person with one
    visit, exchanged freely within a block. A family without a counterpart stays as it is. These
    permutations form a group under which the null distribution does not change if families, given
    their make-up, are exchangeable; people within a family need not be independent. They move
    fewer people than a permutation of people would, which costs a little power and no validity.

    Parameters
    ----------
    visit : ndarray of int, shape (n, 2)
        eid and instance of each row; all distinct.
    family, block : ndarray of int, shape (n,)
        Rows get labels from rows of the same block only.

    Notes
    -----
    The rule is whole-block exchangeability of Winkler et al., NeuroImage 123:253-268 (2015),
    without their exchange within families. ``tests/statistics/certainty/test_exchange.py`` checks
    the laws of the group, and that each permutation is equally likely.
    """

    def __init__(self, visit: Ints, family: Ints, block: Ints, seed: int) -> None:
        self.seed = seed
        self.rows, self.start, self.kind = _arranged(visit, family, block)
        size = np.diff(np.r_[self.start, len(self.rows)])
        self.family = np.repeat(np.arange(len(size)), size)
        self.offset = np.arange(len(self.rows)) - self.start[self.family]
        self.by_kind = np.argsort(self.kind, kind="stable")

    def movable(self, eligible: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Find the rows, shape (n,), that some permutation gives another label; see `sources`."""
        whole = self._whole(eligible)
        several = np.bincount(self.kind[whole], minlength=1 + self.kind.max()) > 1
        found = np.empty(len(self.rows), dtype=bool)
        found[self.rows] = (whole & several[self.kind])[self.family]
        return found

    def draw(self, first: int, count: int) -> Ints:
        """Draw permutations: the row whose label each row gets, shape (count, n).

        Each depends on the seed and its number only, so that they can be drawn in pieces.
        """
        families = len(self.start)
        # One step of the generator is one number, so this is where permutation `first` begins.
        stream = np.random.PCG64(self.seed).advance(first * families)
        uniform = np.random.Generator(stream).random((count, families))
        shuffled = np.argsort(self.kind + uniform, axis=1)
        source = np.empty_like(shuffled)
        source[:, self.by_kind] = shuffled
        drawn = np.empty((count, len(self.rows)), dtype=np.int64)
        drawn[:, self.rows] = self.rows[self.start[source[:, self.family]] + self.offset]
        return drawn

    def sources(self, drawn: Ints, eligible: NDArray[np.bool_]) -> Ints:
        """Restrict permutations to the people whose label is known.

        Who would get the label of somebody without one gets what that person would get, and so on.
        The restriction of a uniform permutation to a subset in this way is uniform on the subset,
        and two targets that few people lack get nearly the same permutation, so that the
        joint distribution of their scores is kept. A family of which only some have a label
        stays as it is.

        Parameters
        ----------
        drawn : ndarray of int, shape (permutations, n)
            From `draw`.
        eligible : ndarray of bool, shape (n,)
            Rows with a label. Others do not move.
        """
        moves = np.empty(len(self.rows), dtype=bool)
        moves[self.rows] = self._whole(eligible)[self.family]
        source = np.where(moves, drawn, np.arange(len(moves)))
        permutation, row = np.nonzero(~moves[source] & moves)
        while len(row):
            reached = drawn[permutation, source[permutation, row]]
            source[permutation, row] = reached
            further = ~moves[reached]
            permutation, row = permutation[further], row[further]
        return source

    def _whole(self, eligible: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.logical_and.reduceat(eligible[self.rows], self.start)


def _arranged(visit: Ints, family: Ints, block: Ints) -> tuple[Ints, Ints, Ints]:
    """Order rows by family and, in a family, by make-up; say where families start and their kind.

    Within a family people are ordered by the blocks of their visits, not by eid, so that a family
    of the blocks (1, 2) is of the same kind as one of (2, 1).
    """
    order = np.lexsort((visit[:, 1], visit[:, 0], family))
    _, start = np.unique(family[order], return_index=True)
    eid, kinds = visit[:, 0].tolist(), dict[tuple[tuple[int, ...], ...], int]()
    kind, rows = [], []
    for mine in np.split(order, start[1:]):
        people = [list(visits) for _, visits in groupby(mine.tolist(), eid.__getitem__)]
        made_up = sorted((block[visits].tolist(), visits) for visits in people)
        key = tuple(tuple(blocks) for blocks, _ in made_up)
        kind.append(kinds.setdefault(key, len(kinds)))
        rows += [row for _, visits in made_up for row in visits]
    return np.array(rows), start.astype(np.int64), np.array(kind)
