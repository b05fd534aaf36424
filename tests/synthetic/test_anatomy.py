from dataclasses import fields

import numpy as np
import pytest
from nibabel.affines import apply_affine
from nilearn.datasets import load_mni152_gm_template
from nilearn.image import smooth_img
from scipy.ndimage import map_coordinates

from ukb_brain.imaging.affines import fsl_mni
from ukb_brain.synthetic.anatomy import (
    COARSE_MM,
    FIELDS,
    N_SHAPES,
    Anatomy,
    build_anatomy,
)
from ukb_brain.synthetic.factors import FACTORS
from ukb_brain.synthetic.people import SITES

COARSE = fsl_mni(COARSE_MM)[0]


def test_maps_lie_on_fsls_grid(anatomy):
    for name in ("grey", "white", "fluid", "lesions"):
        tissue = getattr(anatomy, name)
        assert tissue.shape == (23, 28, 23)
        assert tissue.dtype == np.float32
        assert tissue.min() >= 0
        assert tissue.max() <= 1.001
    assert anatomy.factor_shapes.shape == (len(FACTORS["structural"]), 3, *COARSE)
    assert anatomy.shapes.shape == (N_SHAPES, 3, *COARSE)
    for group in ("structural", "diffusion"):
        shape = (len(FACTORS[group]), len(FIELDS), *COARSE)
        assert getattr(anatomy, group).shape == shape
    assert anatomy.sites.shape == (len(SITES), len(FIELDS), *COARSE)


def test_tissues_share_each_voxel(anatomy):
    total = anatomy.grey + anatomy.white + anatomy.fluid
    assert total.max() < 1.1
    millilitres = total.sum() * 8**3 / 1000
    assert 1300 < millilitres < 2200


def test_the_template_is_where_it_was(anatomy):
    """nilearn's grid has another shape, origin and direction of x: places in mm decide.

    The template is symmetric, so that a swap of left and right cannot be seen in it.
    """
    template = smooth_img(load_mni152_gm_template(resolution=1), fwhm=0.8 * 8)
    inside = anatomy.grey + anatomy.white > 0.3
    places = apply_affine(fsl_mni(8)[1], np.argwhere(inside))

    def agreement(shift):
        voxels = apply_affine(np.linalg.inv(template.affine), places + shift)
        there = map_coordinates(template.get_fdata(), voxels.T, order=1)
        return np.corrcoef(anatomy.grey[inside], there)[0, 1]

    assert agreement([0, 0, 0]) > 0.999
    for shift in ([8, 0, 0], [0, 8, 0], [0, 0, 8]):
        assert agreement(shift) < 0.97


def test_nothing_lies_outside_the_head(anatomy):
    # The corners of the box, and what lies left of, behind and above every head.
    for tissue in (anatomy.grey, anatomy.white, anatomy.fluid):
        assert tissue[0].max() == tissue[-1].max() == tissue[:, 0].max() == tissue[:, -1].max() == 0


def test_lesions_arise_in_white_matter_around_the_ventricles(anatomy):
    assert (anatomy.lesions <= anatomy.white + 1e-6).all()
    centre = np.average(apply_affine(fsl_mni(8)[1], np.argwhere(anatomy.lesions > 0.1)), axis=0)
    np.testing.assert_allclose(centre, [0, -18, 18], atol=12)


def test_each_imaging_group_changes_its_own_contrasts(anatomy):
    fa = list(FIELDS).index("fa")
    assert not anatomy.structural[:, fa].any()
    assert not np.delete(anatomy.diffusion, fa, axis=1).any()
    # Every factor shows somewhere.
    drawn_otherwise = {"ventricles", "shape", "lesions"}
    for k, factor in enumerate(FACTORS["structural"]):
        assert anatomy.structural[k].any() or factor.effect in drawn_otherwise, factor.name
    assert all(effect.any() for effect in anatomy.diffusion)


def test_effect_maps_are_not_alike(anatomy):
    maps = anatomy.diffusion[:, list(FIELDS).index("fa")].reshape(len(FACTORS["diffusion"]), -1)
    together = np.corrcoef(maps) - np.eye(len(maps))
    assert abs(together).max() < 0.4


def test_displacements_leave_no_fold(anatomy):
    """A field bends less than a voxel per voxel, also three units out."""
    for field in (*anatomy.factor_shapes, *anatomy.shapes):
        for axis in range(3):
            assert abs(3 * np.diff(field, axis=axis + 1)).max() < COARSE_MM


def test_the_same_anatomy_everywhere(anatomy):
    again = build_anatomy(8)
    for field in fields(Anatomy):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(anatomy, field.name))


def test_effect_maps_do_not_depend_on_the_voxel_size(anatomy):
    other = build_anatomy(10)
    assert other.grey.shape == fsl_mni(10)[0]
    for name in ("factor_shapes", "structural", "diffusion", "sites", "textures"):
        np.testing.assert_array_equal(getattr(other, name), getattr(anatomy, name))


def test_saved_anatomy_comes_back(anatomy, tmp_path):
    anatomy.save(tmp_path / "anatomy.npz")
    loaded = Anatomy.load(tmp_path / "anatomy.npz")
    for field in fields(Anatomy):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(anatomy, field.name))
    assert [p.name for p in tmp_path.iterdir()] == ["anatomy.npz"]


def test_an_anatomy_that_cannot_be_written_leaves_the_old_one(anatomy, tmp_path, monkeypatch):
    path = tmp_path / "anatomy.npz"
    path.write_bytes(b"old")

    def full(file, **_):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        anatomy.save(path)
    assert path.read_bytes() == b"old"
