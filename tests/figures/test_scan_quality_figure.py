import io

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from ukb_brain.figures.scan_pictures import CUTS, axial, contact_sheet, matrix_of, three_planes
from ukb_brain.figures.scan_quality import bin_edges, draw_measures, shares

RNG = np.random.default_rng(0)


def test_small_bins_are_empty_and_others_are_rounded():
    values = np.repeat([0.5, 1.5, 2.5, 3.5], [9, 10, 14, 96])
    edges = np.arange(5.0)
    np.testing.assert_allclose(shares(values, edges, 10), np.array([0, 10, 10, 100]) / 120)
    np.testing.assert_allclose(shares(values, edges, 1), np.array([9, 10, 14, 96]) / 129)
    assert np.isnan(shares(values[:9], edges, 10)).all()


def test_what_lies_beyond_the_axis_is_in_its_outermost_bins():
    found = shares(np.array([-50.0, 0.5, 1.5, 99.0]), np.arange(3.0), 1)
    assert found.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("n", [60, 5000])
def test_no_end_of_an_axis_is_one_scans(n):
    values = RNG.normal(size=n)
    edges = bin_edges(values, below=10)
    assert (values < edges[0]).sum() >= 9
    assert (values > edges[-1]).sum() >= 9


def test_few_values_or_one_have_no_bins_and_whole_numbers_one_each():
    assert bin_edges(RNG.normal(size=20), below=10) is None
    assert bin_edges(np.ones(500), below=10) is None
    edges = bin_edges(np.tile(np.arange(5.0), 100), below=10)
    assert edges.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5]


def scans(sites):
    table = pd.DataFrame({"site": np.arange(400) % sites}).astype(str)
    return table.assign(overlap=RNG.uniform(0.6, 1, 400), not_finite=0.0)


def figure_of(sites, limits, below=10, source="synthetic"):
    return draw_measures(scans(sites), limits, "T1", source, below)


def test_each_measure_has_a_line_a_site_and_its_limits():
    figure = figure_of(4, {"overlap": (0.7, None), "not_finite": (None, 0.5)})
    overlap, not_finite = figure.axes[:2]
    assert len(overlap.patches) == 4
    assert [line.get_xdata()[0] for line in overlap.lines] == [0.7]
    # Limits are drawn on an axis only.
    assert not not_finite.lines
    assert [text.get_text() for text in not_finite.texts] == ["0 in nearly all"]
    assert any(text.get_gid() == "stamp" for text in figure.texts)
    assert not any(text.get_gid() == "stamp" for text in figure_of(4, {}, source="ukb").texts)


def test_many_sites_are_drawn_as_one():
    assert len(figure_of(20, {}).axes[0].patches) == 1


GRID = np.array([[-10.0, 0, 0, 45], [0, 10, 0, -63], [0, 0, 10, -40], [0, 0, 0, 1]])


def blob(*place):
    """A volume that is bright at one place in mm."""
    voxels = np.moveaxis(np.indices((10, 12, 10)), 0, -1)
    world = nib.affines.apply_affine(GRID, voxels)
    return np.exp(-((world - place) ** 2).sum(axis=-1) / 200).astype(np.float32)


@pytest.mark.parametrize(("x", "y"), [(-30, -40), (30, 20)])
def test_left_is_left_and_the_front_is_at_the_top(x, y):
    flat = axial(blob(x, y, CUTS[2]), GRID)
    row, column = np.unravel_index(flat.argmax(), flat.shape)
    assert (column < flat.shape[1] / 2) == (x < 0)
    assert (row < flat.shape[0] / 2) == (y > -10)
    # It does not matter which way the grid runs.
    other = GRID.copy()
    other[0] = [10, 0, 0, -45]
    np.testing.assert_array_equal(axial(blob(x, y, CUTS[2])[::-1], other), flat)


def test_a_vector_is_put_back_into_its_square():
    square = RNG.normal(size=(7, 7)).astype(np.float32)
    square = square + square.T
    np.fill_diagonal(square, 0)
    np.testing.assert_array_equal(matrix_of(square[np.tril_indices(7, -1)]), square)
    assert matrix_of(np.arange(5.0)).shape == (3, 3)


def test_three_planes_show_the_outline_and_the_side():
    template = nib.Nifti1Image((blob(0, -18, 8) > 0.1).astype(np.uint8), GRID)
    png = three_planes(nib.Nifti1Image(blob(-20, -18, 8), GRID), template)
    pixels = imread(io.BytesIO(png))[..., :3]
    orange = (pixels[..., 0] > 0.8) & (abs(pixels[..., 1] - 0.65) < 0.15) & (pixels[..., 2] < 0.35)
    assert orange.sum() > 30


def test_a_contact_sheet_has_a_place_for_each():
    pictures = [np.full((20, 16), np.nan), *RNG.normal(size=(7, 20, 16))]
    pixels = imread(io.BytesIO(contact_sheet(pictures, list("ABCDEFGH"))))
    height, width = pixels.shape[:2]
    bright = pixels[..., 0] > 0.2
    # Two rows of six: below on the right there is nothing.
    assert bright[: height // 3, width // 5 :].mean() > 0.3
    assert not bright[height // 2 :, width // 2 :].any()
