import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.affines import apply_affine

from ukb_brain.imaging.affines import named_grid
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.imaging.quality import (
    QUICK_BYTES,
    checksum,
    measures_of_image,
    measures_of_place,
    measures_of_vector,
    template_brain,
)

GRID = named_grid("mni152", 2.0)


def affine_of(grid):
    return ImagingPreprocess(modalities={}, **grid).affine


def brain_at(*place):
    i, j, k = np.rint(apply_affine(np.linalg.inv(affine_of(GRID)), place)).astype(int)
    return bool(template_brain(**GRID)[i, j, k])


@pytest.mark.parametrize(
    "place", [(0, -18, 8), (-60, -20, 5), (60, -20, 5), (0, -95, 0), (0, 60, 10), (0, -30, -40)]
)
def test_what_lies_in_the_brain_lies_in_the_template(place):
    assert brain_at(*place)


# In front of the frontal pole, behind the occipital, beside, above, and below the cerebellum in
# front; a grid turned or shifted by its origin has one of them inside.
@pytest.mark.parametrize(
    "place", [(0, 80, 0), (0, -114, 0), (80, -20, 5), (-80, -20, 5), (0, -20, 88), (0, 40, -50)]
)
def test_what_lies_outside_lies_outside_the_template(place):
    assert not brain_at(*place)


def test_the_template_has_the_size_of_a_brain():
    litres = template_brain(**GRID).sum() * GRID["voxel_mm"] ** 3 / 1e6
    assert 1.7 < litres < 2.0


@pytest.mark.parametrize("noise", [5.0, 20.0, 80.0])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_noise_is_found_in_a_smooth_brain(noise, dtype):
    x, y, z = np.indices((60, 70, 60))
    smooth = 1000 + 150 * np.sin(x / 9) * np.cos(y / 11) + 80 * np.sin(z / 7)
    there = (x - 30) ** 2 + (y - 35) ** 2 + (z - 30) ** 2 < 28**2
    data = (smooth + np.random.default_rng(0).normal(0, noise, smooth.shape)) * there
    data = np.asfortranarray(data.astype(dtype))
    expected = data[there].mean() / noise
    assert measures_of_image(data)["snr"] == pytest.approx(expected, rel=0.05)


def test_noise_is_the_same_in_a_large_image_of_which_some_rows_are_read():
    rng = np.random.default_rng(1)
    data = np.asfortranarray(rng.normal(1000, 50, (160, 160, 160)).astype(np.float32))
    assert measures_of_image(data)["snr"] == pytest.approx(20, rel=0.02)


def test_a_mask_has_no_noise():
    data = np.zeros((9, 9, 9), dtype=np.uint8)
    data[2:7, 2:7, 2:7] = 1
    found = measures_of_image(data)
    assert np.isnan(found["snr"])
    assert found["clipped"] == 1


def test_clipped_is_the_share_of_the_brain_at_its_largest_value():
    values = np.random.default_rng(2).uniform(1, 100, (50, 50, 40)).astype(np.float32)
    assert measures_of_image(values)["clipped"] == pytest.approx(1 / values.size)
    assert measures_of_image(np.minimum(values, 75.25))["clipped"] == pytest.approx(0.25, abs=0.01)


def test_a_place_is_compared_with_the_template():
    template = np.zeros((10, 10, 10), dtype=bool)
    template[2:8, 2:8, 2:8] = True
    assert measures_of_place(template, template) == {"overlap": 1.0, "empty": 0.0}
    half = template.copy()
    half[:5] = False
    # Half of the template, twice the half over one and a half.
    assert measures_of_place(half, template) == {"overlap": pytest.approx(2 / 3), "empty": 0.5}
    assert measures_of_place(~template, template) == {"overlap": 0.0, "empty": 1.0}


def test_a_vector_is_measured():
    vector = np.array([0.5, -2, np.nan, 0, 0, 0, 0.25, np.nan], dtype=np.float32)
    found = measures_of_vector(vector)
    assert (found["empty"], found["constant"], found["largest"]) == (0.25, 0.5, 2.0)
    nothing = measures_of_vector(np.full(3, np.nan, dtype=np.float32))
    assert nothing["empty"] == 1
    assert np.isnan([nothing["constant"], nothing["largest"]]).all()


@given(st.integers(0, 7 * 8 * 9 - 1), st.integers(1, 255))
def test_one_bit_makes_another_image(place, change):
    data = np.arange(7 * 8 * 9, dtype=np.int16).reshape(7, 8, 9)
    other = data.copy()
    other.flat[place] ^= change
    assert checksum(data, data) != checksum(other, other)
    assert checksum(data, data) == checksum(data.copy(order="F"), data)


def test_large_images_that_differ_in_one_voxel_are_two():
    data = np.asfortranarray(np.random.default_rng(4).normal(size=(180, 180, 180)))
    other = data.astype(np.float32, order="F")
    assert other.nbytes > QUICK_BYTES
    before = measures_of_image(other)["content"]
    other[91, 90, 89] += 1
    assert measures_of_image(other)["content"] != before


def test_the_content_does_not_depend_on_how_the_file_is_packed():
    data = np.asfortranarray(np.random.default_rng(3).normal(size=(8, 9, 7)).astype(np.float32))
    again = nib.Nifti1Image.from_bytes(nib.Nifti1Image(data, np.eye(4)).to_bytes())
    content = measures_of_image(np.asarray(again.dataobj))["content"]
    assert content == measures_of_image(data)["content"]
