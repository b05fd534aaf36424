import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine

from ukb_brain.imaging.affines import common_grid, fsl_mni, to_flirt
from ukb_brain.imaging.readers import flirt_to_world

SHAPE = (7, 8, 9)

# Written by hand. Voxel (1, 2, 3) of a 2 × 3 × 4 mm image; the FLIRT matrix takes its scaled-voxel
# coordinates to those of FSL's MNI152 at 1 mm, where (sx, sy, sz) lies at
# (90 − sx, sy − 126, sz − 72) mm.
HAND = {
    # Determinant negative: scaled (1·2, 2·3, 3·4) = (2, 6, 12), moved to (52, 66, 82).
    "negative": {
        "affine": [[-2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]],
        "flirt": [[1, 0, 0, 50], [0, 1, 0, 60], [0, 0, 1, 70], [0, 0, 0, 1]],
        "world": [[1, 0, 0, 30], [0, 1, 0, -86], [0, 0, 1, -32], [0, 0, 0, 1]],
        "native_mm": (8, 26, 42),
        "mni_mm": (38, -60, 10),
    },
    # Determinant positive: x counts from the other side, ((7 − 1 − 1)·2, 6, 12) = (10, 6, 12),
    # moved to (1.5·10 + 50, 66, 2·12 + 70) = (65, 66, 94).
    "positive": {
        "affine": [[2, 0, 0, -5], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]],
        "flirt": [[1.5, 0, 0, 50], [0, 1, 0, 60], [0, 0, 2, 70], [0, 0, 0, 1]],
        "world": [[1.5, 0, 0, 29.5], [0, 1, 0, -86], [0, 0, 2, -62], [0, 0, 0, 1]],
        "native_mm": (-3, 26, 42),
        "mni_mm": (25, -60, 22),
    },
    # Determinant positive and axes that mix: (10, 6, 12) to (6 + 50, 10 + 60, 12 + 70).
    "turned": {
        "affine": [[2, 0, 0, -5], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]],
        "flirt": [[0, 1, 0, 50], [1, 0, 0, 60], [0, 0, 1, 70], [0, 0, 0, 1]],
        "world": [[0, -1, 0, 60], [-1, 0, 0, -59], [0, 0, 1, -32], [0, 0, 0, 1]],
        "native_mm": (-3, 26, 42),
        "mni_mm": (34, -56, 10),
    },
}


def as_arrays(case):
    return {name: np.array(value, dtype=float) for name, value in case.items()}


@pytest.mark.parametrize("case", HAND.values(), ids=HAND)
def test_the_hand_computed_numbers_agree_with_each_other(case):
    c = as_arrays(case)
    np.testing.assert_allclose(apply_affine(c["affine"], (1, 2, 3)), c["native_mm"])
    np.testing.assert_allclose(apply_affine(c["world"], c["native_mm"]), c["mni_mm"])


@pytest.mark.parametrize("case", HAND.values(), ids=HAND)
def test_to_flirt_writes_the_hand_computed_matrix(case):
    c = as_arrays(case)
    shape, reference = fsl_mni()
    written = to_flirt(c["world"], c["affine"], SHAPE, reference, shape)
    np.testing.assert_allclose(written, c["flirt"], atol=1e-9)


@pytest.mark.parametrize("case", HAND.values(), ids=HAND)
def test_the_reader_takes_the_hand_computed_point_back_to_native_space(case):
    c = as_arrays(case)
    moving = nib.Nifti1Image(np.zeros(SHAPE, dtype=np.float32), c["affine"])
    # A resampler asks where in native space a point of MNI space comes from.
    back = apply_affine(flirt_to_world(c["flirt"], moving), c["mni_mm"])
    np.testing.assert_allclose(back, c["native_mm"], atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(*[st.floats(0.5, 8)] * 3),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    angles=st.tuples(*[st.floats(-0.6, 0.6)] * 3),
    shift=st.tuples(*[st.floats(-40, 40)] * 3),
    scale=st.floats(0.7, 1.4),
)
def test_writer_and_reader_agree_on_any_image(sizes, signs, angles, shift, scale):
    affine = np.diag([*np.multiply(sizes, signs), 1.0])
    affine[:3, 3] = shift
    turn = nib.eulerangles.euler2mat(*angles)
    world = nib.affines.from_matvec(scale * turn, np.array(shift)[::-1])
    shape, reference = fsl_mni()
    matrix = to_flirt(world, affine, SHAPE, reference, shape)
    moving = nib.Nifti1Image(np.zeros(SHAPE, dtype=np.float32), affine)
    point = np.array([[11.0, -23.0, 37.0]])
    back = apply_affine(flirt_to_world(matrix, moving), apply_affine(world, point))
    np.testing.assert_allclose(back, point, atol=2e-3)


def test_fsl_grid_is_the_documented_one():
    shape, affine = fsl_mni()
    assert shape == (182, 218, 182)
    np.testing.assert_array_equal(affine @ [0, 0, 0, 1], [90, -126, -72, 1])
    np.testing.assert_array_equal(affine @ [181, 217, 181, 1], [-91, 91, 109, 1])
    assert np.linalg.det(affine) == -1


@pytest.mark.parametrize(
    ("mm", "shape"), [(2, (91, 109, 91)), (4, (46, 55, 46)), (8, (23, 28, 23))]
)
def test_coarser_fsl_grids_cover_the_same_box(mm, shape):
    got, affine = fsl_mni(mm)
    assert got == shape
    np.testing.assert_array_equal(affine @ [1, 1, 1, 1], [90 - mm, -126 + mm, -72 + mm, 1])


def test_common_grid_is_centred_and_oriented_as_fsl():
    affine = common_grid(SHAPE, 5.0, (1.0, -18.0, 8.0))
    # The middle voxel is (3, 3.5, 4); x runs from right to left.
    np.testing.assert_allclose(affine @ [3, 3.5, 4, 1], [1, -18, 8, 1])
    np.testing.assert_allclose(affine @ [0, 0, 0, 1], [1 + 15, -18 - 17.5, 8 - 20, 1])
    np.testing.assert_allclose(common_grid((46, 55, 46), 4, (0, -18, 18)), fsl_mni(4)[1])
