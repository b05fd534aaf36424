from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ukb_brain.statistics.inputs.shapley import interactions, shapley

WORTH = st.floats(-1, 1, width=32).map(float)
GAMES = st.integers(1, 5).flatmap(lambda k: arrays(float, 2**k, elements=WORTH))


def size_of(game):
    return int(np.log2(len(game)))


def over_all_orders(worth, players):
    """Shapley's definition: mean worth of a player to those before it; worth takes a frozenset."""
    total = dict.fromkeys(players, 0.0)
    orders = list(permutations(players))
    for order in orders:
        for at, player in enumerate(order):
            before = frozenset(order[:at])
            total[player] += worth(before | {player}) - worth(before)
    return {player: value / len(orders) for player, value in total.items()}


def worth_in(game):
    return lambda coalition: game[sum(1 << player for player in coalition)]


@given(GAMES)
def test_shares_are_mean_marginal_worth_over_all_orders(game):
    expected = over_all_orders(worth_in(game), range(size_of(game)))
    np.testing.assert_allclose(shapley(game), list(expected.values()), atol=1e-12)


@given(GAMES)
def test_interactions_are_what_a_merged_pair_is_worth_beyond_its_parts(game):
    worth, players = worth_in(game), range(size_of(game))
    expected = []
    for one, two in combinations(players, 2):
        others = [p for p in players if p not in (one, two)]
        merged = over_all_orders(
            lambda c, one=one, two=two: worth(
                (c - {"both"}) | ({one, two} if "both" in c else set())
            ),
            [*others, "both"],
        )["both"]
        alone = [over_all_orders(worth, [*others, player])[player] for player in (one, two)]
        expected.append(merged - sum(alone))
    np.testing.assert_allclose(interactions(game), expected, atol=1e-12)


@given(GAMES)
def test_shares_add_up_to_all_less_none(game):
    assert shapley(game).sum() == pytest.approx(game[-1] - game[0], abs=1e-12)


@given(GAMES, st.randoms(use_true_random=False))
def test_renamed_players_keep_their_shares(game, random):
    k = size_of(game)
    new = list(range(k))
    random.shuffle(new)
    moved = np.empty_like(game)
    for coalition, worth in enumerate(game):
        moved[sum(1 << new[p] for p in range(k) if coalition >> p & 1)] = worth
    np.testing.assert_allclose(shapley(moved)[new], shapley(game), atol=1e-12)
    index = {frozenset(pair): at for at, pair in enumerate(combinations(range(k), 2))}
    same = [index[frozenset((new[a], new[b]))] for a, b in combinations(range(k), 2)]
    np.testing.assert_allclose(interactions(moved)[same], interactions(game), atol=1e-12)


@given(GAMES, WORTH)
def test_a_player_who_adds_a_constant_gets_it_and_interacts_with_nobody(game, constant):
    k = size_of(game)
    larger = np.concatenate([game, game + constant])
    np.testing.assert_allclose(shapley(larger), [*shapley(game), constant], atol=1e-12)
    pairs = list(combinations(range(k + 1), 2))
    of_new = [at for at, pair in enumerate(pairs) if k in pair]
    np.testing.assert_allclose(interactions(larger)[of_new], 0, atol=1e-12)


@given(GAMES, WORTH, st.integers(0, 2**32 - 1))
def test_mixtures_of_games_share_out_mixtures(game, factor, seed):
    other = np.random.default_rng(seed).normal(size=len(game))
    for measure in (shapley, interactions):
        expected = factor * measure(game) + measure(other)
        np.testing.assert_allclose(measure(factor * game + other), expected, atol=1e-12)
        together = measure(np.stack([[game], [other]]))
        np.testing.assert_array_equal(together.shape[:2], (2, 1))
        np.testing.assert_allclose(together[:, 0], [measure(game), measure(other)], atol=1e-12)


def test_a_game_of_gloves():
    # Two left gloves and a right one; a pair is worth 1: Shapley values 1/6, 1/6, 2/3.
    pair = np.array([0, 0, 0, 0, 0, 1, 1, 1.0])
    np.testing.assert_allclose(shapley(pair), [1 / 6, 1 / 6, 2 / 3])
    # The left gloves are substitutes, and each complements the right one.
    np.testing.assert_allclose(interactions(pair), [-1 / 2, 1 / 2, 1 / 2])


def test_values_of_not_all_coalitions_are_refused():
    with pytest.raises(ValueError, match="6 coalitions"):
        shapley(np.zeros(6))
