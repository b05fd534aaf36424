import gzip
import itertools

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.affines import apply_affine, from_matvec
from nibabel.eulerangles import euler2mat
from nibabel.processing import resample_from_to
from nilearn.image import resample_img
from scan_cases import imaging, world_of
from scipy.ndimage import affine_transform
from scipy.special import erf

from ukb_brain.imaging import resampling
from ukb_brain.imaging.affines import common_grid, fsl_mni, to_flirt
from ukb_brain.imaging.readers import flirt_to_world, to_common_grid
from ukb_brain.imaging.resampling import OWN_VARIANCE, SIGMA, resample, samples_per_voxel

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
DEVICES += ["mps"] if torch.backends.mps.is_available() else []

# --- points that are known ------------------------------------------------------------------

# In MNI space, far from any symmetry: left front, right back, low middle.
POINTS = np.array([[-32.0, 21.0, 27.0], [24.0, -55.0, 33.0], [9.0, -20.0, -18.0]])
BLOB_MM = 5.0
TURNED = euler2mat(0.3, -0.2, 0.15)
# Directions of a header's axes.
HEADERS = {
    "neurological": np.eye(3),
    "radiological": np.diag([-1.0, 1, 1]),
    "upside down": np.diag([1.0, 1, -1]),
    "axes swapped": np.array([[0.0, 0, -1], [-1, 0, 0], [0, 1, 0]]),
    "oblique": TURNED,
    "oblique, radiological": TURNED @ np.diag([-1.0, 1, 1]),
}
NATIVE_SHAPE, NATIVE_MM = (88, 92, 84), 2.0
# From native space to MNI: turned, grown and shifted.
WORLD = from_matvec(1.08 * euler2mat(-0.1, 0.05, 0.2), [4.0, -7.0, 3.0])


def phantom(directions, world, voxel_mm=NATIVE_MM, shape=NATIVE_SHAPE):
    """Blobs about points that `world` takes from native space to `POINTS`."""
    affine = from_matvec(voxel_mm * directions, [0, 0, 0])
    affine[:3, 3] = np.array([0, -18, 8]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    places = world_of(shape, affine)
    centres = apply_affine(np.linalg.inv(world), POINTS)
    squares = [((places - centre) ** 2).sum(axis=-1) for centre in centres]
    return sum(np.exp(-square / 2 / BLOB_MM**2) for square in squares).astype(np.float32), affine


def centre_near(volume, affine, point, reach=4 * BLOB_MM):
    """Middle of what lies about a point, in voxels."""
    voxels = np.indices(volume.shape).reshape(3, -1).T
    near = np.linalg.norm(apply_affine(affine, voxels) - point, axis=1) < reach
    return np.average(voxels[near], axis=0, weights=volume.reshape(-1)[near])


def written(data, affine, form):
    """A NIfTI's bytes with the one form only."""
    image = nib.Nifti1Image(data, None)
    image.header.set_zooms(nib.affines.voxel_sizes(affine))
    image.set_sform(affine if form == "sform" else None, code=int(form == "sform"))
    image.set_qform(affine if form == "qform" else None, code=int(form == "qform"))
    return image.to_bytes()


@pytest.mark.parametrize("form", ["sform", "qform"])
@pytest.mark.parametrize("directions", HEADERS.values(), ids=HEADERS)
def test_known_points_stay_within_a_tenth_of_a_voxel(zip_of, directions, form):
    data, affine = phantom(directions, WORLD)
    image = zip_of({"a.nii.gz": gzip.compress(written(data, affine, form))}).image("a.nii.gz")
    np.testing.assert_allclose(image.affine, affine, atol=1e-3)
    reference_shape, reference = fsl_mni()
    matrix = to_flirt(WORLD, affine, NATIVE_SHAPE, reference, reference_shape)
    for kind in ("none", "area", "gaussian"):
        settings = imaging(shape=(46, 55, 46), voxel_mm=4.0, filter=kind)
        moved, _ = to_common_grid(image, flirt_to_world(matrix, image), settings)
        for point in POINTS:
            expected = apply_affine(np.linalg.inv(settings.affine), point)
            found = centre_near(moved, settings.affine, point)
            assert np.abs(found - expected).max() < 0.1, kind


# --- against others -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def head():
    """A smooth brain-like image in an oblique native space, of float32, and the grid."""
    shape = (60, 70, 64)
    affine = from_matvec(3 * TURNED @ np.diag([-1.0, 1, 1]), [0, 0, 0])
    affine[:3, 3] = np.array([0, -18, 8]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    x, y, z = np.moveaxis(world_of(shape, affine), -1, 0)
    inside = (x / 66) ** 2 + ((y + 18) / 84) ** 2 + ((z - 8) / 64) ** 2 < 1
    noise = np.random.default_rng(0).uniform(0.8, 1.2, shape)
    data = inside * noise * (600 + 200 * np.sin(x / 9) * np.cos(y / 11))
    return nib.Nifti1Image(data.astype(np.float32), affine), imaging(
        shape=(52, 61, 50), voxel_mm=3.1, filter="none"
    )


def difference_inside(moved, other, inside):
    return np.abs(moved - other)[inside].mean() / np.ptp(other[inside])


def test_without_a_filter_it_is_what_nibabel_and_nilearn_resample(head):
    image, settings = head
    moved, inside = to_common_grid(image, np.eye(4), settings)
    assert 0.2 < inside.mean() < 0.6
    theirs = resample_from_to(image, (settings.shape, settings.affine), order=1).get_fdata()
    assert difference_inside(moved, theirs, inside) < 0.001
    theirs = resample_img(
        image, settings.affine, settings.shape, interpolation="linear", copy_header=True
    ).get_fdata()
    assert difference_inside(moved, theirs, inside) < 0.001


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_it_is_what_scipy_interpolates_up_to_the_edges(dtype):
    """Values reach the edges of the volume, and the grid reaches beyond all of them."""
    data = np.random.default_rng(0).integers(1, 200, (9, 11, 8)).astype(dtype)
    to_source = from_matvec(0.7 * TURNED, [-3.0, -1.5, -2.0])
    moved = of_one(data, to_source, (24, 23, 22))[0]
    expected = affine_transform(
        data.astype(np.float32), to_source[:3, :3], to_source[:3, 3], (24, 23, 22), order=1
    )
    np.testing.assert_allclose(moved, expected, atol=0.02)
    assert (expected != 0).any()


def of_one(data, to_source, shape, *how, device="cpu", **more):
    volume = torch.from_numpy(np.ascontiguousarray(data.T)[None]).to(device)
    found = resample(volume, to_source[None], shape, *how, **more)
    return [each[0].cpu().numpy() for each in found]


# --- against integrals ----------------------------------------------------------------------

WIDTH_MM = 9.0
CENTRES = np.array([[-30.0, 20.0, 25.0], [22.0, -50.0, 30.0], [5.0, -22.0, -15.0]])


def integrals(shape, affine, half, variance):
    """Means over cubes, of half an edge in mm, of Gaussian blobs blurred further."""
    width = np.sqrt(2 * (WIDTH_MM**2 + variance))
    places = world_of(shape, np.eye(4)).astype(float)
    total = np.zeros(shape)
    # Blobs are round, so that integrals along the axes of the grid are products.
    linear = affine[:3, :3] / np.abs(np.linalg.det(affine[:3, :3])) ** (1 / 3)
    for centre in CENTRES:
        along = (affine[:3, :3] @ places.reshape(-1, 3).T).T + affine[:3, 3] - centre
        along = along @ linear
        part = (erf((along + half) / width) - erf((along - half) / width)) / (4 * half)
        scale = np.sqrt(np.pi) * width * (WIDTH_MM / np.sqrt(WIDTH_MM**2 + variance))
        total += np.prod(part * scale, axis=1).reshape(shape)
    return total


@pytest.fixture(scope="module")
def blobs():
    """Gaussian blobs as voxels of 1 mm average them, a little turned."""
    shape = (130, 150, 125)
    affine = from_matvec(euler2mat(0.05, -0.04, 0.08), [0, 0, 0])
    affine[:3, 3] = np.array([0, -18, 8]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return integrals(shape, affine, 0.5, 0.0).astype(np.float32), affine


@pytest.mark.parametrize("voxel_mm", [2.857, 4.0, 6.0])
def test_a_filter_gives_the_integrals_of_an_analytic_phantom(blobs, voxel_mm):
    data, affine = blobs
    shape = tuple(round(n / voxel_mm) for n in (100, 115, 95))
    target = common_grid(shape, voxel_mm, (0, -18, 8))
    to_source = np.linalg.inv(affine) @ target
    bare, _ = of_one(data, to_source, shape)
    # A voxel's mean; or a point seen through a Gaussian, whose whole blur is said to be this.
    wanted = {
        "area": integrals(shape, target, voxel_mm / 2, 0.0),
        "gaussian": integrals(shape, target, 1e-3, (SIGMA * voxel_mm) ** 2),
    }
    for kind, expected in wanted.items():
        moved, _ = of_one(data, to_source, shape, voxel_mm, kind)
        # Linear interpolation blurs a little beyond an average.
        assert np.abs(moved - expected).max() < 0.02 * expected.max(), kind
        assert np.abs(moved - expected).mean() < np.abs(bare - expected).mean() / 2, kind


def test_a_filter_averages_noise_away():
    noise = np.random.default_rng(0).standard_normal((120, 120, 120)).astype(np.float32)
    to_source = from_matvec(2.857 * euler2mat(0.05, -0.04, 0.08), [3.0, 3.0, 3.0])
    kept = {
        kind: of_one(noise, to_source, (36, 36, 36), 2.857, kind)[0][3:-3, 3:-3, 3:-3].std()
        for kind in ("none", "area", "gaussian")
    }
    # Averages of 2.857³ voxels.
    assert kept["area"] == pytest.approx(2.857**-1.5, rel=0.05)
    assert kept["none"] > 2.4 * kept["area"]
    assert kept["gaussian"] < kept["area"]


@pytest.mark.parametrize(("growth", "n"), [(1, 1), (1.43, 1), (1.5, 1), (2.857, 2), (4, 3), (8, 6)])
def test_samples_lie_no_farther_apart_than_voxels_and_a_half(growth, n):
    assert samples_per_voxel(growth, "gaussian") == samples_per_voxel(growth, "area") == n
    assert samples_per_voxel(growth, "none") == 1


@pytest.mark.parametrize("growth", [2.857, 4.0, 6.0])
def test_weights_have_the_variance_that_is_said(growth):
    n = samples_per_voxel(growth, "gaussian")
    weights = resampling._weights(15, n, growth, "gaussian")[7]
    places = (np.arange(15 * n) + 0.5) / n - 0.5 - 7
    assert weights.sum() == pytest.approx(1)
    assert weights @ places == pytest.approx(0, abs=1e-6)
    variance = weights @ places**2 + OWN_VARIANCE / growth**2
    assert np.sqrt(variance) == pytest.approx(SIGMA, rel=0.02)


# --- brains, batches, devices ---------------------------------------------------------------


def test_inside_is_where_the_nearest_voxel_is_not_0():
    data = np.zeros((30, 31, 29), np.int16)
    data[8:22, 9:20, 7:21] = 5
    to_source = from_matvec(0.8 * TURNED, [3.0, 4.0, 2.0])
    for how in ((1.0, "none"), (3.0, "gaussian")):
        _, inside = of_one(data, to_source, (30, 30, 30), *how)
        expected = affine_transform(
            data, to_source[:3, :3], to_source[:3, 3], (30, 30, 30), order=0
        )
        assert (inside != (expected != 0)).mean() < 1e-4
        assert inside.any()


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
def test_where_only_the_inside_is_wanted_it_is_the_same(interpolation):
    rng = np.random.default_rng(0)
    data = np.where(rng.random((26, 23, 21)) < 0.7, rng.integers(1, 900, (26, 23, 21)), 0)
    # Some of the grid lies outside the volume.
    to_source = from_matvec(1.1 * TURNED, [-4.0, 6.0, 3.0])
    how = ((24, 25, 26), 1.1, "none", interpolation)
    values, inside = of_one(data.astype(np.int16), to_source, *how)
    quick, same_inside = of_one(data.astype(np.int16), to_source, *how, only_inside=True)
    np.testing.assert_array_equal(same_inside, inside)
    assert 0.1 < inside.mean() < 0.6
    np.testing.assert_array_equal(quick[inside], values[inside])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["none", "gaussian"])
def test_a_batch_is_its_volumes_and_every_device_gives_the_same(kind, device):
    rng = np.random.default_rng(0)
    volumes = np.zeros((3, 40, 36, 44), np.float32)
    for volume, low in zip(volumes, (4, 9, 14), strict=True):
        volume[low : low + 20, low : low + 18, low : low + 22] = rng.uniform(1, 2, (20, 18, 22))
    turns = [euler2mat(*angles) for angles in itertools.islice(rng.uniform(-1, 1, (9, 3)), 3)]
    maps = np.stack([from_matvec(2.2 * turn, rng.uniform(-5, 20, 3)) for turn in turns])
    how = ((21, 22, 23), 2.2, kind)
    moved, inside = resample(torch.from_numpy(volumes).to(device), maps, *how)
    for k in range(3):
        alone = of_one(volumes[k].T, maps[k], *how)
        np.testing.assert_allclose(moved[k].cpu(), alone[0], atol=1e-5)
        np.testing.assert_array_equal(inside[k].cpu(), alone[1])
        assert alone[1].any()


def test_slabs_change_nothing(monkeypatch):
    data = np.random.default_rng(0).uniform(1, 2, (20, 22, 24)).astype(np.float32)
    to_source = from_matvec(TURNED, [1.0, 2.0, 3.0])
    whole = of_one(data, to_source, (20, 21, 22))
    monkeypatch.setattr(resampling, "POINTS", 1)
    for one, other in zip(of_one(data, to_source, (20, 21, 22)), whole, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shift", [1e4, -1e5])
def test_a_volume_that_is_elsewhere_gives_nothing(shift):
    moved, inside = of_one(
        np.ones((7, 8, 9), np.float32), from_matvec(np.eye(3), [shift] * 3), (5, 6, 7)
    )
    assert moved.shape == (5, 6, 7)
    assert not moved.any()
    assert not inside.any()
