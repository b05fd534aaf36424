import numpy as np
import pytest
from scipy import stats

from ukb_brain.statistics.certainty.detectable import smallest_skill


@pytest.mark.parametrize(("n", "n_positive"), [(200, 100), (200, 40), (400, 200)])
def test_the_rank_sum_test_finds_the_smallest_area_in_four_of_five_samples(n, n_positive):
    """By scipy's Mann–Whitney test on normal scores whose area is as said."""
    rng, skill = np.random.default_rng(0), smallest_skill("binary", n, n_positive)
    shift = np.sqrt(2) * stats.norm.ppf((skill + 1) / 2)
    yes = rng.normal(shift, 1, (1500, n_positive))
    no = rng.normal(0, 1, (1500, n - n_positive))
    p = stats.mannwhitneyu(yes, no, axis=1, method="asymptotic").pvalue
    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("n", [40, 200])
def test_the_test_of_correlation_finds_the_smallest_share_in_four_of_five_samples(n):
    rng, skill = np.random.default_rng(1), smallest_skill("continuous", n)
    predicted = rng.normal(0, np.sqrt(skill), (1500, n))
    y = predicted + rng.normal(0, np.sqrt(1 - skill), (1500, n))
    p = stats.pearsonr(y, predicted, axis=1).pvalue
    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.04)


def test_more_people_balance_and_patience_find_less():
    for kind in ("binary", "continuous"):
        found = [smallest_skill(kind, n) for n in (50, 200, 2000)]
        assert found[0] > found[1] > found[2] > 0
        assert (
            smallest_skill(kind, 200, power=0.9)
            > smallest_skill(kind, 200)
            > smallest_skill(kind, 200, alpha=0.2)
        )
    assert smallest_skill("binary", 200, 20) > smallest_skill("binary", 200, 100)
    assert smallest_skill("binary", 200, 20) == smallest_skill("binary", 200, 180)
    assert smallest_skill("binary", 200, 100) == smallest_skill("binary", 200)


def test_too_few_people_could_have_seen_nothing():
    assert np.isnan(smallest_skill("binary", 20, 0))
    assert np.isnan(smallest_skill("continuous", 3))
    assert smallest_skill("binary", 4, 1) == 1
