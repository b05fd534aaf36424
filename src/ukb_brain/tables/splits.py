"""The split into training, validation and test people, made once and shared by everything."""

import hashlib
import logging
from collections.abc import Iterable
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, model_validator

from ukb_brain.errors import InputError
from ukb_brain.settings_base import Settings
from ukb_brain.tables.visits import one_visit

logger = logging.getLogger(__name__)

PARTS = ("train", "validation", "test")
# Of a site that is left out: nothing is learned from their traits, and nobody judged by them.
SET_ASIDE = "set_aside"
COLUMNS = ["eid", "fold", "part"]
# Kept with the table of splits: rows of people who withdrew were erased from it.
PEOPLE_LEFT = "people_left"
RESTORE = (
    "Restore the splits file from where it was made, or delete it and the folders 04_feature, "
    "06_models and 07_model_output, and run `kedro run`."
)


class Splitting(Settings):
    """How people are split.

    Attributes
    ----------
    scheme : {"hold_out", "k_fold", "leave_one_site_out", "file"}
        One fold; folds in which everybody is tested once; a fold for each site, which it tests;
        or the parts of a table ``splits.csv`` among the raw files.
    folds : int
        Number of folds of ``k_fold``.
    train, validation, test : float
        Fractions of people; they add up to 1. The two other schemes have test people of their own
        and divide the rest in the ratio of the first two.
    min_per_part : int
        A part with fewer people stops the run; a site with fewer is never tested.
    age_bands : int or tuple of float
        Number of age bands that are kept in proportion, of equal size in the cohort at hand; or
        their upper edges (years).
    set_aside : int
        People of each site that is left out who are not scored: ``modelling.harmonise`` may take
        the site's location and scale from their scans. Whole families, so perhaps a few more.
    """

    scheme: Literal["hold_out", "k_fold", "leave_one_site_out", "file"] = "hold_out"
    folds: int = Field(default=5, ge=2)
    train: float = Field(default=0.8, gt=0, lt=1)
    validation: float = Field(default=0.1, gt=0, lt=1)
    test: float = Field(default=0.1, gt=0, lt=1)
    min_per_part: int = Field(default=5, ge=1)
    age_bands: Annotated[int, Field(ge=1, le=50)] | tuple[float, ...] = 6
    set_aside: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(
                f"splitting: train, validation and test must add up to 1, they give {total}"
            )
        given = self.age_bands
        if isinstance(given, tuple) and list(given) != sorted(set(given)):
            raise ValueError(f"splitting: age_bands must ascend, got {self.age_bands}")
        return self

    @property
    def fractions(self) -> npt.NDArray[np.float64]:
        """Fractions of people in the order of `PARTS`."""
        return np.array([self.train, self.validation, self.test])

    @property
    def without_test(self) -> npt.NDArray[np.float64]:
        """Fractions of training and validation among those who are not tested."""
        return self.fractions[:2] / self.fractions[:2].sum()


def _families_in_order(
    people: pd.DataFrame, age_bands: int | tuple[float, ...], seed: int
) -> pd.DataFrame:
    if isinstance(age_bands, int):
        known = people["age"].dropna()
        shares = np.arange(1, age_bands) / age_bands
        age_bands = tuple(np.unique(known.quantile(shares))) if len(known) else ()
    band = np.digitize(people["age"].fillna(-1), age_bands)
    people = people.assign(
        band=np.where(people["age"].isna(), -1, band), sex=people["sex"].fillna(-1)
    )
    grouped = people.groupby("family", sort=False)
    # People are sorted by eid, so a family's stratum is that of its smallest eid.
    families = grouped[["site", "sex", "band", "eid"]].first().assign(size=grouped.size())
    # A hash of the person rather than a draw from a stream: it does not depend on row order.
    families["rank"] = [
        hashlib.blake2b(f"{seed}:{eid}".encode(), digest_size=8).digest()
        for eid in families["eid"].tolist()
    ]
    return families.sort_values(["site", "sex", "band", "rank", "eid"])


def _dealt(families: pd.DataFrame, fractions: npt.NDArray[np.float64]) -> pd.Series:
    """Deal families in their order, each to the share that lags most behind its fraction."""
    # Plain numbers: arrays as short as these would take ten times as long.
    shares = fractions.tolist()
    assigned, dealt = [0] * len(shares), 0
    chosen = []
    for size in families["size"].tolist():
        dealt += size
        lag = [round(s * dealt - a, 9) for s, a in zip(shares, assigned, strict=True)]
        chosen.append(lag.index(max(lag)))
        assigned[chosen[-1]] += size
    return pd.Series(chosen, index=families.index, dtype="int64")


def _parts(
    people: pd.DataFrame, families: pd.DataFrame, fractions: npt.NDArray[np.float64]
) -> pd.Series:
    """Give people of some families one of as many parts as there are fractions, others none."""
    return people["family"].map(_dealt(families, fractions).map(dict(enumerate(PARTS))))


def _sites_left_out(
    participants: pd.DataFrame, people: pd.DataFrame, families: pd.DataFrame, splitting: Splitting
) -> list[pd.Series]:
    at = people["site"].value_counts().sort_index()
    least = splitting.min_per_part + splitting.set_aside
    large, small = at[at >= least], at[at < least]
    if len(large) < 2:
        raise InputError(
            f"splitting.scheme is leave_one_site_out, and {len(large)} of {len(at)} sites have at "
            f"least {least} people; two are needed. Use k_fold or hold_out, or lower "
            "splitting.min_per_part or splitting.set_aside."
        )
    if len(small):
        words = "%s people at %s sites with fewer than %s people are never tested."
        logger.warning(words, small.sum(), len(small), least)
    parts = []
    for site, tested in large.items():
        # Whoever was at the site at any visit, and their families, are not learned from.
        there = participants.loc[participants["site"] == site, "family"]
        part = _parts(people, families[~families.index.isin(there)], splitting.without_test)
        part = part.mask(people["site"] == site, "test")
        own = _first_families(people[people["site"] == site], families, splitting.set_aside)
        parts.append(part.mask(people["eid"].isin(own), SET_ASIDE))
        words = "Fold %s tests the %s people of site %s; %s others with a tie to it are left out."
        logger.info(words, len(parts) - 1, tested, site, parts[-1].isna().sum())
    return parts


def _first_families(people: pd.DataFrame, families: pd.DataFrame, wanted: int) -> pd.Series:
    """Take so many of a site's people, or a few more: whole families by their random rank."""
    sizes = people["family"].value_counts()
    sizes = sizes.loc[families["rank"].reindex(sizes.index).sort_values().index]
    taken = sizes.index[sizes.cumsum() - sizes < wanted]
    return people.loc[people["family"].isin(taken), "eid"]


def make_splits(
    participants: pd.DataFrame, splitting: Splitting, seed: int, given: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Split people by whole families, in proportion within age band, sex and site.

    Families are lined up by stratum (of their member with the smallest eid, at the chosen
    visit), in random order within it, and each goes to the part that lags most behind its
    fraction. So every run of the line, and with it every stratum, is split in proportion.

    ``k_fold`` deals the line to as many test parts of equal size, so that everybody is tested
    once, and in each fold what is left of the line to training and validation.
    ``leave_one_site_out`` tests in each fold the people whose chosen visit was at one
    site. Families with any visit of anybody there are in neither training nor validation of that
    fold: their members at other sites have no part in it, and no row. ``set_aside`` of its people,
    first by the random order, are not tested.

    Parameters
    ----------
    participants : DataFrame
        ``eid, instance, family, site, age, sex``, in any order; all visits of a person go to the
        same part.
    splitting : Splitting
        Scheme, fractions and age bands.
    seed : int
        The same seed and people give the same split.
    given : DataFrame, optional
        The user's own parts, ``eid, fold, part``, for the scheme ``file``.

    Returns
    -------
    DataFrame
        ``eid, fold, part``, sorted by fold and eid. Folds count from 0: the hold-out, or sites in
        the order of their codes.

    Raises
    ------
    InputError
        If a part gets fewer than ``min_per_part`` people, or fewer than two sites have as many.
    """
    people = one_visit(participants)
    if splitting.scheme == "file":
        splits = _of_file(given, people)
    else:
        families = _families_in_order(people, splitting.age_bands, seed)
        if splitting.scheme == "hold_out":
            parts = [_parts(people, families, splitting.fractions)]
        elif splitting.scheme == "k_fold":
            tested_in = _dealt(families, np.full(splitting.folds, 1 / splitting.folds))
            parts = [
                _parts(people, families[tested_in != fold], splitting.without_test).fillna("test")
                for fold in range(splitting.folds)
            ]
        else:
            parts = _sites_left_out(participants, people, families, splitting)
        folds = [
            pd.DataFrame({"eid": people["eid"], "fold": np.int64(fold), "part": part}).dropna()
            for fold, part in enumerate(parts)
        ]
        splits = pd.concat(folds, ignore_index=True)
    least = splitting.min_per_part
    for _, dealt in splits.groupby("fold")["part"]:
        counts = {part: int((dealt == part).sum()) for part in PARTS}
        if min(counts.values()) < least:
            listed = ", ".join(f"{part} {n}" for part, n in counts.items())
            raise InputError(
                f"The cohort is too small to split: {len(dealt)} participants give {listed}, "
                f"and each part needs at least {least}. Use more participants, or "
                "lower splitting.min_per_part in conf/base/parameters_data_engineering.yml."
            )
    check_disjoint(splits, people)
    return splits


def _of_file(given: pd.DataFrame | None, people: pd.DataFrame) -> pd.DataFrame:
    """Take the user's own parts, once they are found to be of these people and fit to be used."""
    if given is None or not len(given.columns):
        raise InputError(
            "splitting.scheme is file, and there is no splits.csv among the raw files: put a table "
            "with columns eid, fold, part there, or use hold_out, k_fold or leave_one_site_out."
        )
    lacking = [name for name in COLUMNS if name not in given]
    if lacking:
        raise InputError(
            f"splits.csv lacks column(s) {', '.join(lacking)}; expected eid, fold, part."
        )
    strange = sorted(set(given["part"].astype(str)) - set(PARTS))
    if strange:
        raise InputError(
            f"splits.csv has parts called {', '.join(strange[:3])}; expected {', '.join(PARTS)}."
        )
    twice = int(given.duplicated(["eid", "fold"]).sum())
    if twice:
        raise InputError(f"splits.csv has {twice} row(s) of people who have a part in that fold.")
    mine = given[given["eid"].isin(people["eid"])]
    unknown = given["eid"].nunique() - mine["eid"].nunique()
    if unknown:
        words = "splits.csv names %s people who are not in the cohort; passed over."
        logger.warning(words, unknown)
    without = int((~people["eid"].isin(mine["eid"])).sum())
    if without:
        raise InputError(
            f"splits.csv gives no part to {without} of {len(people)} participants: add them, or "
            "leave them out by a list exclude_<reason>.csv among the raw files."
        )
    splits = mine[COLUMNS].astype({"eid": "int64", "fold": "int64", "part": str})
    return splits.sort_values(["fold", "eid"], ignore_index=True)


def fingerprint(training: Iterable[int]) -> str:
    """Hash training people, in any order, to 16 hexadecimal digits.

    What was fitted on them can so be told from what was not.
    """
    eids = np.sort(np.fromiter(training, dtype="<i8"))
    return hashlib.sha256(eids.tobytes()).hexdigest()[:16]


def training_fingerprints(splits: pd.DataFrame) -> dict[int, str]:
    """Hash the training people of each fold."""
    train = splits[splits["part"] == "train"]
    return {int(str(fold)): fingerprint(people["eid"]) for fold, people in train.groupby("fold")}


def check_fitted_on(found: str, expected: str, what: str) -> None:
    """Raise an `InputError` if a fit's people, by fingerprint, are not a fold's training people."""
    if found != expected:
        raise InputError(
            f"{what} was fitted on the training people of another split, so its predictions could "
            "rest on test people. Delete the folders 04_feature, 06_models and 07_model_output, "
            "and run `kedro run`."
        )


def check_disjoint(splits: pd.DataFrame, people: pd.DataFrame | None = None) -> None:
    """Check that nobody, and no family, is in two parts of a fold, and nobody in two test parts.

    Parameters
    ----------
    splits : DataFrame
        ``eid, fold, part``.
    people : DataFrame, optional
        ``eid, family``; families are checked where it is given, and everybody, or one of their
        family, must have a part in some fold.

    Raises
    ------
    InputError
        With the counts of people or families that straddle, of people who are tested twice, or of
        people without a part.
    """
    _check_straddling(splits, "eid", "participants")
    tested = splits.loc[splits["part"] == "test", "eid"]
    twice = int(tested[tested.duplicated()].nunique())
    if twice:
        raise InputError(
            f"{twice} participants are in the test part of more than one fold of the splits, so "
            f"scores would count them twice. {RESTORE}"
        )
    if people is None:
        return
    families = people.drop_duplicates("eid")[["eid", "family"]]
    with_part = families.loc[families["eid"].isin(splits["eid"]), "family"]
    # Leaving out each site in turn may leave out all turns of somebody with relatives everywhere.
    without = int((~families["family"].isin(with_part)).sum())
    if without:
        raise InputError(
            f"{without} of {len(families)} participants have no part in the splits. The splits "
            "belong to another cohort: run `kedro run --pipelines data_engineering` again."
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
            f"score would be inflated. {RESTORE}"
        )
