"""The split into training, validation and test people, made once and shared by everything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, model_validator

from ukb_brain.errors import InputError
from ukb_brain.grid import Frozen

PARTS = ("train", "validation", "test")
HOLD_OUT = 0


class Splitting(Frozen):
    """How people are split.

    Attributes
    ----------
    train, validation, test : float
        Fractions of people; they add up to 1.
    min_per_part : int
        A part with fewer people stops the run.
    age_bands : tuple of float
        Upper edges (years) of the age bands that are kept in proportion.
    """

    train: float = Field(default=0.8, gt=0, lt=1)
    validation: float = Field(default=0.1, gt=0, lt=1)
    test: float = Field(default=0.1, gt=0, lt=1)
    min_per_part: int = Field(default=5, ge=1)
    age_bands: tuple[float, ...] = (55, 60, 65, 70, 75)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(
                f"splitting: train, validation and test must add up to 1, they give {total}"
            )
        if list(self.age_bands) != sorted(set(self.age_bands)):
            raise ValueError(f"splitting: age_bands must ascend, got {self.age_bands}")
        return self

    @property
    def fractions(self) -> npt.NDArray[np.float64]:
        """Fractions of people in the order of `PARTS`."""
        return np.array([self.train, self.validation, self.test])


def _random_rank(seed: int, eid: int) -> bytes:
    # A hash of the person rather than a draw from a stream: it does not depend on row order.
    return hashlib.blake2b(f"{seed}:{eid}".encode(), digest_size=8).digest()


def _families_in_order(
    participants: pd.DataFrame, age_bands: tuple[float, ...], seed: int
) -> pd.DataFrame:
    people = participants.sort_values(["eid", "instance"]).drop_duplicates("eid")
    band = np.digitize(people["age"].fillna(-1), age_bands)
    people = people.assign(
        band=np.where(people["age"].isna(), -1, band), sex=people["sex"].fillna(-1)
    )
    grouped = people.groupby("family", sort=False)
    # People are sorted by eid, so a family's stratum is that of its smallest eid.
    families = grouped[["site", "sex", "band", "eid"]].first().assign(size=grouped.size())
    families["rank"] = [_random_rank(seed, int(eid)) for eid in families["eid"]]
    return families.sort_values(["site", "sex", "band", "rank", "eid"])


def make_splits(participants: pd.DataFrame, splitting: Splitting, seed: int) -> pd.DataFrame:
    """Split people by whole families, in proportion within age band, sex and site.

    Families are lined up by stratum (of their member with the smallest eid, at the first imaging
    visit), in random order within it, and each goes to the part that lags most behind its
    fraction. So every run of the line, and with it every stratum, is split in proportion.

    Parameters
    ----------
    participants : DataFrame
        ``eid, instance, family, site, age, sex``, in any order; all visits of a person go to the
        same part.
    splitting : Splitting
        Fractions and age bands.
    seed : int
        The same seed and people give the same split.

    Returns
    -------
    DataFrame
        ``eid, fold, part``, sorted by eid; fold 0 is the hold-out.

    Raises
    ------
    InputError
        If a part gets fewer than ``min_per_part`` people.
    """
    families = _families_in_order(participants, splitting.age_bands, seed)
    assigned = np.zeros(len(PARTS))
    parts = []
    for size in families["size"]:
        lag = splitting.fractions * (assigned.sum() + size) - assigned
        chosen = int(np.argmax(np.round(lag, 9)))
        assigned[chosen] += size
        parts.append(PARTS[chosen])
    if assigned.min() < splitting.min_per_part:
        counts = ", ".join(f"{part} {int(n)}" for part, n in zip(PARTS, assigned, strict=True))
        raise InputError(
            f"The cohort is too small to split: {int(assigned.sum())} participants give {counts}, "
            f"and each part needs at least {splitting.min_per_part}. Use more participants, or "
            "lower splitting.min_per_part in conf/base/parameters_data_engineering.yml."
        )
    part_of_family = pd.Series(parts, index=families.index)
    people = participants[["eid", "family"]].drop_duplicates("eid").sort_values("eid")
    splits = pd.DataFrame(
        {
            "eid": people["eid"].to_numpy(),
            "fold": np.int64(HOLD_OUT),
            "part": part_of_family.loc[people["family"]].to_numpy(),
        }
    )
    check_disjoint(splits, people)
    return splits


def fingerprint(training: Iterable[int]) -> str:
    """Hash training people, so that what was fitted on them can be told from what was not.

    Parameters
    ----------
    training : iterable of int
        Their eids, in any order.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    eids = np.sort(np.fromiter(training, dtype="<i8"))
    return hashlib.sha256(eids.tobytes()).hexdigest()[:16]


def training_fingerprints(splits: pd.DataFrame) -> dict[int, str]:
    """Hash the training people of each fold.

    Parameters
    ----------
    splits : DataFrame
        ``eid, fold, part``.

    Returns
    -------
    dict of int to str
        By fold.
    """
    train = splits[splits["part"] == "train"]
    return {int(str(fold)): fingerprint(people["eid"]) for fold, people in train.groupby("fold")}


def check_fitted_on(found: str, expected: str, what: str) -> None:
    """Refuse what was fitted on other people than a fold's training people.

    Parameters
    ----------
    found, expected : str
        Fingerprints of what was fitted, and of the splits.
    what : str
        Name of it, for the message.

    Raises
    ------
    InputError
        If they differ.
    """
    if found != expected:
        raise InputError(
            f"{what} was fitted on the training people of another split, so its predictions could "
            "rest on test people. Delete the folders 04_feature, 06_models and 07_model_output, "
            "and run `kedro run`."
        )


def check_disjoint(splits: pd.DataFrame, people: pd.DataFrame | None = None) -> None:
    """Check that nobody, and no family, is in two parts of a fold.

    Parameters
    ----------
    splits : DataFrame
        ``eid, fold, part``.
    people : DataFrame, optional
        ``eid, family``; families are checked where it is given, and everybody must have a part.

    Raises
    ------
    InputError
        With the counts of people or families that straddle, or of people without a part.
    """
    _check_straddling(splits, "eid", "participants")
    if people is None:
        return
    families = people.drop_duplicates("eid")[["eid", "family"]]
    without = int((~families["eid"].isin(splits["eid"])).sum())
    if without:
        raise InputError(
            f"{without} of {len(families)} participants have no part in the splits. The splits "
            "belong to another cohort: run `kedro run --pipeline data_engineering` again."
        )
    _check_straddling(splits.merge(families, on="eid"), "family", "families")


def _check_straddling(splits: pd.DataFrame, unit: str, called: str) -> None:
    distinct = splits[["fold", unit, "part"]].drop_duplicates()
    twice = distinct[distinct.duplicated(["fold", unit], keep=False)]
    if len(twice):
        straddling = twice.groupby(["fold", unit])["part"].agg(lambda p: " and ".join(sorted(p)))
        counts = ", ".join(f"{n} in {where}" for where, n in straddling.value_counts().items())
        raise InputError(
            f"{len(straddling)} {called} are in more than one part of the splits ({counts}); every "
            "score would be inflated. Restore the splits file from where it was made, or delete "
            "it and the folders 04_feature, 06_models and 07_model_output, and run `kedro run`."
        )
