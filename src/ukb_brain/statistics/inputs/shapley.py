"""Shapley values and interactions of few players, exactly, for many games at once."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np

from ukb_brain.statistics.sums import Floats


def shapley(values: Floats) -> Floats:
    """Share out what all players together are worth above none of them.

    Exact, by one matrix product.

    Shapley LS (1953). A value for n-person games. Contributions to the theory of games 2:307.

    Parameters
    ----------
    values : ndarray, shape (..., 2**k)
        Worth of each coalition, in any unit: that of entry c holds player i if bit i of c is 1.

    Returns
    -------
    ndarray, shape (..., k)
        A player's mean worth to those before it, over all orders of the players. They sum to the
        last value less the first.
    """
    k = _players(values)
    matrix = np.zeros((k, 2**k))
    for player in range(k):
        for others, size in _coalitions(k, (player,)):
            weight = factorial(size) * factorial(k - size - 1) / factorial(k)
            matrix[player, others | 1 << player] += weight
            matrix[player, others] -= weight
    return np.asarray(values @ matrix.T)


def interactions(values: Floats) -> Floats:
    """Measure what pairs of players are worth together beyond what each is worth by itself.

    Exact, by one matrix product.

    Grabisch M, Roubens M (1999). An axiomatic approach to the concept of interaction among players
    in cooperative games. International Journal of Game Theory 28:547.

    Parameters
    ----------
    values : ndarray, shape (..., 2**k)
        As for `shapley`.

    Returns
    -------
    ndarray, shape (..., k·(k − 1)/2)
        The Shapley interaction index of each pair, in the order of ``itertools.combinations``:
        above 0 where two complement each other, below 0 where they tell the same.
    """
    k = _players(values)
    pairs = list(combinations(range(k), 2))
    matrix = np.zeros((len(pairs), 2**k))
    for row, (one, two) in enumerate(pairs):
        for others, size in _coalitions(k, (one, two)):
            weight = factorial(size) * factorial(k - size - 2) / factorial(k - 1)
            matrix[row, [others, others | 1 << one | 1 << two]] += weight
            matrix[row, [others | 1 << one, others | 1 << two]] -= weight
    return np.asarray(values @ matrix.T)


def _players(values: Floats) -> int:
    k = int(values.shape[-1]).bit_length() - 1
    if values.shape[-1] != 2**k:
        raise ValueError(f"{values.shape[-1]} coalitions are not those of any number of players")
    return k


def _coalitions(k: int, without: tuple[int, ...]) -> list[tuple[int, int]]:
    """Coalitions of k players that lack some, each with its size."""
    barred = sum(1 << player for player in without)
    return [(c, c.bit_count()) for c in range(2**k) if not c & barred]
