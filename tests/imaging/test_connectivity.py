import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.errors import InputError
from ukb_brain.imaging.connectivity import (
    fisher_z_of_time_series,
    nodes_of,
    vector_of_matrix_file,
)


def series(regions=5, points=70):
    rng = np.random.default_rng(3)
    return rng.standard_normal((regions, 2)) @ rng.standard_normal((2, points)) + (
        rng.standard_normal((regions, points))
    )


def test_order_is_the_upper_triangle_by_columns():
    x = series()
    # MATLAB's column-wise order, written out: (1,2) (1,3) (2,3) (1,4) (2,4) (3,4) ...
    pairs = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3), (0, 4), (1, 4), (2, 4), (3, 4)]
    expected = [np.arctanh(scipy.stats.pearsonr(x[a], x[b]).statistic) for a, b in pairs]
    np.testing.assert_allclose(fisher_z_of_time_series(x), expected, rtol=1e-5)


def test_order_is_that_of_numpys_lower_triangle():
    x = series(9)
    whole = np.arctanh(np.corrcoef(x) - np.eye(9))
    np.testing.assert_allclose(fisher_z_of_time_series(x), whole[np.tril_indices(9, -1)], rtol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_regions_that_move_as_one_stay_finite(sign):
    x = series(2)
    z = fisher_z_of_time_series(np.stack([x[0], sign * x[0]]))
    assert np.isfinite(z).all()
    assert sign * z[0] > 7


@given(st.floats(0.1, 100), st.floats(-50, 50))
def test_units_of_a_region_do_not_matter(scale, shift):
    x = series()
    moved = x.copy()
    moved[2] = scale * moved[2] + shift
    np.testing.assert_allclose(
        fisher_z_of_time_series(moved), fisher_z_of_time_series(x), rtol=1e-4, atol=1e-5
    )


# A standard deviation of 0.1 repeated is 1e-17 and not 0.
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, np.nan, np.inf])
def test_region_that_does_not_vary_is_refused(value):
    x = series()
    x[3] = value
    with pytest.raises(InputError, match="constant or not finite"):
        fisher_z_of_time_series(x)


@pytest.mark.parametrize("shape", [(5, 3), (1, 70), (70,), (0,), (2, 0), (2, 3, 70)])
def test_too_few_points_or_regions(shape):
    with pytest.raises(InputError, match="time points"):
        fisher_z_of_time_series(np.ones(shape))


def test_values_of_25750_are_taken_as_they_are():
    values = np.linspace(-8, 14, 210)
    text = "  ".join(f"{v:.5f}" for v in values[:100]) + "\n" + " ".join(map(str, values[100:]))
    vector = vector_of_matrix_file(text)
    np.testing.assert_allclose(vector, values, atol=1e-5)
    assert vector.dtype == np.float32


@pytest.mark.parametrize(
    "text", ["", "1 2", "1 two 3", "nan 1 2", "inf", "1e60", "1 2 3\0"], ids=repr
)
def test_bad_matrix_file(text):
    with pytest.raises(InputError) as caught:
        vector_of_matrix_file(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("edges", "nodes"), [(1, 2), (210, 21), (1485, 55), (64620, 360)])
def test_published_sizes(edges, nodes):
    assert nodes_of(edges) == nodes


@given(st.integers(0, 100_000))
def test_nodes_are_whole_or_refused(edges):
    fitting = [n for n in range(2, 460) if n * (n - 1) // 2 == edges]
    if fitting:
        assert nodes_of(edges) == fitting[0]
    else:
        with pytest.raises(InputError):
            nodes_of(edges)
