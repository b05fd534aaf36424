"""How like the mean of training people each scan is: read a few at a time, whatever the cohort."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ukb_brain.imaging.intensity import Values
from ukb_brain.imaging.store import Key, RecordStore

# Bytes of float32 that are read at a time.
AT_A_TIME = 1 << 26
# Tukey's outer fence: so many ranges of the middle half below its lower end, few are by chance.
FENCE = 3.0


# What is averaged in place of some people's records, all of one shape.
Change = Callable[[NDArray[np.floating], Sequence[Key]], NDArray[np.floating]]


def _batches(
    store: RecordStore, modality: str, keys: Sequence[Key]
) -> Iterator[tuple[Sequence[Key], NDArray[np.floating]]]:
    size = 4 * int(np.prod(store.kind(modality, keys[0])[1]))
    many = max(1, AT_A_TIME // size)
    for start in range(0, len(keys), many):
        some = keys[start : start + many]
        yield some, store.read_many(modality, some)


def mean_record(
    store: RecordStore,
    modality: str,
    keys: Sequence[Key],
    least: int = 1,
    change: Change | None = None,
) -> Values:
    """Average a modality's records of some visits, at least one, or what a change makes of them.

    NaN where fewer than ``least`` have a number.
    """
    total = there = np.zeros(())
    for some, values in _batches(store, modality, keys):
        changed = values if change is None else change(values, some)
        # One by one: a whole batch in double precision would take four times its memory.
        for one in changed:
            known = np.isfinite(one)
            total = total + np.where(known, one, 0)
            there = there + known
    mean = np.full(np.shape(total), np.nan)
    np.divide(total, there, out=mean, where=there >= least)
    return mean.astype(np.float32)


def correlations(
    store: RecordStore,
    modality: str,
    keys: Sequence[Key],
    mean: Values,
    where: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Correlate each visit's record with a mean.

    Parameters
    ----------
    store, modality, keys
        At least one record.
    mean : ndarray
        Of the shape of a record.
    where : ndarray of bool, optional
        Of that shape too: what is compared, such as the brain.

    Returns
    -------
    ndarray of shape (n,)
        Over the numbers that a record has; NaN where one of both does not vary.
    """
    chosen = np.isfinite(mean) if where is None else np.isfinite(mean) & where
    expected = mean[chosen].astype(np.float32)
    found = []
    for _, values in _batches(store, modality, keys):
        for one in values:
            mine = one[chosen].astype(np.float32)
            known = np.isfinite(mine)
            found.append(_correlation(mine[known], expected[known]))
    return np.array(found)


def _correlation(one: Values, other: Values) -> float:
    if len(one) < 2:
        return np.nan
    one, other = one - one.mean(), other - other.mean()
    spread = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / spread if spread else np.nan


def far_below(values: NDArray[np.float64], of_training: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which values lie below the outer fence of training people's; none if they are few."""
    known = of_training[np.isfinite(of_training)]
    if len(known) < 4:
        return np.zeros(len(values), dtype=bool)
    low, high = np.quantile(known, (0.25, 0.75))
    return values < low - FENCE * (high - low)
