import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm, ttest_rel
from statsmodels.stats.weightstats import ttost_paired

from ukb_brain.errors import InputError
from ukb_brain.statistics.inputs import comparisons
from ukb_brain.statistics.inputs.comparisons import verdict
from ukb_brain.statistics.kinds import KINDS
from ukb_brain.statistics.scores.engine import headline

MARGIN = 0.02


def difference(estimates, drawn, level=0.95, margin=MARGIN):
    return comparisons.difference(estimates, drawn, margin, level)


def drawn_means(values, draws, seed):
    """Bootstrap means of two columns, shape (2, draws)."""
    weights = np.random.default_rng(seed).multinomial(
        len(values), np.full(len(values), 1 / len(values)), draws
    )
    return (weights @ values / len(values)).T


@pytest.mark.parametrize("shift", [0.0, 0.15, 0.25, 0.6])
def test_difference_of_means_is_that_of_a_paired_t_test(shift):
    rng = np.random.default_rng(1)
    values = rng.normal(size=(400, 1)) + rng.normal(size=(400, 2))
    values -= values.mean(axis=0)
    values[:, 0] += shift
    found = difference(values.mean(axis=0), drawn_means(values, 4000, 2))
    theirs = ttest_rel(*values.T)
    interval = theirs.confidence_interval(0.95)
    assert found.estimate == pytest.approx(shift)
    np.testing.assert_allclose([found.low, found.high], interval, atol=0.01)
    error = np.diff(values, axis=1).std(ddof=1) / np.sqrt(400)
    assert found.se == pytest.approx(error, rel=0.04)
    # The most distant shift has no draw beyond zero, where p is that of the normal tail.
    tolerance = 0.03 if theirs.pvalue > 0.01 else theirs.pvalue**0.8
    assert found.p == pytest.approx(theirs.pvalue, abs=tolerance)


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3])
def test_equivalence_is_that_of_two_one_sided_t_tests(shift):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(400, 1)) + rng.normal(size=(400, 2))
    values -= values.mean(axis=0)
    values[:, 0] += shift
    found = difference(values.mean(axis=0), drawn_means(values, 4000, 4), margin=0.2)
    p, below_low, above_high = ttost_paired(values[:, 0], values[:, 1], -0.2, 0.2)
    assert found.p_equivalent == pytest.approx(p, abs=0.015)
    assert found.p_below == pytest.approx(above_high[1], abs=0.015)
    assert below_low[1] < 0.05
    assert (found.upper < 0.2) == (found.p_below < 0.05)


differences = st.lists(st.floats(-1, 1), min_size=20, max_size=60)


@given(differences, st.floats(-1, 1))
def test_exchanging_the_cells_turns_the_sign_only(values, estimate):
    drawn = np.stack([np.array(values), np.zeros(len(values))])
    estimates = np.array([estimate, 0.0])
    one, other = difference(estimates, drawn), difference(estimates[::-1], drawn[::-1])
    assert one.estimate == -other.estimate
    np.testing.assert_allclose([one.low, one.high], [-other.high, -other.low], atol=1e-12)
    assert one.p == pytest.approx(other.p)
    assert 0 <= one.p <= 1


@given(st.integers(10, 100))
def test_p_inverts_the_interval(beyond):
    # Of 999 draws so many are at or below zero; the interval of 1 - p ends about there.
    drawn = np.stack([np.arange(999.0) - beyond + 1, np.zeros(999)])
    found = difference(np.array([500.0, 0.0]), drawn)
    assert found.p == pytest.approx(2 * (beyond + 1) / 1000)
    assert abs(difference(np.array([500.0, 0.0]), drawn, 1 - found.p).low) <= 2


def test_the_number_of_draws_does_not_bound_p():
    rng = np.random.default_rng(5)
    drawn = np.stack([rng.normal(6, 1, 500), np.zeros(500)])
    assert difference(np.array([6.0, 0.0]), drawn).p < 1e-7
    # Where few draws are beyond zero, p is never above what ten would give.
    skewed = np.stack([np.r_[np.full(491, 0.1), np.full(9, -8.0)], np.zeros(500)])
    assert difference(np.array([0.1, 0.0]), skewed).p <= 2 * 11 / 501


def test_the_same_predictions_have_p_one_and_no_interval():
    same = np.tile(np.random.default_rng(6).normal(0.3, 0.1, 500), (2, 1))
    estimates = np.array([0.3, 0.3])
    found = difference(estimates, same)
    assert (found.estimate, found.se, found.p) == (0, 0, 1)
    nothing = [found.low, found.high, found.upper, found.p_below, found.p_equivalent]
    assert np.isnan(nothing).all()
    assert verdict(found.estimate, found.p, found.upper, MARGIN) == "unknown"


def test_rounding_is_no_difference():
    rng = np.random.default_rng(6)
    first = rng.normal(0.3, 0.1, 500)
    apart = np.stack([first + 1e-14 * (1 + rng.random(500)), first])
    found = difference(np.array([0.3 + 1e-14, 0.3]), apart)
    assert (found.estimate, found.se, found.p) == (0, 0, 1)
    assert np.isnan([found.low, difference(np.array([0.3 + 1e-14, 0.3]), apart).upper]).all()


def test_without_scores_there_is_no_difference_and_no_verdict():
    drawn = np.random.default_rng(7).normal(size=(2, 100))
    for estimates, lost in ((np.array([np.nan, 0.1]), 0), (np.array([0.2, 0.1]), 51)):
        some = np.where(np.arange(100) < lost, np.nan, drawn)
        assert np.isnan(difference(estimates, some).p)
        assert np.isnan(difference(estimates, some).p_below)
    assert np.isfinite(
        difference(np.array([0.2, 0.1]), np.where(np.arange(100) < 49, np.nan, drawn)).p
    )
    assert verdict(np.nan, np.nan, np.nan, MARGIN) == "unknown"


@pytest.mark.parametrize(
    ("estimate", "p", "upper", "expected"),
    [
        (0.05, 0.01, 0.08, "adds"),
        (0.01, 0.01, 0.015, "adds"),
        (0.01, 0.20, 0.015, "no gain"),
        (0.05, 0.06, 0.08, "unknown"),
        (-0.05, 0.001, -0.01, "no gain"),
        (-0.05, 0.2, 0.03, "unknown"),
    ],
)
def test_verdicts(estimate, p, upper, expected):
    assert verdict(estimate, p, upper, MARGIN) == expected


@pytest.mark.parametrize("margin", [0.0, -0.1, np.nan])
def test_a_margin_must_be_positive(margin):
    with pytest.raises(InputError, match="above 0"):
        difference(
            np.array([0.2, 0.1]), np.random.default_rng(8).normal(size=(2, 50)), margin=margin
        )


def of_cells(kind, y, predicted, draws, rng):
    """Estimates and drawn skills of two cells by weights of people."""
    weights = np.vstack([np.ones(len(y)), rng.poisson(1.0, (draws, len(y)))])
    skill = KINDS[kind].skill(headline(kind, y, predicted, weights))
    return skill[0], skill[1:].T


def judged(kind, y, predicted, draws, rng):
    estimates, drawn = of_cells(kind, y, predicted, draws, rng)
    found = difference(estimates, drawn)
    return found, verdict(found.estimate, found.p, found.upper, MARGIN)


def equally_good(kind, rng, n):
    """Two predictions whose true skill is the same, of correlated errors."""
    latent = rng.normal(size=n)
    y = (latent > 0.5).astype(float) if kind == "binary" else latent
    error = rng.normal(size=(n, 1)) + 0.7 * rng.normal(size=(n, 2))
    return y, 0.4 * (latent[:, None] + error)


def by_least_squares(rng, noise, n_train=200, n_test=300):
    """Predictions with columns of noise among the inputs and without, on both kinds of people."""
    n = n_train + n_test
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 2 + noise))])
    y = X[:, 1:3] @ [0.8, 0.5] + rng.normal(size=n)
    columns = (3 + noise, 3)
    beta = [np.linalg.lstsq(X[:n_train, :c], y[:n_train], rcond=None)[0] for c in columns]
    predicted = np.column_stack([X[:, : len(one)] @ one for one in beta])
    return (y[:n_train], predicted[:n_train]), (y[n_train:], predicted[n_train:])


def allowed(trials, level, chance=1e-4):
    return binom.isf(chance, trials, level)


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_equally_good_cells_are_rarely_said_to_differ(kind):
    rng, trials = np.random.default_rng(9), 150
    verdicts, p = [], []
    for _ in range(trials):
        found, said = judged(kind, *equally_good(kind, rng, 300), 300, rng)
        verdicts.append(said)
        p.append(found.p)
    # Two-sided at 5 %, so 2.5 % on the side of adding.
    assert verdicts.count("adds") <= allowed(trials, 0.025)
    assert (np.array(p) < 0.05).sum() <= allowed(trials, 0.06)
    assert (np.array(p) < 0.5).mean() > 0.3


@pytest.mark.parametrize("noise", [1, 40])
def test_noise_among_the_inputs_does_not_add_on_test_people(noise):
    rng, trials = np.random.default_rng(10), 120
    found = [
        judged("continuous", *by_least_squares(rng, noise)[1], 200, rng) for _ in range(trials)
    ]
    estimates = np.array([one.estimate for one, _ in found])
    # Degenerate: below zero on average, and the smaller it is the smaller is its spread.
    assert estimates.mean() < -2 * estimates.std() / np.sqrt(trials)
    assert np.corrcoef(np.abs(estimates), [one.se for one, _ in found])[0, 1] > 0.4
    assert [said for _, said in found].count("adds") <= allowed(trials, 0.025)


def test_noise_among_the_inputs_always_adds_on_training_people():
    rng, trials = np.random.default_rng(10), 40
    found = [judged("continuous", *by_least_squares(rng, 40)[0], 200, rng) for _ in range(trials)]
    assert min(one.estimate for one, _ in found) > 0
    assert [said for _, said in found].count("adds") > 0.8 * trials


def test_what_truly_adds_is_found():
    rng, found = np.random.default_rng(11), 0
    for _ in range(20):
        y = rng.normal(size=400)
        predicted = np.column_stack([0.5 * (y + rng.normal(size=400)), 0.2 * y])
        found += judged("continuous", y, predicted, 200, rng)[1] == "adds"
    assert found >= 18


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "continuous"])
@pytest.mark.parametrize("n", [100, 400])
def test_p_and_interval_of_equally_good_cells_keep_their_level(kind, n):
    rng, trials = np.random.default_rng(12), 2000
    found = [judged(kind, *equally_good(kind, rng, n), 500, rng) for _ in range(trials)]
    adds = sum(said == "adds" for _, said in found)
    rejected = sum(one.p < 0.05 for one, _ in found)
    covered = np.mean([one.low <= 0 <= one.high for one, _ in found])
    print(f"{kind} n={n}: adds {adds / trials:.3f}, p<.05 {rejected / trials:.3f}, {covered:.3f}")
    assert adds / trials <= 0.05
    assert rejected / trials <= 0.065
    assert 0.93 <= covered <= 0.97


def apart_by_the_margin(kind, rng, n):
    """Two predictions of which the first's true skill is larger by exactly the margin."""
    error = (rng.normal(size=(n, 1)) + 0.7 * rng.normal(size=(n, 2))) / np.sqrt(1.49)
    if kind == "continuous":
        y = rng.normal(size=n)
        return y, y[:, None] + error * np.sqrt([0.6 - MARGIN, 0.6])
    y = (rng.random(n) < 0.4).astype(float)
    # AUC of two normal distributions of SD 1 that are d apart: the normal integral at d / sqrt 2.
    d = np.sqrt(2) * norm.ppf([(1.4 + MARGIN) / 2, 0.7])
    return y, y[:, None] * d + error


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "continuous"])
@pytest.mark.parametrize("n", [100, 400])
def test_what_adds_the_margin_is_rarely_said_to_add_nothing(kind, n):
    rng, trials, upper = np.random.default_rng(14), 1000, []
    for _ in range(trials):
        estimates, drawn = of_cells(kind, *apart_by_the_margin(kind, rng, n), 300, rng)
        upper.append(difference(estimates, drawn).upper)
    missed = np.mean(np.array(upper) < MARGIN)
    print(f"{kind} n={n}: below the margin though it adds as much {missed:.3f}")
    assert 0.025 < missed < 0.075
