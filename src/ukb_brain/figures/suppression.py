"""Counts that may leave: none under the limit, and none that gives such a count away."""

import re

import numpy as np
import pandas as pd


def any_small(counts: pd.Series | pd.DataFrame, below: int) -> bool:
    """Say whether there are fewer people somewhere than may be counted, but some."""
    return bool(np.any((counts > 0) & (counts < below)))


def suppress_counts(
    table: pd.DataFrame, columns: list[str], below: int, rounded: bool = False
) -> pd.DataFrame:
    """Write counts as text, without small ones and without what would reveal them.

    A count from 1 to ``below - 1`` becomes ``<below``. As long as a table holds one, or where one
    of other tables asks for it (``rounded``), every other count but 0 is rounded to the nearest
    ``below``, so that a small count cannot be found as the difference of two others: ``columns``
    are those that together could give a count away.
    """
    counts = table[columns]
    rounded = rounded or any_small(counts, below)

    def written(count: int) -> str:
        if 0 < count < below:
            return f"<{below}"
        if rounded and count:
            return f"≈ {below * max(1, round(count / below)):,}"
        return f"{count:,}"

    return table.assign(**{name: [written(int(c)) for c in counts[name]] for name in columns})


def count_range(counts: pd.Series, below: int) -> str:
    """Write the smallest and the largest count, as ``103 to 110``, or one where they agree."""
    ends = pd.DataFrame({"n": [counts.min(), counts.max()]})
    low, high = suppress_counts(ends, ["n"], below)["n"]
    return low if low == high else f"{low} to {high}"


def too_few(n: float, yes: float, binary: bool, below: int) -> bool:
    """Say whether what ``n`` people are like would show fewer than may be counted.

    In a binary target that is so too where few of them, but some, have it (``yes``) or have not.
    """
    return n < below or (binary and (0 < yes < below or 0 < n - yes < below))


def without_small_counts(text: str, below: int) -> str:
    """Hide whole numbers from 1 to ``below - 1`` in a sentence: they may count people."""
    whole = re.compile(r"(?<![\d.,−-])\d+(?![\d%])(?![.,]\d)")
    return whole.sub(lambda m: f"<{below}" if 0 < int(m[0]) < below else m[0], text)
