from dataclasses import fields, replace

import numpy as np
import pytest
from nibabel.affines import apply_affine

from ukb_brain.synthetic import brains
from ukb_brain.synthetic.anatomy import CONTRASTS, contrasts_of
from ukb_brain.synthetic.factors import FACTORS
from ukb_brain.synthetic.people import SITES

STRUCTURAL = [f.name for f in FACTORS["structural"]]
DIFFUSION = [f.name for f in FACTORS["diffusion"]]


@pytest.fixture(scope="module")
def world(anatomy):
    return brains.brain_points(anatomy)[1]


def with_weight(anatomy, group, k, value):
    brain = brains.mean_brain(anatomy)
    weights = getattr(brain, group).copy()
    weights[k] = value
    return replace(brain, **{group: weights})


def changed(anatomy, world, group, k, value=3.0):
    plain = brains.draw(anatomy, brains.mean_brain(anatomy), world)
    other = brains.draw(anatomy, with_weight(anatomy, group, k, value), world)
    return {name: other[name] - plain[name] for name in plain}


def test_an_average_brain_has_the_contrasts_of_its_scans(anatomy, world):
    drawn = brains.draw(anatomy, brains.mean_brain(anatomy), world)
    voxels = tuple(np.argwhere(brains.brain_points(anatomy)[0]).T)
    white = anatomy.white[voxels] > 0.85
    grey = anatomy.grey[voxels] > 0.7
    assert drawn["t1"][white].mean() > drawn["t1"][grey].mean()
    assert drawn["flair"][grey].mean() > 0.9 * drawn["flair"][white].mean()
    assert drawn["dwi"][white].mean() > 2 * drawn["dwi"][grey].mean()
    assert drawn["dwi"].min() >= 0
    assert drawn["dwi"].max() < 1


def test_points_far_outside_are_empty(anatomy):
    drawn = brains.draw(
        anatomy, brains.mean_brain(anatomy), np.array([[500.0, 0, 0], [0, 0, -400]])
    )
    assert all((values == 0).all() for values in drawn.values())


def test_older_brains_have_larger_ventricles(anatomy, world):
    change = changed(anatomy, world, "structural", STRUCTURAL.index("ventricles"))
    near = np.linalg.norm(world - [0, -18, 14], axis=1) < 45
    assert change["t1"][near].sum() < -1
    younger = changed(anatomy, world, "structural", STRUCTURAL.index("ventricles"), -3.0)
    assert younger["t1"][near].sum() > 0.3
    assert abs(change["t1"][~near]).mean() < 0.2 * abs(change["t1"][near]).mean()


def test_older_brains_have_a_thinner_rim(anatomy, world):
    change = changed(anatomy, world, "structural", STRUCTURAL.index("thinning"))
    outer = np.linalg.norm((world - [0, -18, 8]) / [68, 86, 66], axis=1) > 0.9
    assert change["t1"][outer].mean() < 1.5 * change["t1"][~outer].mean() < 0
    assert not change["dwi"].any()


def test_vascular_load_shows_as_bright_flair_and_is_never_negative(anatomy, world):
    k = STRUCTURAL.index("lesions")
    change = changed(anatomy, world, "structural", k)
    place = brains.draw(anatomy, brains.mean_brain(anatomy), world)["lesions"] > 0.3
    assert change["flair"][place].mean() > 0.1
    assert change["t1"][place].mean() < 0
    none = brains.draw(anatomy, with_weight(anatomy, "structural", k, -9.0), world)
    np.testing.assert_array_equal(none["lesions"], 0)


def test_age_lowers_anisotropy_nearly_everywhere(anatomy, world):
    change = changed(anatomy, world, "diffusion", DIFFUSION.index("age_fa"))
    assert (change["dwi"] <= 0).mean() > 0.9
    assert not change["t1"].any()
    assert not change["flair"].any()


@pytest.mark.parametrize("group", ["structural", "diffusion", "site", "shapes", "textures"])
def test_every_weight_changes_the_images(anatomy, world, group):
    some = world[::7]
    for k in range(len(getattr(brains.mean_brain(anatomy), group))):
        change = changed(anatomy, some, group, k)
        assert max(abs(change[name]).max() for name in ("t1", "flair", "dwi")) > 0.01


@pytest.mark.parametrize("site", range(len(SITES)))
def test_sites_have_their_own_contrast(anatomy, world, site):
    change = changed(anatomy, world, "site", site, 1.0)
    assert 0.005 < abs(change["t1"]).mean() < 0.1


def test_registration_removes_shapes_of_known_origin(anatomy, world):
    rng = np.random.default_rng(0)
    weights = {f.name: rng.standard_normal(len(getattr(brains.mean_brain(anatomy), f.name)))
               for f in fields(brains.Brain) if f.name not in ("aligned", "depth")}  # fmt: skip
    brain = brains.Brain(**weights)
    registered = brains.registered(brain)
    assert not registered.moving.any()
    np.testing.assert_array_equal(brain.moving, brain.structural)
    np.testing.assert_allclose(registered.shapes, brains.SHAPE_LEFT * brain.shapes)
    # So that diffusion does not show what only structural images show.
    other = replace(brain, structural=-brain.structural)
    np.testing.assert_array_equal(
        brains.draw(anatomy, registered, world)["dwi"],
        brains.draw(anatomy, brains.registered(other), world)["dwi"],
    )
    np.testing.assert_array_equal(registered.diffusion, brain.diffusion)


def test_brain_points_are_the_voxels_of_the_mask(anatomy):
    mask, world = brains.brain_points(anatomy)
    assert len(world) == mask.sum()
    # Voxel (i, j, k) of the 8 mm grid lies at (90 − 8i, −126 + 8j, −72 + 8k).
    i, j, k = np.argwhere(mask)[100]
    np.testing.assert_array_equal(world[100], [90 - 8 * i, -126 + 8 * j, -72 + 8 * k])
    assert apply_affine(np.eye(4), world).shape == (mask.sum(), 3)


@pytest.fixture(scope="module")
def errors(anatomy):
    return brains.readout_error(anatomy, 8)


def test_readout_errors_are_covariances(errors):
    for group, error in errors.items():
        n = len(FACTORS[group]) + len(SITES)
        assert error.shape == (n, n)
        np.testing.assert_allclose(error, error.T, atol=1e-10)
        assert np.linalg.eigvalsh(error).min() > 0
    assert set(errors) == {"structural", "diffusion"}


def test_more_voxels_never_read_less(anatomy, errors):
    finer = brains.readout_error(anatomy, 4)
    for group in errors:
        assert (np.diag(finer[group]) < np.diag(errors[group])).all()
        assert np.linalg.eigvalsh(errors[group] - finer[group]).min() > -1e-9


@pytest.fixture(scope="module")
def readings(anatomy, world):
    """Factors of 150 people, and what generalised least squares reads off their images."""
    out = {}
    for group in brains.VOLUMETRIC:
        contrasts = contrasts_of(group)
        rng = np.random.default_rng(2)
        scale = 1 / np.concatenate([np.full(len(world), CONTRASTS[c].noise) for c in contrasts])
        wanted = brains.derivatives(anatomy, world, (group, "site"), group) * scale
        unknown = brains.derivatives(anatomy, world, ("shapes", "textures"), group) * scale
        both = np.vstack([wanted, unknown])
        prior = np.diag([*np.full(len(wanted), 1e-6), *np.ones(len(unknown))])
        reader = np.linalg.solve(both @ both.T + prior, both)[: len(FACTORS[group])]
        true, read = [], []
        for _ in range(150):
            brain = brains.Brain(
                rng.standard_normal(len(STRUCTURAL)),
                rng.standard_normal(len(DIFFUSION)),
                np.eye(len(SITES))[rng.integers(len(SITES))],
                rng.standard_normal(anatomy.shapes.shape[0]),
                rng.standard_normal(len(anatomy.textures)),
            )
            shown = brains.registered(brain) if group == "diffusion" else brain
            drawn = brains.draw(anatomy, shown, world)
            image = np.concatenate([drawn[c] for c in contrasts]) * scale
            true.append(getattr(brain, group))
            read.append(reader @ (image + rng.standard_normal(len(image))))
        out[group] = np.array(true), np.array(read)
    return out


@pytest.mark.parametrize("group", brains.VOLUMETRIC)
def test_no_linear_reader_beats_the_readout_error(errors, readings, group):
    true, read = readings[group]
    claimed = np.diag(errors[group])[: true.shape[1]]
    # The standard error of a variance from 150 people is 12 %.
    assert ((read - true).var(axis=0) > 0.6 * claimed).all()


def test_diffusion_is_read_as_well_as_claimed(errors, readings):
    true, read = readings["diffusion"]
    claimed = np.diag(errors["diffusion"])[: true.shape[1]]
    assert ((read - true).var(axis=0) < 2 * claimed).all()


def test_structure_is_read_nearly_as_well_as_claimed(readings):
    """Shapes bend images more than a derivative says; the ventricles are bent most."""
    true, read = readings["structural"]
    found = {n: np.corrcoef(true[:, k], read[:, k])[0, 1] for k, n in enumerate(STRUCTURAL)}
    assert found.pop("ventricles") > 0.2
    assert min(found.values()) > 0.9
