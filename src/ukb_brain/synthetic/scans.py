"""Write a person's scans as UK Biobank's bulk files."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, from_matvec
from nibabel.eulerangles import euler2mat
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from ukb_brain.atomic import atomic_path
from ukb_brain.imaging.affines import Affine, fsl_mni, to_flirt
from ukb_brain.imaging.time_series import LABEL
from ukb_brain.synthetic import brains
from ukb_brain.synthetic.anatomy import Anatomy
from ukb_brain.synthetic.connectomes import N_STYLES, Connectome, matrix_25750, simulate
from ukb_brain.synthetic.factors import FACTORS, factor_values, site_indicators
from ukb_brain.synthetic.folder import file_path
from ukb_brain.synthetic.glasser import region_labels
from ukb_brain.synthetic.people import Columns, latents, variates
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.visits import DWI, FLAIR, MATRIX, SERIES, T1, Scan, Visits, visits_of

Members = dict[str, bytes]

NATIVE_MM = (208, 256, 256)
INTENSITY = 1000.0
LARGEST_SHIFT_MM = 12.0
# Share of a factor's own variation that is still there at the repeat scan.
STABLE = 0.9


@dataclass(frozen=True)
class Batch:
    """Some people whose scans one worker writes."""

    numbers: tuple[int, ...]
    cohort: SyntheticCohort
    anatomy: Path
    bulk: Path


@lru_cache(maxsize=1)
def _anatomy(
    path: Path,
) -> tuple[Anatomy, NDArray[np.bool_], NDArray[np.float64], NDArray[np.bool_]]:
    anatomy = Anatomy.load(path)
    mask, world = brains.brain_points(anatomy)
    reach = max(1, round(LARGEST_SHIFT_MM / float(anatomy.voxel_mm)))
    return anatomy, mask, world, binary_dilation(mask, iterations=reach)


def missing_files(cohort: SyntheticCohort, number: int, bulk: Path) -> list[Scan]:
    """List scans of a person that should be on disk and are not.

    Parameters
    ----------
    cohort : SyntheticCohort
        Its seed decides.
    number : int
        The person's own number.
    bulk : Path
        Folder of bulk files.

    Returns
    -------
    list of Scan
        Empty once the person is complete.
    """
    return [
        scan
        for scan in visits_of(cohort.seed, number).scans
        if scan.state != "missing"
        and not (bulk / file_path(cohort.arrangement, scan, number)).exists()
    ]


def write_batch(batch: Batch) -> int:
    """Write what is missing of some people's scans.

    Parameters
    ----------
    batch : Batch
        People and where their files go.

    Returns
    -------
    int
        Number of files written.
    """
    written = 0
    for number in batch.numbers:
        todo = missing_files(batch.cohort, number, batch.bulk)
        for instance in sorted({scan.instance for scan in todo}):
            session = _Session(batch, number, instance)
            for scan in todo:
                if scan.instance == instance:
                    session.write(scan)
                    written += 1
    return written


class _Session:
    """One person at one imaging visit."""

    def __init__(self, batch: Batch, number: int, instance: int) -> None:
        self.batch, self.number, self.instance = batch, number, instance
        self.anatomy, self.mask, self.world, self.near = _anatomy(batch.anatomy)
        self.visits: Visits = visits_of(batch.cohort.seed, number)
        z = latents(variates(batch.cohort.seed, [number]))
        first = np.random.default_rng([batch.cohort.seed, number, 10])
        own = {g: first.standard_normal((1, len(f))) for g, f in FACTORS.items()}
        shapes = first.standard_normal(brains.N_SHAPES)
        textures = first.standard_normal(len(self.anatomy.textures))
        styles = first.standard_normal(N_STYLES)
        self.rng = np.random.default_rng([batch.cohort.seed, number, 10 + instance])
        if instance == 3:
            z = z | self._older(z)
            own = {g: self._partly_new(o) for g, o in own.items()}
            textures, styles = self._partly_new(textures), self._partly_new(styles)
        site = site_indicators(z)[0]
        self.brain = brains.Brain(
            factor_values("structural", z, own["structural"])[0],
            factor_values("diffusion", z, own["diffusion"])[0],
            site,
            shapes,
            textures,
        )
        functional = factor_values("functional", z, own["functional"])[0]
        self.connectome = Connectome(functional, site, styles, float(z["motion"][0]))
        self.head = float(z["head"][0])
        self._native: tuple[dict[str, NDArray[np.float32]], Affine, Affine] | None = None
        self._mni: dict[str, NDArray[np.float32]] | None = None
        self._series: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def _partly_new(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        fresh = self.rng.standard_normal(values.shape)
        return np.sqrt(STABLE) * values + np.sqrt(1 - STABLE) * fresh

    def _older(self, z: Columns) -> Columns:
        years = (self.visits.dates[3] - self.visits.dates[2]).days / 365.25
        return {"age": z["age"] + years / 7.7, "age_years": z["age_years"] + years}

    def write(self, scan: Scan) -> None:
        make: dict[int, Callable[[], Members]] = {
            T1: self._t1,
            FLAIR: self._flair,
            DWI: self._dwi,
            SERIES: self._time_series,
        }
        path = self.batch.bulk / file_path(self.batch.cohort.arrangement, scan, self.number)
        with atomic_path(path) as part:
            if scan.field == MATRIX:
                values = matrix_25750(self._regions()[1])
                part.write_text("   ".join(f"{v:.6f}" for v in values) + "\n")
                return
            members = make[scan.field]()
            if scan.state == "unusable":
                members = {_under_unusable(name): content for name, content in members.items()}
            content = _zip(members)
            part.write_bytes(content[: len(content) // 3] if scan.state == "broken" else content)

    def _noise_of(self, field: int) -> np.random.Generator:
        """Start a stream for each scan, so that a resumed person's files are the same."""
        return np.random.default_rng([self.batch.cohort.seed, self.number, self.instance, field])

    def _regions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self._series is None:
            cohort = self.batch.cohort
            rng = self._noise_of(SERIES)
            self._series = simulate(self.connectome, cohort.regions, cohort.time_points, rng)
        return self._series

    def _head_position(self) -> Affine:
        """World coordinates of the native scan to MNI space: turned, shifted, scaled."""
        rng = np.random.default_rng([self.batch.cohort.seed, self.number, 20])
        turn = euler2mat(*np.deg2rad(rng.normal(0, [2.0, 2.0, 4.0])))
        scale = np.cbrt(1.29 - 0.11 * self.head) * np.exp(rng.normal(0, 0.008, 3))
        return np.asarray(from_matvec(np.diag(scale) @ turn, rng.normal(0, [2, 6, 6])))

    def _native_grid(self) -> tuple[tuple[int, ...], Affine]:
        voxel = self.batch.cohort.voxel_mm
        shape = tuple(round(n / voxel) for n in NATIVE_MM)
        gantry = euler2mat(0.0, 0.0, np.deg2rad(2.0)) @ np.diag([voxel] * 3)
        centre = np.array([0.0, -18.0, 10.0])
        middle = (np.array(shape) - 1) / 2
        return shape, np.asarray(from_matvec(gantry, centre - gantry @ middle))

    def _drawn(self) -> tuple[dict[str, NDArray[np.float32]], Affine, Affine]:
        if self._native is None:
            shape, affine = self._native_grid()
            to_mni = self._head_position()
            world = apply_affine(to_mni @ affine, np.moveaxis(np.indices(shape), 0, -1))
            inside = self._near_brain(world)
            drawn = brains.draw(self.anatomy, self.brain, world[inside])
            volumes = {}
            for name, values in drawn.items():
                volumes[name] = np.zeros(shape, dtype=np.float32)
                volumes[name][inside] = values
            self._native = (volumes, affine, to_mni)
        return self._native

    def _near_brain(self, world: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Points that may hold brain once it is deformed; the rest need not be drawn."""
        affine = fsl_mni(self.batch.cohort.voxel_mm)[1]
        index = np.rint(apply_affine(np.linalg.inv(affine), world)).astype(int)
        within = ((index >= 0) & (index < self.near.shape)).all(axis=-1)
        near = np.zeros(within.shape, dtype=bool)
        near[within] = self.near[tuple(index[within].T)]
        return near

    def _in_mni(self) -> dict[str, NDArray[np.float32]]:
        if self._mni is None:
            self._mni = brains.draw(self.anatomy, brains.registered(self.brain), self.world)
        return self._mni

    def _t1(self) -> Members:
        volumes, affine, to_mni = self._drawn()
        inside = volumes["brain"] > 0.5
        t1 = _with_noise(volumes["t1"], inside, brains.NOISE["t1"], self._noise_of(T1))
        flirt = to_flirt(to_mni, affine, t1.shape, fsl_mni()[1], fsl_mni()[0])
        in_mni = np.zeros(self.mask.shape, dtype=np.float32)
        in_mni[self.mask] = self._in_mni()["t1"]
        mni_affine = fsl_mni(self.batch.cohort.voxel_mm)[1]
        # FLIRT leaves blanks at the end of its rows.
        matrix = "\n".join("  ".join(f"{x:.10f}" for x in row) + "  " for row in flirt)
        return {
            "T1/T1_unbiased_brain.nii.gz": _nifti(t1 * INTENSITY, affine),
            "T1/T1_brain_mask.nii.gz": _nifti(inside, affine),
            "T1/T1_brain_to_MNI.nii.gz": _nifti(in_mni * INTENSITY, mni_affine),
            "T1/transforms/T1_to_MNI_linear.mat": f"{matrix}\n".encode(),
        }

    def _flair(self) -> Members:
        volumes, affine, _ = self._drawn()
        inside = volumes["brain"] > 0.5
        flair = _with_noise(volumes["flair"], inside, brains.NOISE["flair"], self._noise_of(FLAIR))
        return {
            "T2_FLAIR/T2_FLAIR_unbiased_brain.nii.gz": _nifti(flair * INTENSITY, affine),
            "T2_FLAIR/lesions/final_mask.nii.gz": _nifti(volumes["lesions"] > 1.2, affine),
        }

    def _dwi(self) -> Members:
        fa = np.zeros(self.mask.shape, dtype=np.float32)
        fa[self.mask] = self._in_mni()["fa"]
        fa = np.clip(_with_noise(fa, self.mask, brains.NOISE["fa"], self._noise_of(DWI)), 0, 1)
        affine = fsl_mni(self.batch.cohort.voxel_mm)[1]
        volumes, native_affine, _ = self._drawn()
        return {
            "dMRI/TBSS/FA/dti_FA_to_MNI.nii.gz": _nifti(fa, affine),
            "dMRI/dMRI/dti_FA.nii.gz": _nifti(volumes["fa"], native_affine),
        }

    def _time_series(self) -> Members:
        regions = self._regions()[0]
        points = ",".join(f"timepoint_{k}" for k in range(regions.shape[1]))
        text = io.StringIO()
        text.write(f"{LABEL},{points}\n")
        for label, series in zip(region_labels(len(regions)), regions, strict=True):
            text.write(f"{label}," + ",".join(f"{v:.4f}" for v in series) + "\n")
        packed = gzip.compress(text.getvalue().encode(), compresslevel=1, mtime=0)
        # Both are met: at the top of the zip, and in a folder.
        place = "fMRI/" if self.number % 2 else ""
        return {f"{place}fMRI.Glasser.csv.gz": packed}


def _with_noise(
    volume: NDArray[np.float32],
    inside: NDArray[np.bool_],
    sd: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    out = np.zeros_like(volume)
    noise = sd * rng.standard_normal(int(inside.sum()), dtype=np.float32)
    out[inside] = np.maximum(volume[inside] + noise, 0.01)
    return out


def _nifti(volume: NDArray[Any], affine: Affine) -> bytes:
    """Encode a gzipped NIfTI: masks as uint8, FA as float32, intensities as int16."""
    if volume.dtype == bool:
        data = volume.astype(np.uint8)
    elif volume.max() <= 2:
        data = volume.astype(np.float32)
    else:
        data = np.round(volume).astype(np.int16)
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, code=1)
    return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)


def _under_unusable(name: str) -> str:
    folder, _, rest = name.partition("/")
    return f"{folder}/unusable/{rest}" if rest else f"unusable/{name}"


def _zip(members: Members) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)
    return packed.getvalue()
