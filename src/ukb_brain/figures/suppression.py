"""Counts that may leave: none under the limit, and none that gives such a count away."""

from __future__ import annotations

import pandas as pd


def suppress_counts(table: pd.DataFrame, columns: list[str], below: int) -> pd.DataFrame:
    """Write counts as text, without small ones and without what would reveal them.

    A count from 1 to ``below - 1`` becomes ``<below``. As long as a table holds one, every other
    count but 0 is rounded to the nearest ``below``, so that a small count cannot be found as the
    difference of two others.

    Parameters
    ----------
    table : pandas.DataFrame
        Left as it is.
    columns : list of str
        Columns of counts that together could give a count away.
    below : int
        The smallest count that may be shown.

    Returns
    -------
    pandas.DataFrame
        With text in ``columns``.
    """
    counts = table[columns]
    rounded = ((counts > 0) & (counts < below)).any(axis=None)

    def written(count: int) -> str:
        if 0 < count < below:
            return f"<{below}"
        if rounded and count:
            return f"≈ {below * max(1, round(count / below)):,}"
        return f"{count:,}"

    return table.assign(**{name: [written(int(c)) for c in counts[name]] for name in columns})


def count_range(counts: pd.Series, below: int) -> str:
    """Write the smallest and the largest of some counts.

    Parameters
    ----------
    counts : pandas.Series of int
        Of people.
    below : int
        The smallest count that may be shown.

    Returns
    -------
    str
        Such as ``103 to 110``, or one number where they agree.
    """
    ends = pd.DataFrame({"n": [counts.min(), counts.max()]})
    low, high = suppress_counts(ends, ["n"], below)["n"]
    return low if low == high else f"{low} to {high}"
