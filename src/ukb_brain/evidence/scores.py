"""What the models that were trained once more predict and score, of a few chosen inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ukb_brain.evidence.folds import Subset, names_of_sites
from ukb_brain.evidence.settings import Chosen, Evidence, Retrained
from ukb_brain.grid import Grid
from ukb_brain.ledger.artifact import ModelFolder
from ukb_brain.statistics.limits.retrained import (
    draw_skills,
    score_learning_curves,
    score_left_out_sites,
    score_model_scale,
)
from ukb_brain.training import accounting, items
from ukb_brain.training.items import Folds, Work
from ukb_brain.training.people import People
from ukb_brain.training.results import FINAL, prediction_tables
from ukb_brain.training.settings import Modelling

KEYS = ["target", "inputs", "strategy", "fold", "seed"]
PREDICTED = ["eid", "instance", *KEYS, "split", "y_true", "y_pred"]


@dataclass(frozen=True)
class FoldModels:
    """Models of some folds, each kind in its folder; cells rest on the others."""

    vectors: ModelFolder
    encoders: ModelFolder
    kernels: ModelFolder
    cells: ModelFolder

    @property
    def parameters(self) -> float:
        """Numbers that one network of the encoders learns; NaN where none was trained."""
        counts = [card.get("parameters", np.nan) for card in self.encoders.cards().values()]
        return float(counts[0]) if counts else float("nan")

    def check(self, people: Folds, modelling: Modelling) -> None:
        """Refuse models of other people or settings than this run's, with an `InputError`."""
        items.checked(self.vectors, people)
        items.checked(self.encoders, people, modelling.encoders)
        items.checked(self.kernels, people, modelling.kernels)
        items.checked(self.cells, people)


def chosen_cells(grid: Grid, chosen: Sequence[Chosen]) -> set[tuple[str, str]]:
    """Name target and inputs of the cells that are looked at, by a rule that knows no score.

    They are those of `Grid.fullest`, of `Grid.imaging_alone`, or both.
    """
    rules = {"fullest": grid.fullest, "imaging": grid.imaging_alone}
    return {(key, rules[each](key).name) for each in chosen for key in grid.targets}


def collect_chosen(
    models: FoldModels, people: Mapping[int, People], asked: Retrained, work: Work
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read predictions and fits of the inputs that are asked for, of some folds, and nothing else.

    Returns
    -------
    predictions : pandas.DataFrame
        ``eid, instance, target, inputs, strategy, fold, seed, split, y_true, y_pred``, of
        validation and test people, and repeat visits.
    fits : pandas.DataFrame
        One row a target, inputs, strategy that is asked for, fold and seed, as
        `ukb_brain.training.accounting` has them; a cell that could not be fitted has its reason as
        status.
    """
    chosen, every = chosen_cells(work.grid, asked.inputs), models.cells.cards()
    cards = {name: card for name, card in every.items() if card["fold"] in people}
    if not cards:
        return pd.DataFrame(columns=PREDICTED), pd.DataFrame(columns=[*KEYS, "status"])
    tables: list[pd.DataFrame] = []
    for name, card in cards.items():
        keys = [
            f"{FINAL}/{row['strategy']}/{row['seed']}/{row['target']}/{row['inputs']}"
            for row in card.get("cells", ())
            if row["status"] == "ok" and (row["target"], row["inputs"]) in chosen
        ]
        if keys:
            model = models.cells.read(name, keys)
            tables += prediction_tables(model, people[card["fold"]], work.seed)
    nothing = pd.DataFrame(columns=PREDICTED)
    predictions = pd.concat(tables, ignore_index=True) if tables else nothing
    shared = {"encoders": models.encoders}
    fits = accounting.cell_fits(list(cards.values()), shared, work.grid, work.seed)
    wanted = pd.MultiIndex.from_frame(fits[["target", "inputs"]]).isin(chosen)
    fits = fits[wanted & fits["strategy"].isin(asked.strategies)]
    return predictions, fits.reset_index(drop=True)


def score_curves(
    of_map: FoldModels,
    work: Work,
    subsets: dict[Subset, People],
    trained: FoldModels,
    participants: pd.DataFrame,
    evidence: Evidence,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score learning curves, whose largest size is the map itself, and fit power laws to them.

    Gives what `ukb_brain.statistics.limits.retrained.score_learning_curves` does.
    """
    asked, first, grid = evidence.learning_curves, min(work.people), work.grid
    folds = {some.fold: some for some in subsets.values()}
    both = [
        collect_chosen(models, some, asked, work)
        for models, some in ((trained, folds), (of_map, {first: work.people[first]}))
    ]
    predictions, fits = (pd.concat(tables, ignore_index=True) for tables in zip(*both, strict=True))
    drawn = (evidence.draws, evidence.level, work.seed)
    skills = draw_skills(predictions, fits, participants, grid, *drawn)
    shares = {subset.number: subset for subset in subsets} | {first: Subset(1.0, 0)}
    return score_learning_curves(skills, shares, grid, evidence.level, work.seed)


def score_sites(
    sites: Folds,
    trained: FoldModels,
    participants: pd.DataFrame,
    work: Work,
    evidence: Evidence,
) -> pd.DataFrame:
    """Score models on the sites that they have not seen, of which ``participants`` tells."""
    asked, names = evidence.left_out_sites, names_of_sites(sites, participants)
    predictions, fits = collect_chosen(trained, sites, asked, work)
    given = (predictions, fits, participants, names, asked.strategies, work.grid)
    return score_left_out_sites(*given, evidence.draws, evidence.level, work.seed)


def score_scale(
    variants: dict[str, FoldModels], participants: pd.DataFrame, work: Work, evidence: Evidence
) -> pd.DataFrame:
    """Compare variants and strategies on the map's test people.

    Gains are counted over the strategy that is named last.
    """
    asked, first, grid = evidence.model_scale, min(work.people), work.grid
    skills = {}
    for name, trained in variants.items():
        predictions, fits = collect_chosen(trained, {first: work.people[first]}, asked, work)
        drawn = (evidence.draws, evidence.level, work.seed)
        skills[name] = draw_skills(predictions, fits, participants, grid, *drawn)
    parameters = {name: trained.parameters for name, trained in variants.items()}
    compared = asked.strategies[-1] if asked.strategies else ""
    return score_model_scale(skills, parameters, compared, grid, evidence.level)
