"""What the filter of resampling is worth: skill of age on a cohort of 200 whose images have 1 mm.

Images are drawn in MNI space with the noise of a scan, resampled to the study's 64³ and to 4 mm
with each filter, and read by ridge regression on all voxels of T1, FLAIR and FA.
"""

from __future__ import annotations

import shutil
from functools import partial
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict

from benchmarks.record import WORK, Figure, show
from benchmarks.resampling import VOLUMES, settings_of
from ukb_brain.imaging.affines import fsl_mni
from ukb_brain.imaging.intensity import scaled
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.imaging.resampling import Filter, resample
from ukb_brain.synthetic import brains, scans
from ukb_brain.synthetic.anatomy import CONTRASTS, build_anatomy
from ukb_brain.synthetic.people import latents, variates
from ukb_brain.synthetic.settings import SyntheticCohort

PEOPLE, SEED, REPEATS, FOLDS, DRAWS = 200, 1, 10, 5, 2000
PENALTIES = np.logspace(-3, 3, 25)
GRIDS = {
    "64³": settings_of("study64", "none"),
    "4 mm": settings_of("mni152_brain", "none", voxel_mm=4.0),
}
Way = tuple[str, Filter]
Images = dict[str, NDArray[np.float32]]


def _images(number: int, batch: scans.PeopleBatch) -> Images:
    """Draw one person's images in MNI space at 1 mm."""
    session = scans.Session(batch, number, 2)
    drawn = brains.draw(session.anatomy, brains.registered(session.brain), session.world)
    random = np.random.default_rng([SEED, number])
    images = {}
    for modality in VOLUMES:
        values = drawn[modality]
        noise = CONTRASTS[modality].noise * random.standard_normal(len(values), dtype=np.float32)
        images[modality] = np.zeros(session.mask.shape, dtype=np.float32)
        images[modality][session.mask] = np.maximum(values + noise, 0.01)
    return images


def _vector(images: Images, settings: ImagingPreprocess, kind: Filter) -> NDArray[np.float32]:
    to_source = (np.linalg.inv(fsl_mni()[1]) @ settings.affine)[None]
    parts = []
    for modality, image in images.items():
        volume = torch.from_numpy(np.ascontiguousarray(image.T)[None])
        values, inside = resample(volume, to_source, settings.shape, settings.voxel_mm, kind)
        out = np.zeros(settings.shape, dtype=np.float32)
        brain = inside[0].numpy()
        record = settings.modalities[modality]
        out[brain], _ = scaled(values[0].numpy()[brain], record.intensity, (0.5, 99.5))
        parts.append(out.ravel())
    return np.concatenate(parts)


def _predicted(vectors: NDArray[np.float32], age: NDArray[np.float64]) -> NDArray[np.float64]:
    """Predict by ridge, the penalty chosen among training people: (repeats, people)."""
    values, axes = np.linalg.eigh(vectors @ vectors.T)
    # The same distances, along as many axes as there are people.
    features = axes * np.sqrt(values.clip(0))
    features *= np.sqrt(len(features)) / np.linalg.norm(features - features.mean(axis=0))
    ridge = RidgeCV(PENALTIES)
    folds = [KFold(FOLDS, shuffle=True, random_state=repeat) for repeat in range(REPEATS)]
    return np.stack([cross_val_predict(ridge, features, age, cv=fold) for fold in folds])


def measure() -> list[Figure]:
    """Draw people, resample them with every filter, and read their age."""
    folder = WORK / "filters"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    build_anatomy(1).save(folder / "anatomy.npz")
    cohort = SyntheticCohort(participants=PEOPLE, voxel_mm=1, regions=25, time_points=60, seed=SEED)
    records = GRIDS["64³"].modalities
    batch = scans.PeopleBatch((), cohort, folder / "anatomy.npz", folder, records)
    ways: list[Way] = [(grid, kind) for grid in GRIDS for kind in get_args(Filter)]
    vectors: dict[Way, list[NDArray[np.float32]]] = {way: [] for way in ways}
    numbers = range(1, PEOPLE + 1)
    for images in map(partial(_images, batch=batch), numbers):
        for grid, kind in ways:
            vectors[grid, kind].append(_vector(images, GRIDS[grid], kind).astype(np.float16))
    age = latents(variates(SEED, list(numbers)))["age_years"]
    predicted = {
        way: _predicted(np.stack(some).astype(np.float32), age) for way, some in vectors.items()
    }
    shutil.rmtree(folder, ignore_errors=True)
    return _figures(predicted, age)


def _figures(predicted: dict[Way, NDArray[np.float64]], age: NDArray[np.float64]) -> list[Figure]:
    draws = np.random.default_rng(SEED).integers(0, PEOPLE, (DRAWS, PEOPLE))
    skill = {
        way: np.mean([r2_score(age, repeat) for repeat in each]) for way, each in predicted.items()
    }
    errors = {way: ((each - age) ** 2).mean(axis=0) for way, each in predicted.items()}
    rows, figures = [], []
    for (grid, kind), value in skill.items():
        gained = errors[grid, "none"] - errors[grid, kind]
        drawn = [gained[some].sum() / ((age[some] - age[some].mean()) ** 2).sum() for some in draws]
        low, high = np.percentile(drawn, (2.5, 97.5))
        gain = value - skill[grid, "none"]
        rows.append([grid, kind, f"{value:.3f}", f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]"])
        more = {"against none": round(gain, 4), "low": round(low, 4), "high": round(high, 4)}
        name = f"filter {kind}, R² of age of {PEOPLE} people at {grid}"
        figures.append(Figure(name, float(value), more={k: float(v) for k, v in more.items()}))
    show("Age, from images of 1 mm", ("grid", "filter", "R²", "against none"), rows)
    return figures
