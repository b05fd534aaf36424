import numpy as np
import pytest
from nibabel.affines import apply_affine
from pydantic import ValidationError
from scan_cases import imaging

from ukb_brain.imaging.affines import fsl_mni
from ukb_brain.imaging.modalities import ImagingPreprocess


def section(**given):
    return imaging().model_dump(include={"modalities"}) | given


def test_a_preset_gives_whatever_the_section_does_not_say():
    preset = {"shape": (4, 5, 6), "voxel_mm": 9.0, "most_regions_missing": 0.2}
    found = ImagingPreprocess(**section(preset=preset, voxel_mm=8.0, shape=None))
    assert (found.shape, found.voxel_mm, found.most_regions_missing) == ((4, 5, 6), 8.0, 0.2)


def test_a_preset_with_a_name_that_nothing_reads_is_refused():
    with pytest.raises(ValidationError, match="voxels_mm"):
        ImagingPreprocess(**section(preset={"shape": (4, 5, 6), "voxel_mm": 9.0, "voxels_mm": 9.0}))


def named(**given):
    return ImagingPreprocess(**imaging().model_dump(include={"modalities"}) | given)


@pytest.mark.parametrize("n", [128, 64])
def test_the_studys_grids_are_the_same_box(n):
    found = named(common_grid=f"study{n}")
    assert found.shape == (n, n, n)
    assert n * found.voxel_mm == pytest.approx(128 / 0.7)
    corners = apply_affine(found.affine, np.array([[-0.5] * 3, [n - 0.5] * 3]))
    half = 64 / 0.7
    np.testing.assert_allclose(
        corners, [[half, -18 - half, 8 - half], [-half, -18 + half, 8 + half]]
    )


@pytest.mark.parametrize("mm", [1.0, 2.0, 3.0])
def test_mni152_is_fsls_grid_at_any_size(mm):
    found = named(common_grid="mni152", voxel_mm=mm)
    shape, affine = fsl_mni(mm)
    assert found.shape == shape
    np.testing.assert_allclose(found.affine, affine)


@pytest.mark.parametrize("mm", [1.0, 2.0, 3.5])
def test_the_brains_box_holds_the_brain_and_little_else(mm):
    from nilearn.datasets import load_mni152_brain_mask

    found = named(common_grid="mni152_brain", voxel_mm=mm)
    mask = load_mni152_brain_mask(resolution=1)
    brain = apply_affine(mask.affine, np.argwhere(mask.get_fdata() > 0))
    low, high = np.sort(
        apply_affine(found.affine, [[-0.5] * 3, np.array(found.shape) - 0.5]), axis=0
    )
    assert (brain.min(axis=0) - low > 0).all()
    assert (high - brain.max(axis=0) > 0).all()
    assert np.prod(found.shape) * mm**3 < 0.75 * 182 * 218 * 182


def test_a_named_grid_stands_in_place_of_the_presets():
    preset = {"shape": (4, 5, 6), "voxel_mm": 9.0, "centre_mm": (0, 0, 0)}
    found = named(preset=preset, common_grid="study64")
    assert (found.shape, found.centre_mm) == ((64, 64, 64), (0.0, -18.0, 8.0))
    found = named(preset={"common_grid": "study64"}, shape=(4, 5, 6), voxel_mm=9.0)
    assert (found.shape, found.voxel_mm, found.common_grid) == ((4, 5, 6), 9.0, None)
    again = ImagingPreprocess(**named(common_grid="study64").model_dump())
    assert again == named(common_grid="study64")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"common_grid": "mni"}, "expected one of study128, study64, mni152, mni152_brain"),
        ({"common_grid": "mni152"}, "an edge of voxels in mm"),
        ({"common_grid": "mni152_brain", "voxel_mm": 0}, "an edge of voxels in mm"),
        ({"common_grid": "study64", "shape": (4, 5, 6)}, r"study64 has a shape of its own"),
        ({"common_grid": "study64", "voxel_mm": 2.0}, r"study64 has a voxel_mm of its own"),
    ],
)
def test_what_is_said_of_a_named_grid_is_checked(wrong, says):
    with pytest.raises(ValidationError, match=says):
        named(**wrong)
