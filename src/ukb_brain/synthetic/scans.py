"""Write a person's scans as UK Biobank's bulk files."""

import io
import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from nibabel.affines import from_matvec
from nibabel.eulerangles import euler2mat
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from zlib_ng import gzip_ng

from ukb_brain.atomic import atomic_path
from ukb_brain.imaging.affines import Affine, fsl_mni, to_flirt
from ukb_brain.imaging.modalities import MNI, Modality, Scale
from ukb_brain.imaging.regions import TIAN_1, glasser_labels
from ukb_brain.imaging.resampling import resample
from ukb_brain.imaging.time_series import LABEL
from ukb_brain.synthetic import brains
from ukb_brain.synthetic.anatomy import CONTRASTS, Anatomy, build_anatomy
from ukb_brain.synthetic.brains import Mask, Points
from ukb_brain.synthetic.connectomes import (
    N_STYLES,
    SIFT2_WEIGHT,
    matrix_25750,
    simulate,
    streamlines,
)
from ukb_brain.synthetic.depth import GATES, Depth, draw_depth
from ukb_brain.synthetic.factors import (
    FACTORS,
    STABLE,
    factor_values,
    older,
    own_variation,
    site_indicators,
)
from ukb_brain.synthetic.folder import file_path
from ukb_brain.synthetic.people import Columns, latents, variates
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.visits import (
    DWI,
    FLAIR,
    MATRIX,
    OFFERED,
    SERIES,
    Scan,
    offered_scans,
    visits_of,
)

Members = dict[str, bytes]

# Of zlib-ng: as small as zlib's first, in half its time.
GZIP_LEVEL = 2
NATIVE_MM = (208, 256, 256)
LARGEST_SHIFT_MM = 12.0
# A modality that is drawn where the grid has it; how it follows FA, and its noise.
MD, FA_IN_MD, MD_NOISE = "md", 0.6, 0.03


@dataclass(frozen=True)
class PeopleBatch:
    """Some people whose scans one worker writes, and what preprocessing will read of them."""

    numbers: tuple[int, ...]
    cohort: SyntheticCohort
    anatomy: Path
    bulk: Path
    modalities: Mapping[str, Modality]


class _Drawn(NamedTuple):
    """Intensities of a brain at some of a grid's voxels; elsewhere is nothing.

    Voxels are numbered as NIfTI has them, the first axis running fastest, and lie in numpy's order.
    """

    shape: tuple[int, ...]
    affine: Affine
    voxels: NDArray[np.intp]
    images: brains.Images


@lru_cache(maxsize=1)
def _anatomy(path: Path) -> tuple[Anatomy, Mask, Points, torch.Tensor]:
    anatomy = Anatomy.load(path)
    mask, world = brains.brain_points(anatomy)
    reach = max(1, round(LARGEST_SHIFT_MM / float(anatomy.voxel_mm)))
    near = binary_dilation(mask, iterations=reach).astype(np.uint8)
    return anatomy, mask, world, torch.from_numpy(np.ascontiguousarray(near.T))


def _numbered(voxels: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.intp]:
    return voxels @ np.cumprod([1, *shape[:2]])


def write_anatomy(cohort: SyntheticCohort, folder: Path) -> Path:
    """Write the anatomy that all brains of a cohort share, unless it is there."""
    path = folder / f"anatomy_{cohort.voxel_mm:g}mm{'_depth' * cohort.depth}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        build_anatomy(cohort.voxel_mm, GATES if cohort.depth else ()).save(path)
    return path


def missing_files(
    cohort: SyntheticCohort, number: int, bulk: Path, modalities: Mapping[str, Modality]
) -> list[Scan]:
    """List scans of a person that should be on disk and are not, by visit."""
    asked = [record.field for record in modalities.values() if isinstance(record.field, int)]
    scans = (
        *visits_of(cohort.seed, number).scans,
        *offered_scans(cohort.seed, number, dict.fromkeys(asked)),
    )
    return [
        scan
        for scan in sorted(scans, key=lambda scan: scan.instance)
        if scan.state != "missing"
        and not (bulk / file_path(cohort.arrangement, scan, number)).exists()
    ]


def write_batch(batch: PeopleBatch) -> int:
    """Write what is missing of some people's scans, and count the files."""
    written = 0
    for number in batch.numbers:
        todo = missing_files(batch.cohort, number, batch.bulk, batch.modalities)
        for instance, scans in groupby(todo, key=lambda scan: scan.instance):
            session = Session(batch, number, instance)
            for scan in scans:
                session.write(scan)
        written += len(todo)
    return written


class Session:
    """One person at one imaging visit: what a scanner would make of the brain that was drawn."""

    def __init__(self, batch: PeopleBatch, number: int, instance: int) -> None:
        self.batch, self.number, self.instance = batch, number, instance
        self.cohort, self.seed = batch.cohort, [batch.cohort.seed, number]
        self.anatomy, self.mask, self.world, self.near = _anatomy(batch.anatomy)
        z = latents(variates(self.cohort.seed, [number], self.cohort.deep))
        rng = np.random.default_rng([*self.seed, 10])
        own = own_variation(rng)
        own["shapes"] = rng.standard_normal(len(self.anatomy.shapes))
        own["textures"] = rng.standard_normal(len(self.anatomy.textures))
        own["styles"] = rng.standard_normal(N_STYLES)
        if instance == 3:
            dates = visits_of(*self.seed).dates
            years = (dates[3] - dates[2]).days / 365.25
            z = older(z, years)
            rng = np.random.default_rng([*self.seed, 10 + instance])
            for name in [*FACTORS, "textures", "styles"]:
                new = rng.standard_normal(own[name].shape)
                own[name] = np.sqrt(STABLE) * own[name] + np.sqrt(1 - STABLE) * new
        site = site_indicators(z)[0]
        factors = {g: factor_values(g, z, own[g])[0] for g in FACTORS}
        self.brain = brains.Brain(
            factors["structural"],
            factors["diffusion"],
            site,
            own["shapes"],
            own["textures"],
            depth=self._depth(z) if self.cohort.depth else None,
        )
        self.tracts = factors["diffusion"]
        self.connectome = np.concatenate([factors["functional"], site, own["styles"]])
        self.motion, self.head = float(z["motion"][0]), float(z["head"][0])

    def _depth(self, z: Columns) -> Depth:
        likely = self.anatomy.lesions[self.mask]
        return draw_depth(self.cohort, self.number, z, likely, self.world)

    def write(self, scan: Scan) -> None:
        """Write a bulk file, or what is left of it."""
        path = self.batch.bulk / file_path(self.cohort.arrangement, scan, self.number)
        with atomic_path(path) as part:
            if scan.field == MATRIX:
                values = matrix_25750(self._regions[1])
                part.write_text("   ".join(f"{v:.6f}" for v in values) + "\n")
                return
            members = self._members(scan.field)
            if scan.state == "unusable":
                members = {re.sub("^([^/]+/)?", r"\1unusable/", n): c for n, c in members.items()}
            content = _zip(members)
            part.write_bytes(content[: len(content) // 3] if scan.state == "broken" else content)

    def _members(self, field: int) -> Members:
        if field == SERIES:
            return self._time_series()
        return self._streamlines(field) if field in OFFERED else self._images(field)

    def _noise_of(self, *scan: int) -> np.random.Generator:
        """Start a stream for each scan, so that a resumed person's files are the same."""
        return np.random.default_rng([*self.seed, self.instance, *scan])

    @cached_property
    def _regions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        sizes = (self.cohort.regions, self.cohort.time_points)
        return simulate(self.connectome, self.motion, *sizes, self._noise_of(SERIES))

    def head_position(self) -> Affine:
        """World coordinates of the native scan to MNI space: turned, shifted, scaled."""
        rng = np.random.default_rng([*self.seed, 20])
        turn = euler2mat(*np.deg2rad(rng.normal(0, [2.0, 2.0, 4.0])))
        scale = np.cbrt(1.29 - 0.11 * self.head) * np.exp(rng.normal(0, 0.008, 3))
        return np.asarray(from_matvec(np.diag(scale) @ turn, rng.normal(0, [2, 6, 6])))

    def _native_grid(self) -> tuple[tuple[int, int, int], Affine]:
        voxel = self.cohort.voxel_mm
        x, y, z = (round(n / voxel) for n in NATIVE_MM)
        shape = (x, y, z)
        gantry = euler2mat(0.0, 0.0, np.deg2rad(2.0)) @ np.diag([voxel] * 3)
        centre = np.array([0.0, -18.0, 10.0])
        middle = (np.array(shape) - 1) / 2
        return shape, np.asarray(from_matvec(gantry, centre - gantry @ middle))

    @cached_property
    def _native(self) -> _Drawn:
        shape, affine = self._native_grid()
        to_world = self.head_position() @ affine
        # Voxels that may hold brain once it is deformed; the rest need not be drawn.
        to_near = np.linalg.inv(fsl_mni(self.cohort.voxel_mm)[1]) @ to_world
        inside = resample(self.near[None], to_near[None], shape, interpolation="nearest")[1]
        voxels = inside[0].nonzero().numpy()
        world = voxels.astype(np.float32) @ to_world[:3, :3].T.astype(np.float32)
        world += to_world[:3, 3].astype(np.float32)
        images = brains.draw(self.anatomy, self.brain, world)
        return _Drawn(shape, affine, _numbered(voxels, shape), images)

    @cached_property
    def _in_mni(self) -> _Drawn:
        shape, affine = fsl_mni(self.cohort.voxel_mm)
        images = brains.draw(self.anatomy, brains.registered(self.brain), self.world)
        return _Drawn(shape, affine, _numbered(np.argwhere(self.mask), shape), images)

    def _images(self, field: int) -> Members:
        """Draw the images of a field that modalities are read from, and others beside them."""
        modalities = self.batch.modalities
        records = {k: r for k, r in modalities.items() if r.field == field and k in CONTRASTS}
        images = {
            record.member[0]: _packed(self.image(key, record, place))
            for place, (key, record) in enumerate(records.items())
        }
        matrices = {r.matrix: self._flirt() for r in records.values() if r.matrix}
        if MD in modalities and modalities[MD].field == field:
            images[modalities[MD].member[0]] = _packed(self._mean_diffusivity())
        return images | self._beside(field) | matrices

    def image(self, key: str, record: Modality, place: int) -> nib.Nifti1Image:
        """Draw an image with its noise; it is the field's first, second, … one."""
        contrast = CONTRASTS[key]
        drawn = self._in_mni if record.space == MNI else self._native
        # What is in MNI space was drawn inside the mask alone.
        inside = slice(None) if record.space == MNI else drawn.images["brain"] > 0.5
        values, voxels = drawn.images[key][inside], drawn.voxels[inside]
        stream = self._noise_of(int(record.field or 0), *([place] if place else []))
        noise = stream.standard_normal(len(values), dtype=np.float32)
        values = np.maximum(values + contrast.noise * noise, 0.01) * np.float32(contrast.unit)
        if isinstance(record.intensity, Scale):
            values = np.clip(values, *np.array(record.intensity.clamp, dtype=np.float32))
        return _nifti(drawn, values, voxels)

    def _mean_diffusivity(self) -> nib.Nifti1Image:
        """Draw mean diffusivity in mm²/s, which falls where anisotropy rises."""
        images = self._in_mni.images
        noise = MD_NOISE * self._noise_of(DWI, 1).standard_normal(len(images["dwi"]))
        values = np.maximum(images["brain"] - FA_IN_MD * images["dwi"] + noise, 0.05)
        return _nifti(self._in_mni, np.float32(0.001) * values.astype(np.float32))

    def _beside(self, field: int) -> Members:
        """Draw what else UK Biobank has in a field's zips."""
        native = self._native
        if field == FLAIR:
            lesions = _nifti(native, native.images["lesions"] > 1.2)
            return {"T2_FLAIR/lesions/final_mask.nii.gz": _packed(lesions)}
        if field == DWI:
            return {"dMRI/dMRI/dti_FA.nii.gz": _packed(_nifti(native, native.images["dwi"]))}
        in_mni = self._in_mni.images["t1"] * np.float32(CONTRASTS["t1"].unit)
        return {
            "T1/T1_brain_mask.nii.gz": _packed(_nifti(native, native.images["brain"] > 0.5)),
            "T1/T1_brain_to_MNI.nii.gz": _packed(_nifti(self._in_mni, in_mni)),
        }

    def _flirt(self) -> bytes:
        shape, affine = self._native_grid()
        to, reference = fsl_mni()
        flirt = to_flirt(self.head_position(), affine, shape, reference, to)
        # FLIRT leaves blanks at the end of its rows.
        return "".join("  ".join(f"{x:.10f}" for x in row) + "  \n" for row in flirt).encode()

    def _time_series(self) -> Members:
        table = pd.DataFrame(self._regions[0]).add_prefix("timepoint_")
        table.insert(0, LABEL, glasser_labels(len(table)))
        text = table.to_csv(index=False, float_format="%.4f")
        packed = gzip_ng.compress(text.encode(), GZIP_LEVEL, mtime=0)
        # Both are met: at the top of the zip, and in a folder.
        place = "fMRI/" if self.number % 2 else ""
        return {f"{place}fMRI.Glasser.csv.gz": packed}

    def _streamlines(self, field: int) -> Members:
        regions = self.cohort.regions + 2 * len(TIAN_1)
        counts = streamlines(self.tracts, regions, self._noise_of(field))
        matrices = {"streamline_count": counts, "sift2_fbc": SIFT2_WEIGHT * counts}
        return {
            f"connectome_{name}_10M.csv": "".join(
                ",".join(f"{value:.15g}" for value in row) + "\n" for row in matrix
            ).encode()
            for name, matrix in matrices.items()
        }


def _nifti(
    drawn: _Drawn, values: NDArray[Any], voxels: NDArray[np.intp] | None = None
) -> nib.Nifti1Image:
    """Make an image: masks as uint8, FA as float32, intensities as int16.

    Values are of all voxels that were drawn, or of those that are numbered.
    """
    if values.dtype == bool:
        kind: type[np.generic] = np.uint8
    elif values.max(initial=0) <= 2:
        kind = np.float32
    else:
        kind, values = np.int16, np.round(values)
    data = np.zeros(math.prod(drawn.shape), dtype=kind)
    data[drawn.voxels if voxels is None else voxels] = values
    image = nib.Nifti1Image(data.reshape(drawn.shape, order="F"), drawn.affine)
    image.set_qform(drawn.affine, code=1)
    return image


def _packed(image: nib.Nifti1Image) -> bytes:
    return gzip_ng.compress(image.to_bytes(), GZIP_LEVEL, mtime=0)


def _zip(members: Members) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)
    return packed.getvalue()
