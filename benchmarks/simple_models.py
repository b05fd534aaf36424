"""What a few lines of scikit-learn read off connectivity: the yardstick of benchmark `real_people`.

Nothing here is of the project's engine. A model learns from training and validation people
together; its penalty is chosen among them, by closed-form leave-one-out or in five inner folds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold

Floats = NDArray[np.float64]
RIDGE_Z = "kernel ridge, Fisher z"
LOGISTIC_Z = "logistic regression, Fisher z"
RIDGE_TANGENT = "kernel ridge, tangent space"
MODELS = (RIDGE_Z, LOGISTIC_Z, RIDGE_TANGENT)

PENALTIES = np.logspace(-1, 7, 33)
STRENGTHS = np.logspace(-6, -1, 6)
INNER_FOLDS = 5
LARGEST_CORRELATION = 0.999999
# Of a covariance with filled gaps, which may have no inverse.
LEAST_EIGENVALUE = 1e-4


@dataclass(frozen=True)
class Connectivity:
    """Of people whose scans were read: their numbers, and what is NaN where a region is constant.

    ``z`` (people, edges) is Fisher's; ``covariances`` (people, regions, regions) are of
    standardised series, after Ledoit and Wolf; ``logarithms`` of them are NaN throughout for a
    person with a constant region.
    """

    eids: NDArray[np.int64]
    z: NDArray[np.float32]
    covariances: Floats
    logarithms: Floats


def read_connectivity(folder: Path, atlas: str, eids: NDArray[np.int64]) -> Connectivity:
    """Turn time series, ``*_<number>_rois_<atlas>.1D`` in any folder, into connectivity."""
    name = re.compile(rf".*_(\d{{7}})_rois_{atlas}\.1D")
    files = {int(m[1]): path for path in folder.rglob("*.1D") if (m := name.fullmatch(path.name))}
    series = [np.loadtxt(files[eid]) for eid in eids.tolist()]
    rows, columns = np.tril_indices(series[0].shape[1], -1)
    z, covariances = [], []
    for values in series:
        constant = np.ptp(values, axis=0) == 0
        standard = (values - values.mean(axis=0)) / np.where(constant, 1, values.std(axis=0))
        correlation = standard.T @ standard / len(standard)
        shrunk = LedoitWolf(assume_centered=True).fit(standard[:, ~constant]).covariance_
        covariance = np.full_like(correlation, np.nan)
        covariance[np.ix_(~constant, ~constant)] = shrunk
        correlation[constant] = correlation[:, constant] = np.nan
        limited = np.clip(correlation[rows, columns], -LARGEST_CORRELATION, LARGEST_CORRELATION)
        z.append(np.arctanh(limited).astype(np.float32))
        covariances.append(covariance)
    found = np.array(covariances)
    logs = np.full_like(found, np.nan)
    whole = ~np.isnan(found).any(axis=(1, 2))
    logs[whole] = logarithms(found[whole])
    return Connectivity(eids, np.array(z), found, logs)


def filled(values: NDArray[np.floating], learn: NDArray[np.intp]) -> NDArray[np.floating]:
    """Fill what is NaN with the mean of those rows that are learned from."""
    mean = np.nan_to_num(np.nanmean(values[learn], axis=0))
    return np.where(np.isnan(values), mean, values)


def logarithms(matrices: Floats) -> Floats:
    """Take matrix logarithms of symmetric matrices, shape (people, regions, regions)."""
    values, vectors = np.linalg.eigh(matrices)
    logs = np.log(np.maximum(values, LEAST_EIGENVALUE))
    return (vectors * logs[:, None, :]) @ vectors.transpose(0, 2, 1)


def tangent_space(covariances: Floats, mean_logarithm: Floats) -> Floats:
    """Write covariances in the tangent space at the log-Euclidean mean of some people.

    Complete ones (people, regions, regions) give (people, regions * (regions + 1) / 2), such that
    distances between rows are those between matrices.
    """
    values, vectors = np.linalg.eigh(mean_logarithm)
    white = (vectors * np.exp(-values / 2)) @ vectors.T
    rows, columns = np.tril_indices(len(white))
    root = np.where(rows == columns, 1, np.sqrt(2))
    return logarithms(white @ covariances @ white)[:, rows, columns] * root


def components(features: NDArray[np.floating], learn: NDArray[np.intp]) -> Floats:
    """Give all principal components of those rows that are learned from: fewer columns.

    Ridge and logistic regression on them are those on the features.
    """
    centred = features - features[learn].mean(axis=0)
    gram = (centred @ centred[learn].T).astype(np.float64)
    values, vectors = np.linalg.eigh(gram[learn])
    kept = values > values.max() * len(learn) * np.finfo(features.dtype).eps
    return gram @ (vectors[:, kept] / np.sqrt(values[kept]))


def fold_predictions(
    connectivity: Connectivity,
    targets: pd.DataFrame,
    binary: frozenset[str],
    learn: NDArray[np.intp],
    test: NDArray[np.intp],
) -> Iterator[pd.DataFrame]:
    """Fit every model for every target, a column each and NaN where not known, in one fold.

    ``learn`` are rows of training and validation people. For each model and target, ``eid, target,
    model, y_pred`` of test people.
    """
    spaces = {
        RIDGE_Z: lambda: filled(connectivity.z, learn),
        RIDGE_TANGENT: lambda: tangent_space(
            filled(connectivity.covariances, learn),
            np.nanmean(connectivity.logarithms[learn], axis=0),
        ),
    }
    for name, space in spaces.items():
        features = components(space(), learn)
        for target, y in targets.items():
            mine = learn[np.isfinite(y.to_numpy()[learn])]
            known = y.to_numpy()[mine]
            models = {name: RidgeCV(PENALTIES)}
            if name == RIDGE_Z and target in binary:
                inner = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=0)
                logistic = LogisticRegression(max_iter=2000)
                grid = {"C": STRENGTHS}
                models[LOGISTIC_Z] = GridSearchCV(logistic, grid, scoring="roc_auc", cv=inner)
            for called, model in models.items():
                model.fit(features[mine], known)
                yes = called == LOGISTIC_Z
                predict = model.decision_function if yes else model.predict
                yield pd.DataFrame(
                    {
                        "eid": connectivity.eids[test],
                        "target": str(target),
                        "model": called,
                        "y_pred": predict(features[test]),
                    }
                )
