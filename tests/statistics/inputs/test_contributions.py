from dataclasses import dataclass, replace
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as drawn_by
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from reporting_cases import study_grid

from ukb_brain.statistics.inputs.contributions import (
    coalitions,
    contribution_table,
    interactions,
    players_of,
    shapley,
)
from ukb_brain.tables import reported

GRID = study_grid()
IMAGING = ("structural", "diffusion", "functional")
WORTH = st.floats(-1, 1, width=32).map(float)
GAMES = st.integers(1, 5).flatmap(lambda k: arrays(float, 2**k, elements=WORTH))


def cells_of(target):
    return [cell.inputs for cell in GRID.cells if cell.target == target]


@dataclass(frozen=True, eq=False)
class Scores:
    """Skill of cells, shape (1 + draws, cells)."""

    inputs: tuple[str, ...]
    skill: np.ndarray


def scores_of(skill, drawn, inputs):
    return Scores(tuple(one.name for one in inputs), np.vstack([skill, drawn]))


def frame_of(given):
    """Arrange scores by target as `common_scores` does."""
    cells = [(key, name) for key, one in given.items() for name in one.inputs]
    index = pd.MultiIndex.from_frame(pd.DataFrame(cells, columns=["target", "inputs"]))
    return pd.DataFrame([row for one in given.values() for row in one.skill.T], index)


def invented(target, draws=400, seed=0, missing=0):
    """Skill of a target's cells about 0.3, and draws about it."""
    inputs = cells_of(target)
    rng = np.random.default_rng(seed)
    skill = rng.normal(0.3, 0.1, len(inputs))
    skill[:missing] = np.nan
    return scores_of(skill, skill + rng.normal(0, 0.02, (draws, len(inputs))), inputs)


def in_order(given, at):
    """Cells of ``at`` only, in that order."""
    names = tuple(np.array(given.inputs)[at])
    return replace(given, inputs=names, skill=given.skill[:, at])


def table_of(given, target, level=0.95):
    table = contribution_table(frame_of({target: given}), GRID, level)
    return table[table["target"] == target].reset_index(drop=True)


def domain_table(given, domain):
    table = contribution_table(frame_of(given), GRID)
    mine = (table["domain"] == domain) & (table["target"] == "")
    return table[mine].reset_index(drop=True)


def players_in(inputs, players):
    return np.array([[p in (*i.groups, *i.blocks) for p in players] for i in inputs], dtype=float)


def of(table, measure):
    return table.loc[table["measure"] == measure]


def by_orders(worth, players):
    """Mean worth of each player to those before it, over all orders; worth takes a frozenset."""
    total = dict.fromkeys(players, 0.0)
    orders = list(permutations(players))
    for order in orders:
        for at, player in enumerate(order):
            total[player] += worth[frozenset(order[: at + 1])] - worth[frozenset(order[:at])]
    return [total[player] / len(orders) for player in players]


def worth_of(values, inputs, base):
    worth = {
        frozenset((*i.groups, *i.blocks)) - {base}: v for i, v in zip(inputs, values, strict=True)
    }
    return {frozenset(): 0.0} | worth


def test_players_are_what_a_targets_cells_vary_in():
    assert players_of("age", GRID) == IMAGING
    assert players_of("ldl", GRID) == (*IMAGING, "disease", "psychology")
    for target in GRID.targets:
        used = [{*c.inputs.groups, *c.inputs.blocks} for c in GRID.cells if c.target == target]
        varying = set.union(*used) - set.intersection(*used)
        assert set(players_of(target, GRID)) == varying


@pytest.mark.parametrize(("target", "k"), [("age", 3), ("ldl", 5), ("worry", 5), ("asthma", 5)])
def test_cells_are_all_coalitions_once(target, k):
    inputs, names = {one.name: one for one in cells_of(target)}, coalitions(target, GRID)
    assert len({*names}) == len(names) == 2**k == len(inputs) + (target == "age")
    for coalition, name in enumerate(names):
        there = {p for at, p in enumerate(players_of(target, GRID)) if coalition >> at & 1}
        if there or target != "age":
            one = inputs[name]
            assert there == {*one.groups, *one.blocks} - {"constitutional"}


@pytest.mark.parametrize("target", ["age", "sex", "ldl", "worry", "asthma"])
def test_intervals_are_those_of_each_draws_own_shares(target):
    given = invented(target, draws=60)
    table = table_of(given, target, level=0.8)
    assert table.columns.tolist() == [*reported.contributions.columns]
    players, shares = players_of(target, GRID), of(table, "contribution")
    assert shares["part"].tolist() == list(players)

    def share(values):
        return by_orders(worth_of(values, cells_of(target), "constitutional"), players)

    np.testing.assert_allclose(shares["estimate"], share(given.skill[0]), atol=1e-12)
    bounds = np.quantile([share(values) for values in given.skill[1:]], [0.1, 0.9], axis=0)
    np.testing.assert_allclose(shares[["low", "high"]].T, bounds, atol=1e-12)
    worth = worth_of(given.skill[0], cells_of(target), "constitutional")
    baseline, fullest = of(table, "baseline").iloc[0], of(table, "fullest").iloc[0]
    assert baseline["estimate"] == worth[frozenset()]
    assert fullest["estimate"] == worth[frozenset(players)]
    assert baseline["estimate"] + shares["estimate"].sum() == pytest.approx(fullest["estimate"])
    if target in ("age", "sex"):
        # Known rather than measured, so that it has no interval.
        assert baseline["estimate"] == 0
        assert baseline[["low", "high"]].isna().all()
    assert (table["n_targets"] == 1).all()
    assert (table["note"] == "").all()


def test_the_order_of_cells_does_not_matter():
    given = invented("hb")
    order = np.random.default_rng(1).permutation(32)
    shuffled = in_order(given, order)
    pd.testing.assert_frame_equal(table_of(given, "hb"), table_of(shuffled, "hb"))


def test_synergy_redundancy_and_unknown_are_told_apart():
    inputs = cells_of("age")
    one, two, three = players_in(inputs, IMAGING).T
    skill = 0.3 * one + 0.3 * two + 0.2 * three - 0.2 * one * two + 0.2 * one * three
    noise = np.random.default_rng(2).normal(0, 0.01, (500, 7))
    found = of(table_of(scores_of(skill, skill + noise, inputs), "age"), "interaction")
    assert found[["part", "other"]].to_numpy().tolist() == [
        ["structural", "diffusion"], ["structural", "functional"], ["diffusion", "functional"],
    ]  # fmt: skip
    np.testing.assert_allclose(found["estimate"], [-0.2, 0.2, 0], atol=1e-12)
    assert found["verdict"].tolist() == ["redundancy", "synergy", "unknown"]


def test_intervals_of_interactions_cover():
    inputs = cells_of("age")
    rng = np.random.default_rng(4)
    chol = np.linalg.cholesky(0.02**2 * (0.7 * np.ones((7, 7)) + 0.3 * np.eye(7)))
    truth = 0.3 + 0.05 * players_in(inputs, IMAGING).sum(axis=1)
    exact = table_of(scores_of(truth, truth[None].repeat(2, 0), inputs), "age")
    covered = np.zeros(len(exact))
    for _ in range(200):
        skill = truth + chol @ rng.normal(size=7)
        drawn = skill + rng.normal(size=(400, 7)) @ chol.T
        table = table_of(scores_of(skill, drawn, inputs), "age")
        covered += (table["low"] <= exact["estimate"]) & (exact["estimate"] <= table["high"])
    # The baseline of the base domain is known, without an interval; binomial bounds of 200 at .95.
    assert covered[0] == 0
    assert ((covered[1:] >= 180) & (covered[1:] <= 199)).all()


def test_a_missing_cell_leaves_the_table_empty_and_says_so():
    given = invented("ldl", missing=3)
    for table in (
        table_of(given, "ldl"),
        table_of(in_order(given, np.arange(3, 32)), "ldl"),
    ):
        assert (table["note"] == "3 of 32 cells have no skill").all()
        assert table[["estimate", "low", "high"]].isna().all(axis=None)
        assert set(of(table, "interaction")["verdict"]) == {"unknown"}
        assert (table["n_targets"] == 0).all()


def test_draws_without_a_score_are_left_out():
    given = invented("ldl", draws=100)
    gaps = given.skill.copy()
    gaps[1:41, 5] = np.nan
    kept = replace(given, skill=np.delete(given.skill, np.arange(1, 41), axis=0))
    table = table_of(replace(given, skill=gaps), "ldl")
    mine = table["measure"].isin(["contribution", "interaction"])
    pd.testing.assert_frame_equal(table[mine], table_of(kept, "ldl")[mine])
    gaps[1:61, 5] = np.nan
    table = table_of(replace(given, skill=gaps), "ldl")
    assert table.loc[mine, "estimate"].notna().all()
    assert table.loc[mine, ["low", "high"]].isna().all(axis=None)


def test_a_domain_is_the_mean_of_its_targets():
    given = {key: invented(key, seed=at) for at, key in enumerate(GRID.targets)}
    for domain in GRID.domains:
        mine = domain_table(given, domain)
        keys = GRID.targets_of(domain)
        tables = [table_of(given[key], key) for key in keys]
        expected = np.mean([table["estimate"] for table in tables], axis=0)
        np.testing.assert_allclose(mine["estimate"], expected, atol=1e-12)
        assert mine[["measure", "part", "other"]].equals(tables[0][["measure", "part", "other"]])
        assert (mine["n_targets"] == len(keys)).all()
        assert (mine["target"] == "").all()
        mean_draws = np.mean([given[key].skill[1:, -1] for key in keys], axis=0)
        fullest = of(mine, "fullest").iloc[0]
        np.testing.assert_allclose(
            [fullest["low"], fullest["high"]], np.quantile(mean_draws, [0.025, 0.975])
        )
        # Noise of one target is that of another no more: the mean is known better.
        alone = np.mean([table["high"] - table["low"] for table in tables], axis=0)
        assert ((mine["high"] - mine["low"])[1:] < alone[1:]).all()


def test_a_domain_leaves_out_targets_that_lack_a_cell():
    given = {key: invented(key, seed=at) for at, key in enumerate(GRID.targets_of("serology"))}
    given["hb"] = invented("hb", missing=1)
    table = domain_table(given, "serology")
    assert (table["note"] == "3 of 4 targets have all cells").all()
    expected = np.mean([table_of(given[k], k)["estimate"] for k in ("hdl", "hba1c", "ldl")], axis=0)
    np.testing.assert_allclose(table["estimate"], expected, atol=1e-12)
    nothing = domain_table({}, "serology")
    assert (nothing["note"] == "0 of 4 targets have all cells").all()
    assert nothing[["estimate", "low", "high"]].isna().all(axis=None)


def test_a_cell_that_is_there_twice_is_an_error():
    given = invented("ldl")
    with pytest.raises(ValueError, match="duplicate"):
        table_of(in_order(given, [*range(31), 0]), "ldl")


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


@drawn_by(GAMES)
def test_shares_are_mean_marginal_worth_over_all_orders(game):
    expected = over_all_orders(worth_in(game), range(size_of(game)))
    np.testing.assert_allclose(shapley(game), list(expected.values()), atol=1e-12)


@drawn_by(GAMES)
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


@drawn_by(GAMES)
def test_shares_add_up_to_all_less_none(game):
    assert shapley(game).sum() == pytest.approx(game[-1] - game[0], abs=1e-12)


@drawn_by(GAMES, st.randoms(use_true_random=False))
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


@drawn_by(GAMES, WORTH)
def test_a_player_who_adds_a_constant_gets_it_and_interacts_with_nobody(game, constant):
    k = size_of(game)
    larger = np.concatenate([game, game + constant])
    np.testing.assert_allclose(shapley(larger), [*shapley(game), constant], atol=1e-12)
    pairs = list(combinations(range(k + 1), 2))
    of_new = [at for at, pair in enumerate(pairs) if k in pair]
    np.testing.assert_allclose(interactions(larger)[of_new], 0, atol=1e-12)


@drawn_by(GAMES, WORTH, st.integers(0, 2**32 - 1))
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
