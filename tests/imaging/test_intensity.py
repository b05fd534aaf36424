import numpy as np
import pytest

from ukb_brain.imaging.bulk import ScanError
from ukb_brain.imaging.intensity import Code, scaled
from ukb_brain.imaging.modalities import RANGE, Z_SCORE, Scale


@pytest.fixture
def values():
    return np.random.default_rng(0).lognormal(3, 0.5, 4000).astype(np.float32)


def test_a_z_score_clamps_and_has_mean_0_and_sd_1(values):
    out, outside = scaled(values, Z_SCORE, (5.0, 95.0))
    low, high = np.percentile(values, (5, 95))
    clamped = np.clip(values, low, high)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.mean(), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(), 1, atol=1e-5)
    np.testing.assert_allclose(outside, -clamped.mean() / clamped.std(), rtol=1e-5)
    assert out[values > high].std() < 1e-6
    again, outside_again = scaled(3.7 * values, Z_SCORE, (5.0, 95.0))
    np.testing.assert_allclose(again, out, atol=1e-4)
    assert outside_again == pytest.approx(outside, rel=1e-4)


@pytest.mark.parametrize("times", [1e-25, 1e25])
def test_a_z_score_is_one_of_numbers_however_small_or_large(values, times):
    out, _ = scaled(values, Z_SCORE, (5.0, 95.0))
    again, _ = scaled((values * times).astype(np.float32), Z_SCORE, (5.0, 95.0))
    np.testing.assert_allclose(again, out, atol=1e-3)


def test_a_range_is_the_studys(values):
    """Clamped, then from -1, which is the empty background, to 1."""
    out, outside = scaled(values, RANGE, (5.0, 95.0))
    low, high = np.percentile(values, (5, 95))
    np.testing.assert_allclose(out, 2 * np.clip(values, low, high) / high - 1, atol=1e-5)
    assert outside == -1
    assert out.max() == pytest.approx(1)
    # The same whatever is z-scored before.
    z, z_outside = scaled(values, Z_SCORE, (5.0, 95.0))
    whole = np.append(z, z_outside)
    expected = 2 * (whole - whole.min()) / np.ptp(whole) - 1
    np.testing.assert_allclose(np.append(out, outside), expected, atol=1e-5)


def test_a_physical_measure_keeps_its_scale():
    scale = Scale(clamp=(0.1, 1.0), centre=0.25, spread=0.15)
    out, outside = scaled(np.array([0.05, 0.4, 7.0], np.float32), scale, (0.5, 99.5))
    np.testing.assert_allclose(out, [-1.0, 1.0, 5.0], rtol=1e-5)
    assert outside == pytest.approx(-1.0)


@pytest.mark.parametrize("intensity", [Z_SCORE, RANGE])
def test_equal_values_are_broken(intensity):
    with pytest.raises(ScanError, match="equal"):
        scaled(np.ones(9, np.float32), intensity, (0.5, 99.5))


@pytest.mark.parametrize(("low", "high"), [(-4.2, 2.9), (0.0, 1e-6), (-1e4, 1e5), (3.0, 3.0)])
def test_eight_bits_err_by_at_most_half_a_step(low, high):
    code = Code.of(low, high)
    values = np.random.default_rng(0).uniform(low, high, 10_000).astype(np.float32)
    values[:2] = low, high
    codes = code.encode(values)
    assert codes.dtype == np.uint8
    error = np.abs(code.decode(codes) - values).max()
    assert error <= code.scale / 2 * 1.001 + np.abs(values).max() * 1e-6
    if high > low:
        assert (codes[0], codes[1]) == (0, 255)
