"""Any part of a grid, from blocks to the report, in this process and with tiny settings."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from modelling_cases import IMAGING, ROOT, changed
from reporting_cases import (
    described,
    exclusion_flow,
    parameters,
    quality_summary,
    scan_counts,
    target_summary,
)

from ukb_brain.cluster import Compute
from ukb_brain.grid import Grid
from ukb_brain.pipelines import feature_tabular, modelling, reporting
from ukb_brain.statistics.limits.verdicts import VerdictRules
from ukb_brain.statistics.settings import Certainty, Reporting
from ukb_brain.training.settings import Modelling

CATALOGS = (
    *("data_engineering", "feature_tabular", "imaging_preprocess", "modelling", "reporting"),
    "evidence",
)
CLAIMS = yaml.safe_load((ROOT / "conf/base/parameters/claims.yml").read_text())["claims"]
STRATEGIES = get_args(get_args(Modelling.model_fields["strategies"].annotation)[0])


def random_part(grid: Grid, rng: np.random.Generator) -> dict[str, object]:
    """Draw modalities, domains, targets and strategies, each a subset that is not empty."""

    def some(names: list[str]) -> list[str]:
        kept = rng.random(len(names)) < rng.choice([0.15, 0.5, 0.85])
        kept[rng.integers(len(names))] = True
        return [name for name, keep in zip(names, kept, strict=True) if keep]

    domains = some(list(grid.domains))
    targets = some([key for key, target in grid.targets.items() if target.domain in domains])
    return {
        "only": [*some(list(grid.modalities)), *targets],
        "strategies": some(list(STRATEGIES)),
    }


def measured(participants: pd.DataFrame, targets: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What data engineering leaves for reporting alone, of invented people."""
    keys = ["eid", "instance"]
    values = targets.drop(columns=keys)
    sources = values.apply(lambda column: targets["instance"]).astype(np.int64)
    known = participants.drop(columns=["chosen", "family", "date"])
    return {
        "primary.target_sources": pd.concat([targets[keys], sources], axis=1),
        "primary.confounds": known.astype({"site": float}),
    }


def report_of(
    root: Path,
    grid: Grid,
    settings: Modelling,
    tables: dict[str, pd.DataFrame],
    **strategies: object,
) -> dict[str, object]:
    """Run everything after data engineering; scans lie under the root already.

    Parameters
    ----------
    root : Path
        Data root.
    grid : Grid
        Part of a grid.
    settings : Modelling
        Tiny ones.
    tables : dict of str to pandas.DataFrame
        Of data engineering, by catalog entry.
    **strategies : object
        ``modelling.strategies`` as ``strategies``, and settings of reporting.

    Returns
    -------
    dict
        What reporting made, by catalog entry.
    """
    entries = {}
    for name in CATALOGS:
        text = (ROOT / f"conf/base/catalog_{name}.yml").read_text().replace("${_root}", str(root))
        entries |= {k: v for k, v in yaml.safe_load(text).items() if not k.startswith("_")}
    catalog = DataCatalog.from_config(entries)
    chosen = strategies.pop("strategies", settings.strategies)
    given = {
        "grid": grid,
        "imaging_preprocess": IMAGING,
        "modelling": changed(settings, strategies=chosen),
        "compute": Compute(workers=1),
        "seed": 5,
        "source": "synthetic",
        "reporting": Reporting(draws=100, folder=str(root / "08_reporting"), **strategies),
        "certainty": Certainty(relation_draws=50, permutations=99),
        "verdicts": VerdictRules(),
        "claims": CLAIMS,
    }
    for name, value in parameters(**given).items():
        catalog[name] = MemoryDataset(value, copy_mode="assign")
    described_tables = {
        "primary.exclusion_flow": exclusion_flow(),
        "primary.scan_counts": scan_counts(),
        "primary.target_summary": target_summary(grid),
        "primary.quality_summary": quality_summary(),
        "primary.data_dictionary": pd.DataFrame([described(key, grid) for key in grid.targets]),
    }
    for name, table in (described_tables | tables).items():
        catalog[name] = MemoryDataset(table)
    reported = reporting.create_pipeline()
    pipeline = feature_tabular.create_pipeline() + modelling.create_pipeline() + reported

    SequentialRunner().run(pipeline, catalog)
    made = (name for name in reported.all_outputs() if name.startswith("reporting."))
    return {name: catalog.load(name) for name in made if not name.endswith(FIGURES)}


FIGURES = ("heat_maps", "legibility", "coefficients", "compute", "exclusion_flow")
