"""Real people: the map of ABIDE beside a few lines of scikit-learn, on the same folds.

Two atlases; everybody tested once in 5 folds, and each site by models of the others. The files are
looked for in the folder that the environment variable ABIDE_FOLDER names, else in
data/abide/01_raw, where `kedro get-abide` puts them; without them the benchmark is passed over.
Each run and each fold of a simple model is kept when it is done.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.record import WORK, Figure, kept, markdown, show, write_section
from benchmarks.runs import PROJECT, kedro_run, linked
from benchmarks.simple_models import MODELS, fold_predictions, read_connectivity
from benchmarks.skills import with_interval
from ukb_brain.statistics import kinds
from ukb_brain.statistics.scores.engine import headline
from ukb_brain.statistics.weighted_sums import Floats
from ukb_brain.tables.splits import training_fingerprints

HOME = WORK / "real_people"
VARIABLE, DEFAULT_FOLDER = "ABIDE_FOLDER", PROJECT / "data/abide/01_raw"
ATLASES = ("cc200", "ho")
FOLDS, SITES = "5 folds", "one site out"
SCHEMES = {FOLDS: "k_fold", SITES: "leave_one_site_out"}
# Of 20 sites that are left out each in turn, encoders are many: fewer are cross-fitted.
CROSS_FITS = {SITES: {"encoders": {"cross_fits": 2}}}
POOLED, WITHIN = "all", "within site"
TARGETS = ("age", "sex", "autism")
BINARY = frozenset({"sex", "autism"})
MAP = "amortised"
DRAWS, SEED = 2000, 0
LEAST = -0.02
PREPARE = "data_engineering,feature_tabular,imaging_preprocess"
PAGE = PROJECT / "docs/strategies.md"
INTRODUCTION = """## Real people

ABIDE I (docs/abide.md): resting connectivity of {people} people of 20 sites, {regions}. The map
(`amortised`) and its members beside models of a few lines of scikit-learn
(`benchmarks/simple_models.py`) on the same people and folds, which choose their penalties on
training and validation people. R² for age, AUC for sex and autism; differences, map less simple
model, in R² and 2·AUC − 1, with 95 % intervals over people. One site out is scored over all people,
and within sites: R² about each site's mean, AUC averaged over sites. Goal: no difference below 0,
and no lower bound below −.02; ✗ where it is missed. Written by `make bench ONLY=real_people`.
"""


@dataclass(frozen=True)
class Run:
    """One way, of `SCHEMES`, of testing one atlas, of `ATLASES`, with ABIDE's files."""

    atlas: str
    tested: str
    raw: Path

    @property
    def root(self) -> Path:
        """The data root."""
        return HOME / f"{self.atlas}_{SCHEMES[self.tested]}"

    @property
    def params(self) -> dict[str, Any]:
        """Runtime parameters."""
        return {
            "raw_folder": str(self.raw),
            "imaging_preprocess": {"connectivity_field": self.atlas},
            "splitting": {"scheme": SCHEMES[self.tested]},
            "modelling": CROSS_FITS.get(self.tested, {}),
        }

    def table(self, name: str) -> pd.DataFrame:
        """Read a table of the run."""
        return pd.read_parquet(self.root / f"{name}.parquet")

    def model(self) -> None:
        """Run the project; what is done already is not done again."""
        first = HOME / f"{self.atlas}_{SCHEMES[FOLDS]}"
        if self.root != first:
            linked(self.root, first, ["02_intermediate"])
        kedro_run(self.root, PREPARE, self.params, "abide")
        seconds = kedro_run(self.root, "modelling", self.params, "abide")
        print(f"{self.atlas}, {self.tested}: modelling took {seconds:.0f} s", flush=True)

    def people(self) -> pd.DataFrame:
        """List everybody with a usable scan: ``eid, site`` and a column a target, sorted."""
        quality = self.table("03_primary/quality")
        usable = quality.loc[(quality["modality"] == "rsfmri") & (quality["status"] == "ok"), "eid"]
        people = self.table("03_primary/participants")[["eid", "site"]]
        people = people.merge(self.table("03_primary/targets")[["eid", *TARGETS]], on="eid")
        return people[people["eid"].isin(usable)].sort_values("eid", ignore_index=True)

    def simple(self, people: pd.DataFrame) -> pd.DataFrame:
        """Fit the simple models in every fold: ``eid, target, model, y_pred`` of test people."""
        splits, eids = self.table("03_primary/splits"), people["eid"].to_numpy(np.int64)
        read = cache(lambda: read_connectivity(self.raw, self.atlas, eids))

        def fitted(fold: int) -> pd.DataFrame:
            print(f"{self.atlas}, {self.tested}: simple models of fold {fold}", flush=True)
            part = splits[splits["fold"] == fold].set_index("eid")["part"].reindex(eids)
            learn = np.flatnonzero(part.isin(["train", "validation"]))
            test = np.flatnonzero(part == "test")
            return pd.concat(fold_predictions(read(), people[list(TARGETS)], BINARY, learn, test))

        saved = f"simple_{self.root.name}"
        return pd.concat(
            kept(HOME / f"{saved}_{fold}_{mark}.parquet", partial(fitted, fold))
            for fold, mark in training_fingerprints(splits).items()
        )

    def predictions(self) -> pd.DataFrame:
        """Line up what each strategy and each simple model predicts of test people.

        ``eid, site, target, y_true`` and a column a strategy or model; people and targets of which
        the map predicts.
        """
        people = self.people()
        known = self.table("07_model_output/predictions")
        known = known[(known["split"] == "test") & known["target"].isin(TARGETS)]
        known = known.astype({"target": str, "strategy": str}).rename(columns={"strategy": "model"})
        both = pd.concat([known[["eid", "target", "model", "y_pred"]], self.simple(people)])
        wide = both.pivot_table("y_pred", ["eid", "target"], "model", observed=True).reset_index()
        truth = people.melt(["eid", "site"], list(TARGETS), "target", "y_true")
        joined = truth.merge(wide, on=["eid", "target"])
        return joined.dropna(subset=["y_true", MAP])


def within_sites(target: str, y: Floats, p: Floats, site: Floats, weights: Floats) -> Floats:
    """Score n people within sites, under many weightings (draws, n) of them at once.

    R² about each site's own mean, of predictions about theirs; or the mean AUC of sites with both
    classes, weighted by their people.
    """
    above, below = np.zeros(len(weights)), np.zeros(len(weights))
    for one in np.unique(site):
        at = site == one
        w = weights[:, at]
        if target in BINARY:
            auc = headline("binary", y[at], p[at], w)
            above += np.nan_to_num(auc) * at.sum()
            below += np.isfinite(auc) * at.sum()
        else:
            above += _squares(y[at] - p[at], w)
            below += _squares(y[at], w)
    return above / below if target in BINARY else 1 - above / below


def _squares(values: Floats, weights: Floats) -> Floats:
    """Weighted sum of squares about the weighted mean."""
    total = np.maximum(weights.sum(axis=1), 1)
    return weights @ values**2 - (weights @ values) ** 2 / total


def scores(table: pd.DataFrame, target: str, how: str, models: list[str]) -> dict[str, Floats]:
    """Score models, R² or AUC, on the same people: in the sample, then in draws of people."""
    mine = table[table["target"] == target]
    n = len(mine)
    drawn = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), DRAWS)
    weights = np.vstack([np.ones(n), drawn])
    y, site = mine["y_true"].to_numpy(float), mine["site"].to_numpy(float)
    found = {}
    for model in models:
        p = mine[model].to_numpy(float)
        if not np.isfinite(p).all():
            continue
        if how == WITHIN:
            found[model] = within_sites(target, y, p, site, weights)
        else:
            found[model] = headline(kind_of(target).name, y, p, weights)
    return found


def compare(runs: list[Run]) -> list[Figure]:
    """Hold the map of every run beside the simple models, and write the table."""
    figures, lines, people = [], [], {}
    members: list[str] = []
    for run in runs:
        table = run.predictions()
        people[run.atlas] = table["eid"].nunique()
        names = [n for n in table.columns if n not in ("eid", "site", "target", "y_true", *MODELS)]
        members = members or [MAP, *sorted(set(names) - {MAP})]
        for how in (POOLED, WITHIN) if run.tested == SITES else (POOLED,):
            where = ", ".join([run.atlas, run.tested, *([how] if how == WITHIN else [])])
            for target in TARGETS:
                found = scores(table, target, how, [*members, *MODELS])
                line = [run.atlas, run.tested, how, target]
                line += [f"{found[m][0]:.3f}" if m in found else "" for m in [*members, *MODELS]]
                for model in MODELS:
                    if model not in found:
                        line.append("")
                        continue
                    name = f"real people: {where}, {target}, map - {model}"
                    figures.append(_difference(name, found[MAP] - found[model], target))
                    line.append(_told(figures[-1]))
                lines.append(line)
    _write(lines, [*members, *MODELS, *(f"map − {model}" for model in MODELS)], people)
    return figures


def kind_of(target: str) -> kinds.Kind:
    """Give a target its kind."""
    return kinds.BINARY if target in BINARY else kinds.CONTINUOUS


def _difference(name: str, change: Floats, target: str) -> Figure:
    value, interval = with_interval(kind_of(target).gain(change))
    holds = bool(value >= 0 and interval["low"] > LEAST)
    return Figure(name, value, "", f"≥ 0, lower bound > {LEAST}", holds, interval)


def _told(figure: Figure) -> str:
    mark = "" if figure.holds else " ✗"
    return f"{figure.value:+.3f} [{figure.more['low']:+.3f}, {figure.more['high']:+.3f}]{mark}"


def _write(lines: list[list[str]], columns: list[str], people: dict[str, int]) -> None:
    heads = ["atlas", "tested", "scored", "target", *columns]
    show("ABIDE", heads, lines, width=240)
    told = INTRODUCTION.format(
        people=" or ".join(f"{n:,}" for n in dict.fromkeys(people.values())),
        regions=" and ".join(f"atlas {atlas}" for atlas in people),
    )
    write_section(PAGE, "real people", f"{told}\n{markdown(heads, lines)}")


def folder() -> Path | None:
    """Find ABIDE's files; None where there are none."""
    named = os.environ.get(VARIABLE)
    place = Path(named) if named else DEFAULT_FOLDER
    return place if next(place.rglob("*_rois_*.1D"), None) else None


def measure() -> list[Figure]:
    """Run both ways of testing on both atlases, and compare; nothing without the files."""
    raw = folder()
    if raw is None:
        print(
            f"real_people is passed over: there are no .1D files in {DEFAULT_FOLDER}. "
            f"`kedro get-abide` fetches them; or let {VARIABLE} name a folder that has them."
        )
        return []
    HOME.mkdir(parents=True, exist_ok=True)
    runs = [Run(atlas, tested, raw.resolve()) for atlas in ATLASES for tested in SCHEMES]
    for run in runs:
        run.model()
    figures = compare(runs)
    for figure in figures:
        print(f"{figure.name}: {figure.value:+.4f} {figure.more} ({figure.goal}) {figure.holds}")
    return figures
