"""What the models that were trained once more score on test people."""

from __future__ import annotations

import pandas as pd

from ukb_brain.evidence.retrained import FoldModels, chosen_inputs, collect_chosen
from ukb_brain.evidence.settings import Evidence
from ukb_brain.evidence.sites import names_of_sites
from ukb_brain.evidence.subsamples import Subset
from ukb_brain.grid import Grid
from ukb_brain.statistics.limits.retrained import (
    draw_skills,
    score_learning_curves,
    score_left_out_sites,
    score_model_scale,
)
from ukb_brain.training.people import People

Folds = dict[int, People]


def score_curves(
    of_map: FoldModels,
    people: Folds,
    subsets: dict[Subset, People],
    trained: FoldModels,
    participants: pd.DataFrame,
    grid: Grid,
    evidence: Evidence,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score learning curves, whose largest size is the map itself, and fit power laws to them.

    Gives what `ukb_brain.statistics.limits.retrained.score_learning_curves` does.
    """
    asked, first = evidence.learning_curves, min(people)
    inputs = chosen_inputs(grid, asked.inputs)
    folds = {some.fold: some for some in subsets.values()}
    both = [
        collect_chosen(models, some, inputs, grid, seed)
        for models, some in ((trained, folds), (of_map, {first: people[first]}))
    ]
    predictions, fits = (pd.concat(tables, ignore_index=True) for tables in zip(*both, strict=True))
    fits = fits[fits["strategy"].isin(asked.strategies)]
    drawn = (evidence.draws, evidence.level, seed)
    skills = draw_skills(predictions, fits, participants, grid, *drawn)
    shares = {subset.number: subset for subset in subsets} | {first: Subset(1.0, 0)}
    return score_learning_curves(skills, shares, grid, evidence.level, seed)


def score_sites(
    sites: Folds,
    trained: FoldModels,
    participants: pd.DataFrame,
    grid: Grid,
    evidence: Evidence,
    seed: int,
) -> pd.DataFrame:
    """Score models on the sites that they have not seen, of which ``participants`` tells."""
    asked = evidence.left_out_sites
    inputs = chosen_inputs(grid, asked.inputs)
    predictions, fits = collect_chosen(trained, sites, inputs, grid, seed)
    names = names_of_sites(sites, participants)
    given = (predictions, fits, participants, names, asked.strategies, grid)
    return score_left_out_sites(*given, evidence.draws, evidence.level, seed)


def score_scale(
    people: Folds,
    variants: dict[str, FoldModels],
    participants: pd.DataFrame,
    grid: Grid,
    evidence: Evidence,
    seed: int,
) -> pd.DataFrame:
    """Compare variants and strategies on the map's test people.

    Gains are counted over the strategy that is named last.
    """
    asked, first = evidence.model_scale, min(people)
    inputs = chosen_inputs(grid, asked.inputs)
    skills, drawn = {}, (evidence.draws, evidence.level, seed)
    for name, trained in variants.items():
        predictions, fits = collect_chosen(trained, {first: people[first]}, inputs, grid, seed)
        fits = fits[fits["strategy"].isin(asked.strategies)]
        skills[name] = draw_skills(predictions, fits, participants, grid, *drawn)
    parameters = {name: trained.parameters for name, trained in variants.items()}
    compared = asked.strategies[-1] if asked.strategies else ""
    return score_model_scale(skills, parameters, compared, grid, evidence.level)
