import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from ukb_brain.errors import InputError
from ukb_brain.imaging.connectivity import (
    fisher_z_of_time_series,
    matched,
    nodes_of,
    regions_there,
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
def test_region_that_does_not_vary_is_left_out_of_the_others_correlations(value):
    x = series()
    whole = fisher_z_of_time_series(x)
    x[3] = value
    vector = fisher_z_of_time_series(x)
    # (1,2) (1,3) (2,3) (1,4) (2,4) (3,4) (1,5) (2,5) (3,5) (4,5): the fourth region's are lost.
    lost = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0, 1], dtype=bool)
    np.testing.assert_array_equal(np.isnan(vector), lost)
    np.testing.assert_allclose(vector[~lost], whole[~lost], rtol=1e-6)


def test_a_time_series_of_one_region_gives_no_correlations():
    x = series()
    x[1:] = np.nan
    with pytest.raises(InputError, match="Fewer than two regions"):
        fisher_z_of_time_series(x)


def test_which_regions_are_there():
    x = series()
    x[0, 5], x[2] = np.nan, 7.0
    np.testing.assert_array_equal(regions_there(x), [False, True, False, True, True])


@pytest.mark.bad_input(
    given="the same regions in another order in some 31016 files",
    says="read: matched by label, the same vector",
)
@given(st.permutations(range(5)))
def test_the_order_of_regions_changes_nothing(order):
    x, labels = series(), np.array(list("abcde"))
    wanted = ("c", "a", "e", "b", "d")
    expected = x[[2, 0, 4, 1, 3]]
    np.testing.assert_array_equal(matched(labels[order], x[order], wanted), expected)


def test_regions_that_a_person_lacks_are_empty_and_others_are_left_out():
    found = matched(("x", "b"), np.array([[1.0, 2], [3, 4]]), ("a", "b"))
    np.testing.assert_array_equal(found, [[np.nan, np.nan], [3, 4]])


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
