"""Small scans made by hand."""

import gzip
import io
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import yaml

from ukb_brain.imaging.affines import fsl_mni
from ukb_brain.imaging.modalities import ImagingPreprocess

ROOT = Path(__file__).parents[1]


def nifti(data, affine):
    """A gzipped NIfTI."""
    return gzip.compress(nib.Nifti1Image(data, affine).to_bytes(), mtime=0)


def zipped(members):
    """The bytes of a zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def world_of(shape, affine):
    """Places of all voxels in mm."""
    return nib.affines.apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))


def head(shape, affine, seed=0):
    """An ellipsoid of noise about (0, -18, 8) mm, brighter on the left (x < 0)."""
    x, y, z = np.moveaxis(world_of(shape, affine), -1, 0)
    inside = (x / 66) ** 2 + ((y + 18) / 84) ** 2 + ((z - 8) / 64) ** 2 < 1
    noise = np.random.default_rng(seed).uniform(0.9, 1.1, shape)
    return (inside * noise * np.where(x < -20, 2.0, 1.0)).astype(np.float32)


# An 8 mm native image whose determinant is positive, centred on x = 0.
NATIVE_SHAPE = (20, 25, 22)
NATIVE = np.array([[8.0, 0, 0, -76], [0, 8, 0, -114], [0, 0, 8, -76], [0, 0, 0, 1]])
# Its scaled x is 8·19 − 8i = 152 − (x + 76) = 76 − x, and FSL's is 90 − x: 14 mm to add. Likewise
# y + 114 to y + 126, and z + 76 to z + 72.
NATIVE_FLIRT = "1 0 0 14\n0 1 0 12\n0 0 1 -4\n0 0 0 1\n"


def t1_members(seed=0, prefix="T1/"):
    """Members of field 20252."""
    return {
        f"{prefix}T1_unbiased_brain.nii.gz": nifti(head(NATIVE_SHAPE, NATIVE, seed), NATIVE),
        f"{prefix}transforms/T1_to_MNI_linear.mat": NATIVE_FLIRT.encode(),
    }


def flair_members(seed=1):
    """Members of field 20253."""
    image = nifti(head(NATIVE_SHAPE, NATIVE, seed), NATIVE)
    return {"T2_FLAIR/T2_FLAIR_unbiased_brain.nii.gz": image}


def dwi_members(seed=2):
    """Members of field 20250."""
    shape, affine = fsl_mni(8)
    fa = 0.2 * head(shape, affine, seed)
    return {"dMRI/TBSS/FA/dti_FA_to_MNI.nii.gz": nifti(fa, affine)}


GLASSER = "fMRI.Glasser.csv.gz"


def series_text(seed=3, regions=5, order=None, lost=(), without=()):
    """A table of time series as its makers write it.

    `order` of regions, those `lost` without voxels, those `without` a row.
    """
    values = np.random.default_rng(seed).standard_normal((regions, 60))
    lines = ["label_name," + ",".join(f"timepoint_{k}" for k in range(60))]
    for k in order if order is not None else range(regions):
        if k not in without:
            cells = [""] * 60 if k in lost else map(str, values[k])
            lines.append(f"R_{k}_ROI," + ",".join(cells))
    return "\n".join(lines) + "\n"


def series_members(seed=3, regions=5, name=f"fMRI/{GLASSER}", **how):
    """Members of field 31016."""
    text = series_text(seed, regions, **how)
    return {name: gzip.compress(text.encode(), mtime=0)}


CONNECTOME = "connectome_sift2_fbc_10M.csv"


def connectome(regions, seed=0):
    """A symmetric matrix with heavy tails and many zeros, and streamlines within regions."""
    rng = np.random.default_rng(seed)
    half = np.tril(rng.lognormal(1, 2, (regions, regions)) * (rng.random((regions, regions)) < 0.6))
    half[1, 0] = 3.5
    return half + np.tril(half, -1).T


def connectome_text(matrix):
    """What MRtrix3 writes: 15 digits at most, commas, no header."""
    return "".join(",".join(f"{value:.15g}" for value in row) + "\n" for row in matrix)


def connectome_members(seed=4, regions=6, name=CONNECTOME):
    """Members of a field from 31020 to 31026."""
    return {name: connectome_text(connectome(regions, seed)).encode()}


STUDY = ("t1", "flair", "dwi", "rsfmri")


def imaging(wanted=STUDY, **given):
    """Settings of a small grid, with the study's modalities, or others, as conf/base has them."""
    text = (ROOT / "conf/base/parameters_imaging_preprocess.yml").read_text(encoding="utf-8")
    every = yaml.safe_load(text)["imaging_preprocess"]["modalities"]
    small = {
        "modalities": {key: every[key] for key in wanted},
        "shape": (8, 8, 8),
        "voxel_mm": 20.0,
    }
    return ImagingPreprocess(**(small | given))
