"""The resampling benchmark: one person's zips of real shapes to the study's grids, on one core.

Ours, plain nibabel with scipy, and MONAI where it is installed, each from the same zips to z-scores
in memory, a round of all after the other; ratios are medians over rounds. Members are compressed as
FSL does, at gzip's level 6. What the filter is worth is measured on white noise and on waves.
"""

from __future__ import annotations

import gzip
import importlib.util
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
import yaml
from nibabel.eulerangles import euler2mat
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter
from threadpoolctl import threadpool_limits

from benchmarks.record import WORK, Figure, show
from benchmarks.runs import PROJECT
from ukb_brain.imaging import resampling
from ukb_brain.imaging.bulk import BulkFile, _unpacked
from ukb_brain.imaging.modalities import MNI, ImagingPreprocess
from ukb_brain.imaging.readers import Parcellation, Visit, flirt_to_world, read_volume
from ukb_brain.imaging.resampling import OWN_VARIANCE, SIGMA, Filter, resample
from ukb_brain.synthetic import scans
from ukb_brain.synthetic.anatomy import build_anatomy
from ukb_brain.synthetic.settings import SyntheticCohort
from ukb_brain.synthetic.visits import DWI, FLAIR, T1, Scan

ROUNDS, FSL_LEVEL, SEED = 7, 6, 1
VOLUMES = ("t1", "flair", "dwi")
GRIDS = {"study128": 128, "study64": 64}
# At least so many times as fast as others, and at most so many times what reading takes.
FASTER = {"study128": 3.0, "study64": 1.5}
FASTER_FILTERED = 3.0
OF_READING = {"study128": 2.0, "study64": 1.3}
OURS, OURS_FILTERED = "ours", "ours, Gaussian"
PLAIN, PLAIN_FILTERED = "nibabel and scipy", "nibabel and scipy, Gaussian"
MONAI = "MONAI, Gaussian"
READING, ZLIB = "reading and inflating", "reading and inflating by zlib"
# In SD of the brain; the noise of a scan is some tenths.
MOST_ERROR = 0.02
# Edge of a target voxel in source voxels: 64³, and 4 mm, of 1 mm.
GROWTHS = (2 / 0.7, 4.0)


def settings_of(grid: str, kind: Filter, **more: float) -> ImagingPreprocess:
    """Give the settings of a named grid and a filter, with the modalities of conf/base."""
    text = (PROJECT / "conf/base/parameters_imaging_preprocess.yml").read_text(encoding="utf-8")
    records = yaml.safe_load(text)["imaging_preprocess"]["modalities"]
    return ImagingPreprocess(modalities=records, common_grid=grid, filter=kind, **more)


def write_person(folder: Path, settings: ImagingPreprocess) -> Visit:
    """Write one person's zips at UK Biobank's own shapes."""
    folder.mkdir(parents=True)
    anatomy = folder / "anatomy.npz"
    build_anatomy(1).save(anatomy)
    cohort = SyntheticCohort(participants=1, voxel_mm=1, regions=25, time_points=60, seed=SEED)
    session = scans.Session(
        scans.PeopleBatch((1,), cohort, anatomy, folder, settings.modalities), 1, 2
    )
    files = {}
    for field in (T1, FLAIR, DWI):
        (folder / str(field)).mkdir()
        scan = Scan(field, 2, "ok")
        session.write(scan)
        path = next((folder / str(field)).iterdir())
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                if name.endswith(".gz"):
                    content = gzip.compress(gzip.decompress(content), FSL_LEVEL)
                archive.writestr(name, content)
        files[field] = BulkFile(path)
    return Visit((1, 2), files)


def _ours(visit: Visit, settings: ImagingPreprocess) -> None:
    for modality in VOLUMES:
        read_volume(modality, visit, settings, Parcellation())


def _reading(visit: Visit, settings: ImagingPreprocess) -> None:
    for modality in VOLUMES:
        name = settings.modalities[modality].member[0]
        _unpacked(visit.file(settings.fields[modality]).member(name), name)


def _reading_by_zlib(visit: Visit, settings: ImagingPreprocess) -> None:
    for modality in VOLUMES:
        member = settings.modalities[modality].member[0]
        gzip.decompress(visit.file(settings.fields[modality]).member(member))


def _plainly_read(
    modality: str, visit: Visit, settings: ImagingPreprocess
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Give an image, by nothing but nibabel, and where its voxels lie in MNI space."""
    record = settings.modalities[modality]
    with zipfile.ZipFile(visit.files[settings.fields[modality]].path) as archive:
        image = nib.Nifti1Image.from_bytes(gzip.decompress(archive.read(record.member[0])))
    affine = image.affine
    if record.space != MNI:
        matrix = visit.files[settings.fields[record.space]].matrix(
            settings.modalities[record.space].matrix
        )
        affine = np.linalg.inv(flirt_to_world(matrix, image)) @ affine
    return np.asarray(image.dataobj, dtype=np.float32), affine


def _sigma(growth: float) -> float:
    return float(np.sqrt(max(0.0, (SIGMA * growth) ** 2 - OWN_VARIANCE)))


def _z_scored(volume: NDArray[np.float32]) -> NDArray[np.float16]:
    inside = volume > 0
    clipped = np.clip(volume, *np.percentile(volume[inside], (0.5, 99.5)))
    clipped[~inside] = 0
    values = clipped[inside]
    return ((clipped - values.mean()) / values.std()).astype(np.float16)


def _plain(visit: Visit, settings: ImagingPreprocess, filtered: bool) -> None:
    for modality in VOLUMES:
        data, affine = _plainly_read(modality, visit, settings)
        if filtered and (sigma := _sigma(settings.voxel_mm)):
            data = gaussian_filter(data, sigma)
        to_source = np.linalg.inv(affine) @ settings.affine
        moved = affine_transform(
            data, to_source[:3, :3], to_source[:3, 3], output_shape=settings.shape, order=1
        )
        _z_scored(moved)


def _monai(visit: Visit, settings: ImagingPreprocess) -> None:
    from monai.data import MetaTensor
    from monai.transforms import GaussianSmooth, SpatialResample

    to_grid = SpatialResample(mode="bilinear", padding_mode="zeros", dtype=torch.float32)
    for modality in VOLUMES:
        data, affine = _plainly_read(modality, visit, settings)
        volume = MetaTensor(torch.from_numpy(data)[None], affine=torch.from_numpy(affine))
        if sigma := _sigma(settings.voxel_mm):
            volume = GaussianSmooth(sigma)(volume)
        moved = to_grid(volume, torch.from_numpy(settings.affine), settings.shape)
        _z_scored(np.asarray(moved[0]))


def timed(ways: dict[str, Callable[[], None]]) -> dict[str, NDArray[np.float64]]:
    """Take all ways in turn, rounds on end: (rounds, 2) seconds of wall and of CPU each."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(ROUNDS):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            found[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: np.array(seconds) for name, seconds in found.items()}


def speed(grid: str, visit: Visit) -> list[Figure]:
    """Measure all ways to one grid; ratios of CPU seconds, with those of wall beside them."""
    bare, filtered = settings_of(grid, "none"), settings_of(grid, "gaussian")
    ways: dict[str, Callable[[], None]] = {
        READING: lambda: _reading(visit, bare),
        ZLIB: lambda: _reading_by_zlib(visit, bare),
        OURS: lambda: _ours(visit, bare),
        PLAIN: lambda: _plain(visit, bare, False),
        OURS_FILTERED: lambda: _ours(visit, filtered),
        PLAIN_FILTERED: lambda: _plain(visit, bare, True),
    }
    if importlib.util.find_spec("monai"):
        ways[MONAI] = lambda: _monai(visit, bare)
    seconds = timed(ways)
    middle = {name: np.median(each, axis=0) for name, each in seconds.items()}
    rows = [[name, *(f"{1000 * s:.0f}" for s in of)] for name, of in middle.items()]
    show(f"One person's T1, FLAIR and FA to {GRIDS[grid]}³", ("way", "ms", "ms of CPU"), rows)

    def ratio(of: str, to: str) -> tuple[float, dict[str, float]]:
        wall, cpu = np.median(seconds[of] / seconds[to], axis=0)
        more = {f"CPU ms, {name}": round(1000 * float(middle[name][1]), 1) for name in (of, to)}
        return float(cpu), {"of wall": round(float(wall), 2), "rounds": ROUNDS} | more

    start = f"resampling to {GRIDS[grid]}³"
    figures = [
        Figure.at_least(f"{start}, against {PLAIN}", *_goal(ratio(PLAIN, OURS), FASTER[grid])),
        Figure.at_most(f"{start}, of {READING}", *_goal(ratio(OURS, READING), OF_READING[grid])),
    ]
    for other in (PLAIN_FILTERED, MONAI):
        if other in seconds:
            found = _goal(ratio(other, OURS_FILTERED), FASTER_FILTERED)
            figures.append(Figure.at_least(f"{start}, against {other}", *found))
    return figures


def _goal(
    found: tuple[float, dict[str, float]], goal: float
) -> tuple[float, float, str, dict[str, float]]:
    return found[0], goal, "times", found[1]


def _kept(growth: float, kind: Filter, frequency: float) -> float:
    """Amplitude that is left of a wave of so many cycles a target voxel, over all phases."""
    to_source = np.diag([growth, 1.0, 1.0, 1.0])[None]
    to_source[0, :3, 3] = growth, 1, 1
    x = np.arange(round(32 * growth))
    powers = []
    for phase in np.linspace(0, np.pi, 8, endpoint=False):
        wave = np.cos(2 * np.pi * frequency * x / growth + phase).astype(np.float32)
        volume = torch.from_numpy(np.tile(wave, (1, 6, 6, 1)))
        seen, _ = resample(volume, to_source, (30, 4, 4), growth, kind)
        powers.append(float((seen[0, 4:-4, 1, 1] ** 2).mean()))
    return float(np.sqrt(2 * np.mean(powers)))


def _noise_kept(growth: float, kind: Filter) -> float:
    """SD that is left of white noise of SD 1 in the source, whose axes are a little turned."""
    n = 24
    noise = np.random.default_rng(SEED).standard_normal((1, *[round((n + 6) * growth)] * 3))
    to_source = nib.affines.from_matvec(growth * euler2mat(0.05, -0.04, 0.08), [2 * growth] * 3)
    volume = torch.from_numpy(noise.astype(np.float32))
    seen, _ = resample(volume, to_source[None], (n, n, n), growth, kind)
    return float(seen[0, 3:-3, 3:-3, 3:-3].std())


def worth(growth: float) -> dict[str, tuple[float, float, float, float]]:
    """Tell by filter what is left of noise, of a coarse wave and of a fine one, and information.

    The coarse wave has .25 cycles a target voxel; the fine one .75, of which all that is left looks
    like the coarse one. Information is the power of the coarse wave's share in all that white noise
    puts where it is: what a linear reader, who may sharpen, loses at that frequency.
    """
    ways: list[tuple[str, Filter, float]] = [("none", "none", SIGMA), ("area", "area", SIGMA)]
    ways += [(f"Gaussian, SD {sd} voxels", "gaussian", sd) for sd in (0.3, SIGMA, 0.5)]
    found = {}
    for name, kind, sd in ways:
        resampling.SIGMA = sd
        resampling._weights.cache_clear()
        kept = np.array([_kept(growth, kind, f) for f in np.arange(0.25, growth / 2, 0.5)])
        information = kept[0] ** 2 / (kept**2).sum()
        found[name] = (_noise_kept(growth, kind), kept[0], kept[1], information)
    resampling.SIGMA = SIGMA
    resampling._weights.cache_clear()
    return found


def quality() -> list[Figure]:
    """Measure what filters are worth at each growth."""
    figures = []
    for growth in GROWTHS:
        found = worth(growth)
        rows = [[name, *(f"{value:.3f}" for value in of)] for name, of in found.items()]
        title = f"Voxels of 1 mm to {growth:.2f} mm"
        heads = ("filter", "noise left", "wave of .25", "false, of .75", "information")
        show(title, heads, rows)
        least = found["none"][0] / found["area"][0]
        name = f"filter, 1 mm to {growth:.2f} mm"
        columns = dict(zip(heads[1:], zip(*found.values(), strict=True), strict=True))
        more = {
            head: {way: round(value, 3) for way, value in zip(found, values, strict=True)}
            for head, values in columns.items()
        }
        ratio = found["none"][0] / found[f"Gaussian, SD {SIGMA} voxels"][0]
        figures.append(
            Figure.at_least(f"{name}: noise without, against Gaussian", ratio, least, "times", more)
        )
    return figures


def eight_bits(visit: Visit) -> Figure:
    """Measure the largest error of 8 bits, in SD of the brain, beside half a step, and its SD."""
    settings = settings_of("study64", "area")
    exact = settings.model_copy(update={"stored": "float16"})
    largest, more = 0.0, {}
    for modality in VOLUMES:
        found = read_volume(modality, visit, settings, Parcellation())
        assert found.code is not None
        wanted = read_volume(modality, visit, exact, Parcellation()).array.astype(np.float64)
        brain = wanted != wanted[0, 0, 0]
        errors = (found.code.decode(found.array) - wanted)[brain] / wanted[brain].std()
        half = found.code.scale / 2 / wanted[brain].std()
        more[modality] = {"half a step": round(float(half), 4), "SD": round(float(errors.std()), 4)}
        largest = max(largest, float(np.abs(errors).max()))
    return Figure.at_most("8 bits, largest error of a voxel", largest, MOST_ERROR, "SD", more)


def measure() -> list[Figure]:
    """Measure the speed to both grids, and what filters are worth."""
    folder = WORK / "resampling"
    shutil.rmtree(folder, ignore_errors=True)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        visit = write_person(folder, settings_of("study64", "none"))
        figures = [figure for grid in GRIDS for figure in speed(grid, visit)]
        figures += [*quality(), eight_bits(visit)]
    shutil.rmtree(folder, ignore_errors=True)
    return figures
