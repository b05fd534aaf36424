"""What ComBat is worth: kernel ridge on connectivity, as it is and with sites made alike.

Invented people, whose sites differ in nothing but their scanners, and ABIDE's real people, whose
sites also differ in age, sex and who has autism (passed over without its files: see
`benchmarks.real_people`). Everybody tested once in 5 folds, and each site by models of the others,
where ComBat has nothing of the site, or the scans of so many people who are not scored.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifierCV, RidgeCV

from benchmarks import real_people
from benchmarks.real_people import FOLDS, POOLED, PREPARE, SITES, WITHIN, kind_of, scores
from benchmarks.record import WORK, Figure, kept, markdown, show, write_section
from benchmarks.runs import PROJECT, kedro_run, linked
from benchmarks.simple_models import (
    PENALTIES,
    Connectivity,
    components,
    filled,
    read_connectivity,
    tangent_space,
)
from benchmarks.skills import with_interval
from ukb_brain.imaging.connectivity import fisher_z_of_time_series
from ukb_brain.synthetic import people as invented
from ukb_brain.synthetic.connectomes import N_STYLES, simulate
from ukb_brain.synthetic.factors import FACTORS, factor_values, site_indicators
from ukb_brain.tables.splits import SET_ASIDE, Splitting, make_splits
from ukb_brain.training.harmonised import made_alike
from ukb_brain.training.people import People
from ukb_brain.training.settings import Harmonise

HOME, PAGE = WORK / "harmonise", PROJECT / "docs/abide.md"
ATLAS, K = "cc200", 20
AS_IT_IS, COMBAT, OWN = "as it is", "ComBat", f"ComBat, {K} people of the site"
SITE = Harmonise(by="site")
INVENTED, REGIONS, TIME_POINTS, SEED = 1200, 60, 490, 0
Features = Callable[[NDArray[np.intp]], NDArray[np.floating]]
INTRODUCTION = """## Sites made alike

Kernel ridge on connectivity, in tangent space or as Fisher's z, as it is and after ComBat
(`modelling.harmonise`), on the same people and folds. R² for age, AUC for sex and autism;
differences in R² and 2·AUC − 1, with 95 % intervals over people. {k} people of each site that is
left out are not scored in any column. Site read: share of people whose site a linear model names,
with that of the largest site in brackets. Written by `make bench ONLY=harmonise`.

"""


@dataclass(frozen=True)
class Real(real_people.Run):
    """ABIDE, with people of each left-out site set aside."""

    @property
    def root(self) -> Path:
        """The data root."""
        return HOME / real_people.SCHEMES[self.tested]

    @property
    def params(self) -> dict:
        """Runtime parameters."""
        splitting = {"scheme": real_people.SCHEMES[self.tested], "set_aside": K}
        return super().params | {"splitting": splitting}


@dataclass(frozen=True)
class Cohort:
    """People, sorted by eid; what is read of them, given who is learned from; and their splits."""

    name: str
    tested: str
    people: pd.DataFrame
    features: Features
    splits: pd.DataFrame

    @property
    def targets(self) -> list[str]:
        """Columns of people that are predicted."""
        return [name for name in self.people if name not in ("eid", "site")]

    @property
    def ways(self) -> list[str]:
        """How sites are treated."""
        return [AS_IT_IS, COMBAT] if self.tested == FOLDS else [AS_IT_IS, COMBAT, OWN]

    def fold(self, fold: int) -> People:
        """List the people of a fold; whoever has no part in it has none."""
        parts = self.splits[self.splits["fold"] == fold].set_index("eid")["part"]
        n, eid = len(self.people), self.people["eid"].to_numpy(np.int64)
        return People(
            fold=fold,
            eid=eid,
            instance=np.zeros(n, dtype=np.int64),
            family=eid,
            site=self.people["site"].to_numpy(np.int64),
            phase=np.zeros(n, dtype=np.int64),
            part=parts.reindex(eid).fillna("none").to_numpy(str),
            targets={name: self.people[name].to_numpy(float) for name in self.targets},
            blocks={},
            has={},
        )

    def predicted(self, fold: int) -> pd.DataFrame:
        """Predict a fold's test people: ``eid, way, target, y_pred``; of ``site`` 1 where named."""
        print(f"{self.name}, {self.tested}: fold {fold}", flush=True)
        people = self.fold(fold)
        everybody = np.ones(len(people.eid), dtype=bool)
        learn = np.flatnonzero(np.isin(people.part, ("train", "validation")))
        test = np.flatnonzero(people.part == "test")
        read, found = self.features(learn), []
        for way in self.ways:
            some = people
            if way == COMBAT:
                part = np.where(people.part == SET_ASIDE, "none", people.part)
                some = replace(people, part=part)
            alike = read if way == AS_IT_IS else made_alike(read, some, everybody, SITE)
            x = components(alike, learn)
            for target, y in people.targets.items():
                mine = learn[np.isfinite(y[learn])]
                p = RidgeCV(PENALTIES).fit(x[mine], y[mine]).predict(x[test])
                found.append({"eid": people.eid[test], "target": target, "y_pred": p})
                found[-1]["way"] = way
            if self.tested == FOLDS:
                named = RidgeClassifierCV(PENALTIES).fit(x[learn], people.site[learn])
                right = named.predict(x[test]) == people.site[test]
                found.append({"eid": people.eid[test], "target": "site", "y_pred": right * 1.0})
                found[-1]["way"] = way
        return pd.concat(map(pd.DataFrame, found))

    def predictions(self) -> pd.DataFrame:
        """Predict everybody who is tested: ``eid, site, target, y_true`` and a column a way."""
        called = re.sub(r"\W+", "_", self.name)
        saved = HOME / f"{called}_{real_people.SCHEMES[self.tested]}"
        table = pd.concat(
            kept(Path(f"{saved}_{fold}.parquet"), partial(self.predicted, int(fold)))
            for fold in sorted(self.splits["fold"].unique())
        )
        wide = table.pivot_table("y_pred", ["eid", "target"], "way").reset_index()
        truth = self.people.assign(where=self.people["site"])
        truth = truth.melt(["eid", "where"], ["site", *self.targets], "target", "y_true")
        return truth.merge(wide, on=["eid", "target"]).rename(columns={"where": "site"}).dropna()


def real_cohort(space: str, tested: str, raw: Path) -> Cohort:
    """Take ABIDE's people and splits as the project makes them, and their connectivity."""
    run, first = (Real(ATLAS, some, raw) for some in (tested, FOLDS))
    if run.root != first.root:
        linked(run.root, first.root, ["02_intermediate"])
    kedro_run(run.root, PREPARE, run.params, "abide")
    people = run.people()
    eids = tuple(people["eid"].tolist())

    def features(learn: NDArray[np.intp]) -> NDArray[np.floating]:
        return SPACES[space](_connectivity(raw, eids), learn)

    return Cohort(f"ABIDE, {space}", tested, people, features, run.table("03_primary/splits"))


@cache
def _connectivity(raw: Path, eids: tuple[int, ...]) -> Connectivity:
    return read_connectivity(raw, ATLAS, np.array(eids))


def _in_tangent_space(connectivity: Connectivity, learn: NDArray[np.intp]) -> NDArray[np.floating]:
    whole = filled(connectivity.covariances, learn)
    return tangent_space(whole, np.nanmean(connectivity.logarithms[learn], axis=0))


def _fisher_z(connectivity: Connectivity, learn: NDArray[np.intp]) -> NDArray[np.floating]:
    return filled(connectivity.z, learn)


SPACES = {"tangent space": _in_tangent_space, "Fisher's z": _fisher_z}


def invented_cohort(tested: str) -> Cohort:
    """Simulate people whose site shows in their connectivity and in nothing else of them."""
    numbers = range(1, INVENTED + 1)
    e = invented.variates(SEED, numbers)
    z = invented.latents(e)
    own = np.random.default_rng(SEED).standard_normal((INVENTED, len(FACTORS["functional"])))
    shown = np.hstack([factor_values("functional", z, own), site_indicators(z)])
    scans = []
    for number, weights, motion in zip(numbers, shown, z["motion"], strict=True):
        rng = np.random.default_rng([SEED, number, 9])
        weights = np.concatenate([weights, rng.standard_normal(N_STYLES)])
        scans.append(
            fisher_z_of_time_series(simulate(weights, motion, REGIONS, TIME_POINTS, rng)[0])
        )
    people = pd.DataFrame(
        {
            "eid": numbers,
            "site": z["site_code"].astype(np.int64),
            "age": z["age_years"],
            "sex": z["male"],
        }
    )
    visits = people.assign(instance=2, family=people["eid"], chosen=True)
    scheme = real_people.SCHEMES[tested]
    splits = make_splits(visits, Splitting(scheme=scheme, set_aside=K), SEED)
    values = np.array(scans)
    return Cohort("invented, Fisher's z", tested, people, lambda _: values, splits)


def compare(cohort: Cohort) -> tuple[list[Figure], list[list[str]]]:
    """Hold ComBat against connectivity as it is: figures, and a row a target and score."""
    table, figures, lines = cohort.predictions(), [], []
    for how in (POOLED, WITHIN):
        for target in cohort.targets:
            found = scores(table, target, how, cohort.ways)
            line = [cohort.name, cohort.tested, how, target]
            line += [f"{found[way][0]:.3f}" for way in cohort.ways]
            line += [""] * (3 - len(cohort.ways))
            for way in cohort.ways[1:]:
                change = kind_of(target).gain(found[way] - found[AS_IT_IS])
                value, more = with_interval(change)
                name = f"harmonise: {cohort.name}, {cohort.tested}, {how}, {target}, {way}"
                figures.append(Figure(name, value, more=more))
                line.append(f"{value:+.3f} [{more['low']:+.3f}, {more['high']:+.3f}]")
            lines.append(line + [""] * (3 - len(cohort.ways)))
    if cohort.tested == FOLDS:
        mine = table[table["target"] == "site"]
        largest = cohort.people["site"].value_counts(normalize=True).iloc[0]
        line = [cohort.name, cohort.tested, f"({largest:.2f})", "site read"]
        for way in cohort.ways:
            figures.append(Figure(f"harmonise: {cohort.name}, site read, {way}", mine[way].mean()))
            line.append(f"{figures[-1].value:.3f}")
        lines.append([*line, "", "", ""])
    return figures, lines


def measure() -> list[Figure]:
    """Compare on invented people, and on ABIDE's where its files are."""
    HOME.mkdir(parents=True, exist_ok=True)
    raw = real_people.folder()
    wanted = [partial(invented_cohort, tested) for tested in (FOLDS, SITES)]
    if raw:
        # Each of 20 sites in tangent space would take an hour on two cores.
        spaces = (("tangent space", FOLDS), ("Fisher's z", FOLDS), ("Fisher's z", SITES))
        wanted += [partial(real_cohort, space, tested, raw.resolve()) for space, tested in spaces]
    figures, lines = [], []
    for make in wanted:
        own, rows = compare(make())
        figures += own
        lines += rows
    heads = ["people", "tested", "scored", "target", AS_IT_IS, COMBAT, OWN]
    heads += [f"{way} − {AS_IT_IS}" for way in (COMBAT, OWN)]
    show("Sites made alike", heads, lines, width=200)
    if raw:
        write_section(PAGE, "harmonised", INTRODUCTION.format(k=K) + markdown(heads, lines))
    else:
        print("ABIDE is passed over: its files are not there (see benchmarks.real_people).")
    return figures
