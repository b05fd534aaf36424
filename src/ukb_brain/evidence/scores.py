"""Nodes of evidence: what the models that were trained once more score on test people."""

from __future__ import annotations

import pandas as pd

from ukb_brain.evidence.retrained import Trained, chosen_inputs, collect_chosen
from ukb_brain.evidence.settings import Evidence
from ukb_brain.evidence.sites import names_of_sites
from ukb_brain.evidence.subsamples import subset_of
from ukb_brain.grid import Grid
from ukb_brain.statistics.limits.learning_curves import draw_skills, score_learning_curves
from ukb_brain.statistics.limits.left_out_sites import score_left_out_sites
from ukb_brain.statistics.limits.model_scale import score_model_scale
from ukb_brain.training.people import People

Folds = dict[int, People]


def score_curves(
    of_map: Trained,
    people: Folds,
    subsets: Folds,
    trained: Trained,
    participants: pd.DataFrame,
    grid: Grid,
    evidence: Evidence,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score learning curves, whose largest size is the map itself, and fit power laws to them.

    Parameters
    ----------
    of_map : Trained
        From `check_map`.
    people, subsets : dict of int to People
        By fold, and by number of the subset.
    trained : Trained
        Models of the subsets.
    participants : pandas.DataFrame
        ``eid, instance, family``.
    grid : Grid
        Cells.
    evidence : Evidence
        Inputs, draws, level.
    seed : int
        Of the run.

    Returns
    -------
    curves, fits : pandas.DataFrame
        See `ukb_brain.statistics.limits.learning_curves.score_learning_curves`.
    """
    asked, first = evidence.learning_curves, min(people)
    inputs = chosen_inputs(grid, asked.inputs)
    both = [
        collect_chosen(models, some, inputs, grid, seed)
        for models, some in ((trained, subsets), (of_map, {first: people[first]}))
    ]
    predictions, fits = (pd.concat(tables, ignore_index=True) for tables in zip(*both, strict=True))
    fits = fits[fits["strategy"].isin(asked.strategies)]
    skills = draw_skills(predictions, fits, participants, grid, evidence.draws, seed)
    shares = {fold: (subset_of(fold).share, subset_of(fold).repeat) for fold in subsets}
    return score_learning_curves(skills, shares | {first: (1.0, 0)}, grid, evidence.level, seed)


def score_sites(
    sites: Folds,
    trained: Trained,
    participants: pd.DataFrame,
    grid: Grid,
    evidence: Evidence,
    seed: int,
) -> pd.DataFrame:
    """Score models on the sites that they have not seen.

    Parameters
    ----------
    sites : dict of int to People
        From `train_left_out_sites`.
    trained : Trained
        Their models.
    participants : pandas.DataFrame
        ``eid, instance, family, site``.
    grid : Grid
        Cells.
    evidence : Evidence
        Inputs, draws, level.
    seed : int
        Of the run.

    Returns
    -------
    pandas.DataFrame
        See `ukb_brain.statistics.limits.left_out_sites.score_left_out_sites`.
    """
    asked = evidence.left_out_sites
    inputs = chosen_inputs(grid, asked.inputs)
    predictions, fits = collect_chosen(trained, sites, inputs, grid, seed)
    names = names_of_sites(sites, participants)
    given = (predictions, fits, participants, names, asked.strategies, grid)
    return score_left_out_sites(*given, evidence.draws, evidence.level, seed)


def score_scale(
    people: Folds,
    variants: dict[str, Trained],
    participants: pd.DataFrame,
    grid: Grid,
    evidence: Evidence,
    seed: int,
) -> pd.DataFrame:
    """Compare variants and strategies on the map's test people.

    Parameters
    ----------
    people : dict of int to People
        By fold.
    variants : dict of str to Trained
        From `train_model_scale`.
    participants : pandas.DataFrame
        ``eid, instance, family``.
    grid : Grid
        Cells.
    evidence : Evidence
        Inputs, draws, level.
    seed : int
        Of the run.

    Returns
    -------
    pandas.DataFrame
        See `ukb_brain.statistics.limits.model_scale.score_model_scale`; gains are counted over the
        strategy that is named last.
    """
    asked, first = evidence.model_scale, min(people)
    inputs = chosen_inputs(grid, asked.inputs)
    skills = {}
    for name, trained in variants.items():
        predictions, fits = collect_chosen(trained, {first: people[first]}, inputs, grid, seed)
        fits = fits[fits["strategy"].isin(asked.strategies)]
        skills[name] = draw_skills(predictions, fits, participants, grid, evidence.draws, seed)
    parameters = {name: trained.parameters for name, trained in variants.items()}
    compared = asked.strategies[-1] if asked.strategies else ""
    return score_model_scale(skills, parameters, compared, grid, evidence.level)
