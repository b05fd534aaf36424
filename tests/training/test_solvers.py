"""Machines, held to fits made anew by plain ridge and logistic regressions on explicit features."""

import weakref
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from ukb_brain.training import solvers
from ukb_brain.training.kernel_ridge import FREE, groups_of
from ukb_brain.training.solvers import Exact, Projected, logistic_target, smoother

N, LEARNT, PARTS, FEATURES = 100, 80, 4, 12
PENALTIES = np.array([FREE, 0.5, 2.0])


@dataclass
class Problem:
    """Features whose products are the kernel, traits beside it, and who is known."""

    X: np.ndarray
    T: np.ndarray
    y: np.ndarray
    known: np.ndarray
    parts: np.ndarray
    learnt: np.ndarray

    @property
    def kernel(self):
        return torch.from_numpy(self.X @ self.X[self.learnt].T)

    @property
    def sets(self):
        return [torch.from_numpy(np.flatnonzero(self.parts == k)) for k in range(PARTS)]

    @property
    def exact(self):
        return Exact(self.kernel, torch.from_numpy(self.learnt))

    def projected(self, landmarks=None, number=LEARNT):
        landmarks = self.learnt if landmarks is None else landmarks
        values = torch.from_numpy(self.X @ self.X[landmarks].T)
        learnt = torch.from_numpy(self.learnt)
        return Projected(values, torch.from_numpy(landmarks), learnt, number)

    def solver(self, kind):
        return self.exact if kind == "exact" else self.projected()

    def beside(self, solver, penalty):
        columns, penalties = torch.from_numpy(self.T), torch.from_numpy(PENALTIES)
        return solver.beside(penalty, columns, penalties)

    @property
    def of_fit(self):
        """Targets and who is known, as solvers take them."""
        return torch.from_numpy(self.y)[:, None], torch.from_numpy(self.known)

    def left_out(self, ridge):
        return ridge.left_out(*self.of_fit, groups_of(self.parts))

    def design(self, penalty):
        """All columns, and the penalty of each."""
        if np.isinf(penalty):
            return self.T, PENALTIES
        own = np.full(self.X.shape[1], penalty)
        return np.hstack([self.T, self.X]), np.concatenate([PENALTIES, own])

    def ridge(self, penalty, rows):
        """Scores of everybody by a plain ridge regression on some people of the fit."""
        D, penalties = self.design(penalty)
        Z = D[self.learnt[rows]]
        return D @ np.linalg.solve(Z.T @ Z + np.diag(penalties), Z.T @ self.y[rows])

    def logistic(self, penalty, rows, times=0.25):
        """Log odds of everybody by a logistic regression, with a part of the ridge's penalties."""
        D, penalties = self.design(penalty)
        # One penalty for all but the intercept: columns with another one are scaled.
        scaled = D[:, 1:] / np.sqrt(penalties[1:])
        model = LogisticRegression(C=1 / times, tol=1e-10, max_iter=10_000)
        model.fit(scaled[self.learnt[rows]], self.y[rows])
        return model.decision_function(scaled)


def problem(seed=0, missing=9, binary=False, features=FEATURES):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, features)) / np.sqrt(features)
    T = np.column_stack([np.ones(N), rng.normal(size=(N, 2))])
    learnt = np.sort(rng.permutation(N)[:LEARNT])
    y = (4 * X[:, 0] + T[:, 1] + rng.normal(size=N))[learnt]
    y = np.where(y + 0.3 > 0, 1.0, -1.0) if binary else y + 2
    known = np.ones(LEARNT, dtype=bool)
    known[rng.permutation(LEARNT)[:missing]] = False
    parts = rng.permutation(np.arange(LEARNT) % PARTS)
    return Problem(X, T, y, known, parts, learnt)


@pytest.fixture(autouse=True)
def double_precision(monkeypatch):
    """What is held to fits made anew is in the precision of those."""
    monkeypatch.setattr(solvers, "LEAST_SINGLE", np.inf)


KINDS = pytest.mark.parametrize("kind", ["exact", "projected"])
MISSING = pytest.mark.parametrize("missing", [0, 9])
PENALTY = pytest.mark.parametrize("penalty", [0.1, 3.0, np.inf])


# ---- ridge --------------------------------------------------------------------------------------


@KINDS
@MISSING
@PENALTY
def test_who_is_left_out_is_scored_as_by_a_ridge_made_anew(kind, missing, penalty):
    one = problem(missing=missing)
    found = one.left_out(one.beside(one.solver(kind), penalty))[:, 0].numpy()
    for k in range(PARTS):
        rows, mine = one.known & (one.parts != k), one.known & (one.parts == k)
        expected = one.ridge(penalty, np.flatnonzero(rows))[one.learnt]
        np.testing.assert_allclose(found[mine], expected[mine], atol=1e-8)
    # Who is not known is left out of every fit, and scored by that of all who are.
    everybody = one.ridge(penalty, np.flatnonzero(one.known))[one.learnt]
    np.testing.assert_allclose(found[~one.known], everybody[~one.known], atol=1e-8)


@KINDS
@MISSING
@PENALTY
def test_a_fit_is_a_ridge_on_all_who_are_known(kind, missing, penalty):
    one = problem(missing=missing)
    solver = one.solver(kind)
    fitted = one.beside(solver, penalty).fit(*one.of_fit)
    expected = one.ridge(penalty, np.flatnonzero(one.known))
    np.testing.assert_allclose(fitted.scores[:, 0].numpy(), expected, atol=1e-8)
    # What is kept gives the scores of anybody from a kernel and traits.
    again = one.kernel @ fitted.weights + torch.from_numpy(one.T) @ fitted.coefficients
    np.testing.assert_allclose(again[:, 0].numpy(), expected, atol=1e-8)


@KINDS
@PENALTY
def test_a_smoother_fits_all_but_a_part_of_its_own(kind, penalty):
    one, rng = problem(), np.random.default_rng(5)
    without = [None, *one.sets[1:]]
    targets = rng.normal(size=(LEARNT, len(without)))
    smooth = smoother([one.beside(one.solver(kind), penalty)], [one.of_fit[1]], without)
    found = smooth(torch.from_numpy(targets)).numpy()
    for k in range(len(without)):
        rows = one.known if k == 0 else one.known & (one.parts != k)
        own = Problem(one.X, one.T, targets[:, k], one.known, one.parts, one.learnt)
        expected = own.ridge(penalty, np.flatnonzero(rows))[one.learnt]
        np.testing.assert_allclose(found[:, k], expected, atol=1e-8)


@KINDS
def test_smoothers_made_together_are_those_made_one_by_one(kind):
    one, rng = problem(), np.random.default_rng(6)
    solver, known = one.solver(kind), one.of_fit[1]
    ridges = []
    for width in (1, 3):
        columns = torch.from_numpy(one.T[:, :width])
        ridges.append(solver.beside(1.0, columns, torch.from_numpy(PENALTIES[:width])))
    y = torch.from_numpy(rng.normal(size=(LEARNT, 2 * PARTS)))
    alone = [
        smoother([ridge], [known], one.sets)(part)
        for ridge, part in zip(ridges, y.split(PARTS, 1), strict=True)
    ]
    found = smoother(ridges, [known, known], one.sets)(y)
    np.testing.assert_allclose(found, torch.cat(alone, 1), atol=1e-10)


def test_single_precision_is_near_enough(monkeypatch):
    one = problem()
    for penalty in (0.05, 1.0):
        whole = one.left_out(one.beside(one.exact, penalty))
        monkeypatch.setattr(solvers, "LEAST_SINGLE", 0.0)
        single = one.left_out(one.beside(one.exact, penalty))
        monkeypatch.setattr(solvers, "LEAST_SINGLE", np.inf)
        assert single.dtype == whole.dtype
        np.testing.assert_allclose(single, whole, atol=1e-4)
        assert (single != whole).any()


def test_inverses_are_kept_as_long_as_memory_allows():
    one = problem()
    for memory, kept in ((0.0, 1), (3.5 * 4 * LEARNT**2 / 1e9, 3)):
        solver = Exact(one.kernel, torch.from_numpy(one.learnt), memory)
        first = [solver.at(penalty) for penalty in (1.0, 2.0, 3.0, 4.0)]
        assert list(solver.inverses) == [1.0, 2.0, 3.0, 4.0][-kept:]
        assert solver.at(4.0) is first[-1]
        assert solver.at(1.0) is not first[0]


def test_a_machine_that_is_no_longer_used_is_gone_with_its_inverses():
    one = problem()
    solver = one.exact
    bound = solver.at(1.0)
    solver.beside(1.0, torch.from_numpy(one.T), torch.from_numpy(PENALTIES))
    kept = weakref.ref(bound), weakref.ref(solver)
    del solver, bound
    # At once, and not whenever cycles are collected: each holds a matrix of all people.
    assert [ref() for ref in kept] == [None, None]


# ---- who has no say -----------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("penalty", [1.0, np.inf])
def test_unknown_people_and_those_who_are_not_learnt_from_change_nobody(kind, penalty):
    one = problem(binary=True)
    other = problem(binary=True)
    other.y[~one.known] = 77.0
    away = np.setdiff1d(np.arange(N), one.learnt)
    other.X[away], other.T[away, 1:] = 5.0, -3.0
    pair = []
    for each in (one, other):
        ridge = each.beside(each.solver(kind), penalty)
        y, known = each.of_fit
        smooth = smoother([ridge], [known], each.sets)
        odds = smooth(logistic_target(smooth, torch.sign(y).expand(-1, PARTS)))
        left = each.left_out(ridge)
        pair.append((left, ridge.fit(y, known).scores[one.learnt], odds))
    for before, after in zip(*pair, strict=True):
        np.testing.assert_allclose(after.numpy(), before.numpy(), atol=1e-9)


@KINDS
def test_labels_of_a_part_change_no_score_within_it(kind):
    """The canary of cross-fitting: who is left out is scored by fits that never saw their label."""
    one, other = problem(binary=True), problem(binary=True)
    part = one.parts == 2
    other.y[part] *= -1
    left, odds = [], []
    for each in (one, other):
        y, known = each.of_fit
        ridge = each.beside(each.solver(kind), 1.0)
        left.append(each.left_out(ridge)[:, 0].numpy())
        smooth = smoother([ridge], [known], [each.sets[2]])
        odds.append(smooth(logistic_target(smooth, y))[:, 0].numpy())
    mine = part & one.known
    np.testing.assert_allclose(left[1][mine], left[0][mine], atol=1e-9)
    assert (np.abs(left[1] - left[0])[~part] > 1e-6).all()
    np.testing.assert_allclose(odds[1], odds[0], atol=1e-9)


# ---- logistic regression ------------------------------------------------------------------------


@KINDS
@MISSING
@pytest.mark.parametrize("penalty", [0.5, 4.0, 20.0, np.inf])
def test_log_odds_are_those_of_a_logistic_regression_with_a_quarter_of_the_penalties(
    kind, missing, penalty
):
    one = problem(binary=True, missing=missing)
    y, known = one.of_fit
    ridge = one.beside(one.solver(kind), penalty)
    target = logistic_target(smoother([ridge], [known], [None]), y, steps=1000)
    found = ridge.fit(target, known).scores[:, 0].numpy()
    rows = np.flatnonzero(one.known)
    expected = one.logistic(penalty, rows)
    np.testing.assert_allclose(found, expected, atol=0.05 * expected.std())
    # Neither the same penalties nor a half of them.
    for times in (1.0, 0.5):
        off = one.logistic(penalty, rows, times)
        assert np.abs(found - expected).max() < np.abs(found - off).max() / 3


@KINDS
@pytest.mark.parametrize("penalty", [4.0, np.inf])
def test_log_odds_of_who_is_left_out_are_those_of_a_regression_made_anew(kind, penalty):
    one = problem(binary=True)
    y, known = one.of_fit
    smooth = smoother([one.beside(one.solver(kind), penalty)], [known], one.sets)
    odds = smooth(logistic_target(smooth, y.expand(-1, PARTS), steps=1000)).numpy()
    for k in range(PARTS):
        rows, mine = one.known & (one.parts != k), one.parts == k
        expected = one.logistic(penalty, np.flatnonzero(rows))[one.learnt]
        np.testing.assert_allclose(odds[mine, k], expected[mine], atol=0.05 * expected.std())


def test_a_few_steps_are_enough():
    one = problem(binary=True)
    y, known = one.of_fit
    smooth = smoother([one.beside(one.exact, 4.0)], [known], [None])
    few, many = (smooth(logistic_target(smooth, y, steps)) for steps in (30, 1000))
    assert float((few - many).abs().max()) < 0.05 * float(many.std())


# ---- projections --------------------------------------------------------------------------------


@PENALTY
def test_with_everybody_as_landmarks_a_projection_is_exact(penalty):
    # More features than people, so that no component is left out for nothing.
    one = problem(features=300)
    y, known = one.of_fit
    exact, projected = (one.beside(one.solver(kind), penalty) for kind in ("exact", "projected"))
    np.testing.assert_allclose(one.left_out(projected), one.left_out(exact), atol=1e-8)
    fits = [ridge.fit(y, known) for ridge in (exact, projected)]
    np.testing.assert_allclose(fits[1].scores, fits[0].scores, atol=1e-8)
    np.testing.assert_allclose(fits[1].weights, fits[0].weights, atol=1e-8)
    np.testing.assert_allclose(fits[1].coefficients, fits[0].coefficients, atol=1e-8)
    targets = torch.from_numpy(np.random.default_rng(1).normal(size=(LEARNT, PARTS)))
    smoothed = [smoother([r], [known], one.sets)(targets) for r in (exact, projected)]
    np.testing.assert_allclose(smoothed[1], smoothed[0], atol=1e-8)


def test_some_landmarks_stand_for_all_where_the_kernel_is_of_low_rank():
    rng = np.random.default_rng(2)
    n, learnt = 500, np.arange(400)
    latent = rng.normal(size=(n, 15))
    X = latent @ rng.normal(size=(15, 200)) / np.sqrt(200) + 0.05 * rng.normal(size=(n, 200))
    y = (latent[:, :3].sum(1) + rng.normal(size=n))[learnt]
    known, parts = rng.random(400) < 0.9, np.arange(400) % PARTS
    one = Problem(X, np.ones((n, 3)) * [1, 0, 0], y, known, parts, learnt)
    landmarks = np.sort(rng.permutation(400)[:100])
    exact = one.beside(one.exact, 5.0)
    some = one.beside(one.projected(landmarks, 100), 5.0)
    left = [one.left_out(ridge)[:, 0].numpy() for ridge in (exact, some)]
    fits = [ridge.fit(*one.of_fit) for ridge in (exact, some)]
    scores = [fit.scores[:, 0].numpy() for fit in fits]
    for pair in (left, scores):
        assert np.abs(pair[1] - pair[0]).max() < 0.2 * pair[0].std()
        assert np.corrcoef(*pair)[0, 1] > 0.995
    assert fits[1].weights.shape == (100, 1)
    again = X @ X[landmarks].T @ fits[1].weights.numpy() + fits[1].coefficients[0].item()
    np.testing.assert_allclose(again[:, 0], scores[1], atol=1e-6)


def test_fewer_components_are_the_leading_ones():
    one = problem()
    few, many = (one.projected(number=number) for number in (3, LEARNT))
    # Those of twelve features; the rest are rounding.
    assert (few.Z.shape[1], many.Z.shape[1]) == (3, FEATURES)
    np.testing.assert_allclose(few.Z, many.Z[:, :3])
    squares = (many.Z[one.learnt] ** 2).sum(0)
    assert (squares.diff() < 0).all()
    np.testing.assert_allclose(many.Z @ many.Z[one.learnt].T, one.kernel, atol=1e-9)


def test_a_kernel_of_nothing_leaves_traits_alone():
    one = problem()
    one.X[:] = 0
    y, known = one.of_fit
    expected = one.ridge(np.inf, np.flatnonzero(one.known))
    for kind in ("exact", "projected"):
        fitted = one.beside(one.solver(kind), 1.0).fit(y, known)
        np.testing.assert_allclose(fitted.scores[:, 0].numpy(), expected, atol=1e-8)
