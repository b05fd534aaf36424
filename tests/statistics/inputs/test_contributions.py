from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from reporting_cases import study_grid

from ukb_brain.statistics.inputs.contributions import (
    TargetSkill,
    coalition_matrix,
    contributions_table,
    domain_contributions,
    players_of,
)
from ukb_brain.tables import reported

GRID = study_grid()
IMAGING = ("structural", "diffusion", "functional")


def invented(target, draws=400, seed=0, missing=0):
    """Skill of a target's cells about 0.3, and draws about it."""
    inputs = [cell.inputs for cell in GRID.cells if cell.target == target]
    rng = np.random.default_rng(seed)
    skill = rng.normal(0.3, 0.1, len(inputs))
    skill[:missing] = np.nan
    return TargetSkill(skill, skill + rng.normal(0, 0.02, (draws, len(inputs))), inputs)


def table_of(given, target, level=0.95):
    return contributions_table(given.skill, given.drawn, given.inputs, target, GRID, level)


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
    inputs = [cell.inputs for cell in GRID.cells if cell.target == target]
    matrix = coalition_matrix(inputs, players_of(target, GRID))
    assert matrix.shape == (len(inputs), k)
    assert len({tuple(row) for row in matrix}) == 2**k - (target == "age")
    for row, one in zip(matrix, inputs, strict=True):
        named = [p for p, there in zip(players_of(target, GRID), row, strict=True) if there]
        assert {*named} == {*one.groups, *one.blocks} - {"constitutional"}


@pytest.mark.parametrize("target", ["age", "sex", "ldl", "worry", "asthma"])
def test_intervals_are_those_of_each_draws_own_shares(target):
    given = invented(target, draws=60)
    table = table_of(given, target, level=0.8)
    assert table.columns.tolist() == [*reported.contributions.columns]
    players, shares = players_of(target, GRID), of(table, "contribution")
    assert shares["part"].tolist() == list(players)

    def share(values):
        return by_orders(worth_of(values, given.inputs, "constitutional"), players)

    np.testing.assert_allclose(shares["estimate"], share(given.skill), atol=1e-12)
    bounds = np.quantile([share(values) for values in given.drawn], [0.1, 0.9], axis=0)
    np.testing.assert_allclose(shares[["low", "high"]].T, bounds, atol=1e-12)
    worth = worth_of(given.skill, given.inputs, "constitutional")
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
    shuffled = TargetSkill(
        given.skill[order], given.drawn[:, order], [given.inputs[at] for at in order]
    )
    pd.testing.assert_frame_equal(table_of(given, "hb"), table_of(shuffled, "hb"))


def test_synergy_redundancy_and_unknown_are_told_apart():
    inputs = [cell.inputs for cell in GRID.cells if cell.target == "age"]
    has = coalition_matrix(inputs, IMAGING).astype(float)
    one, two, three = has.T
    skill = 0.3 * one + 0.3 * two + 0.2 * three - 0.2 * one * two + 0.2 * one * three
    noise = np.random.default_rng(2).normal(0, 0.01, (500, 7))
    found = of(contributions_table(skill, skill + noise, inputs, "age", GRID), "interaction")
    assert found[["part", "other"]].to_numpy().tolist() == [
        ["structural", "diffusion"], ["structural", "functional"], ["diffusion", "functional"],
    ]  # fmt: skip
    np.testing.assert_allclose(found["estimate"], [-0.2, 0.2, 0], atol=1e-12)
    assert found["verdict"].tolist() == ["redundancy", "synergy", "unknown"]


def test_intervals_of_interactions_cover():
    inputs = [cell.inputs for cell in GRID.cells if cell.target == "age"]
    rng = np.random.default_rng(4)
    chol = np.linalg.cholesky(0.02**2 * (0.7 * np.ones((7, 7)) + 0.3 * np.eye(7)))
    truth = 0.3 + 0.05 * coalition_matrix(inputs, IMAGING).sum(axis=1)
    exact = contributions_table(truth, truth[None].repeat(2, 0), inputs, "age", GRID)
    covered = np.zeros(len(exact))
    for _ in range(200):
        skill = truth + chol @ rng.normal(size=7)
        drawn = skill + rng.normal(size=(400, 7)) @ chol.T
        table = contributions_table(skill, drawn, inputs, "age", GRID)
        covered += (table["low"] <= exact["estimate"]) & (exact["estimate"] <= table["high"])
    # The baseline of the base domain is known, without an interval; binomial bounds of 200 at .95.
    assert covered[0] == 0
    assert ((covered[1:] >= 180) & (covered[1:] <= 199)).all()


def test_a_missing_cell_leaves_the_table_empty_and_says_so():
    given = invented("ldl", missing=3)
    for table in (
        table_of(given, "ldl"),
        table_of(TargetSkill(given.skill[3:], given.drawn[:, 3:], given.inputs[3:]), "ldl"),
    ):
        assert (table["note"] == "3 of 32 cells have no skill").all()
        assert table[["estimate", "low", "high"]].isna().all(axis=None)
        assert set(of(table, "interaction")["verdict"]) == {"unknown"}
        assert (table["n_targets"] == 0).all()


def test_draws_without_a_score_are_left_out():
    given = invented("ldl", draws=100)
    gaps = given.drawn.copy()
    gaps[:40, 5] = np.nan
    kept = TargetSkill(given.skill, given.drawn[40:], given.inputs)
    table = table_of(TargetSkill(given.skill, gaps, given.inputs), "ldl")
    mine = table["measure"].isin(["contribution", "interaction"])
    pd.testing.assert_frame_equal(table[mine], table_of(kept, "ldl")[mine])
    gaps[:60, 5] = np.nan
    table = table_of(TargetSkill(given.skill, gaps, given.inputs), "ldl")
    assert table.loc[mine, "estimate"].notna().all()
    assert table.loc[mine, ["low", "high"]].isna().all(axis=None)


def test_a_domain_is_the_mean_of_its_targets():
    given = {key: invented(key, seed=at) for at, key in enumerate(GRID.targets)}
    for domain in GRID.domains:
        mine = domain_contributions(given, domain, GRID)
        keys = GRID.targets_of(domain)
        tables = [table_of(given[key], key) for key in keys]
        expected = np.mean([table["estimate"] for table in tables], axis=0)
        np.testing.assert_allclose(mine["estimate"], expected, atol=1e-12)
        assert mine[["measure", "part", "other"]].equals(tables[0][["measure", "part", "other"]])
        assert (mine["n_targets"] == len(keys)).all()
        assert (mine["target"] == "").all()
        mean_draws = np.mean([given[key].drawn[:, -1] for key in keys], axis=0)
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
    table = domain_contributions(given, "serology", GRID)
    assert (table["note"] == "3 of 4 targets have all cells").all()
    expected = np.mean([table_of(given[k], k)["estimate"] for k in ("hdl", "hba1c", "ldl")], axis=0)
    np.testing.assert_allclose(table["estimate"], expected, atol=1e-12)
    nothing = domain_contributions({}, "serology", GRID)
    assert (nothing["note"] == "0 of 4 targets have all cells").all()
    assert nothing[["estimate", "low", "high"]].isna().all(axis=None)


def test_wrong_cells_are_errors():
    given, other = invented("ldl"), invented("worry")
    with pytest.raises(ValueError, match="other than"):
        table_of(TargetSkill(given.skill, given.drawn, other.inputs), "ldl")
    with pytest.raises(ValueError, match="more than once"):
        twice = [*given.inputs[:-1], given.inputs[0]]
        table_of(TargetSkill(given.skill, given.drawn, twice), "ldl")
    with pytest.raises(ValueError, match="32 cells"):
        table_of(TargetSkill(given.skill[1:], given.drawn, given.inputs), "ldl")
    short = {"ldl": given, "hb": invented("hb", draws=7)}
    with pytest.raises(ValueError, match="share their draws"):
        domain_contributions(short, "serology", GRID)
