import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from ukb_brain.statistics.certainty.corrections import adjusted_by_family

IN_STATSMODELS = {"holm": "holm", "bh": "fdr_bh"}


@pytest.mark.parametrize("method", ["holm", "bh"])
def test_families_are_corrected_as_by_statsmodels_one_by_one(method):
    rng = np.random.default_rng(0)
    p, family = rng.random(40) ** 3, rng.choice(["a", "b", "c"], 40)
    p[:10] = np.round(p[:10], 1)
    found = adjusted_by_family(pd.Series(p), pd.Series(family), method)
    assert (found > p).any()
    for one in set(family):
        mine = family == one
        expected = multipletests(p[mine], method=IN_STATSMODELS[method])[1]
        np.testing.assert_allclose(found[mine], expected, rtol=1e-12)


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_stricter_and_both_keep_the_order(p):
    p, family = pd.Series(p), pd.Series(["a"] * len(p))
    strict, lenient = (adjusted_by_family(p, family, method) for method in ("holm", "bh"))
    assert (strict >= lenient - 1e-12).all()
    assert (lenient >= p - 1e-12).all()
    for adjusted in (strict, lenient):
        assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= -1e-12).all()
        assert adjusted.between(0, 1).all()


@pytest.mark.parametrize("method", ["holm", "bh"])
def test_what_has_no_p_stays_empty_and_does_not_count(method):
    p = pd.Series([0.01, np.nan, 0.04, np.nan], index=[5, 3, 8, 9])
    family = pd.Series(["a", "a", "a", "b"], index=p.index)
    found = adjusted_by_family(p, family, method)
    assert found.index.tolist() == [5, 3, 8, 9]
    np.testing.assert_allclose(found, [0.02, np.nan, 0.04, np.nan])


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="unknown correction"):
        adjusted_by_family(pd.Series([0.1]), pd.Series(["a"]), "bonferroni")
