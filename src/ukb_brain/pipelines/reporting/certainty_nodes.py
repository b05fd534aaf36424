"""Nodes of certainty: how sure the map is, and what it rests on, from predictions alone."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd
from pydantic import Field

from ukb_brain.grid import Grid
from ukb_brain.pipelines.reporting.nodes import Reporting
from ukb_brain.reports.claims import write_claims
from ukb_brain.reports.page import build_report
from ukb_brain.settings_base import Settings
from ukb_brain.statistics import FamilyDraws
from ukb_brain.statistics.certainty import cell_tables
from ukb_brain.statistics.certainty.cell_tables import errors_without_fail
from ukb_brain.statistics.claims import claims_of, evaluate_claims
from ukb_brain.statistics.inputs import pair_tables
from ukb_brain.statistics.limits import limit_tables as limits
from ukb_brain.statistics.limits.findings import gather_findings, positives
from ukb_brain.statistics.limits.retest_table import repeatability_table, retest_table
from ukb_brain.statistics.limits.verdicts import VerdictRules, verdict_table
from ukb_brain.statistics.people import calibration_tables
from ukb_brain.statistics.relations.relation_tables import relation_tables
from ukb_brain.statistics.scores.common_scores import CommonScores, common_scores, skill_by_cell
from ukb_brain.statistics.scores.target_predictions import TargetPredictions, gather_targets
from ukb_brain.tables.thresholds import as_tested
from ukb_brain.tables.visits import at_chosen_visit

logger = logging.getLogger(__name__)

Targets = dict[str, TargetPredictions]
Scores = dict[str, CommonScores]


def known(table: pd.DataFrame) -> pd.DataFrame | None:
    """Give None in the place of a table that was not made.

    Parameters
    ----------
    table : pandas.DataFrame
        Without columns where its file is not there.

    Returns
    -------
    pandas.DataFrame or None
    """
    return table if len(table.columns) else None


class Certainty(Settings):
    """How certainty is measured.

    Attributes
    ----------
    relation_draws : int
        Of relations between targets, which take longer.
    permutations : int
        Of labels; the smallest p is one over one more.
    margin : float
        Smallest difference in skill that matters: what surely adds less is no gain.
    """

    relation_draws: int = Field(default=200, ge=50)
    permutations: int = Field(default=1000, ge=99)
    margin: float = Field(default=0.02, gt=0, lt=1)


def gather_test_people(
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    strategy: str,
) -> Targets:
    """Put what the map's cells predict of test people side by side.

    Parameters
    ----------
    predictions, cell_fits, participants : pandas.DataFrame
        Of modelling and data engineering.
    grid : Grid
        Its cells.
    strategy : str
        Of the map.

    Returns
    -------
    dict of str to TargetPredictions
        By target.
    """
    return gather_targets(predictions, cell_fits, participants, grid, strategy)


def gather_unrefined(
    unrefined: pd.DataFrame,
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    strategy: str,
) -> tuple[Targets, pd.DataFrame]:
    """Take what cells predicted before the ladder, which gains are judged on.

    Parameters
    ----------
    unrefined, predictions, cell_fits, participants : pandas.DataFrame
        Of modelling and data engineering.
    grid : Grid
        Its cells.
    strategy : str
        Of the map; one without a ladder predicts the same before it.

    Returns
    -------
    tested : dict of str to TargetPredictions
        Of test people, by target.
    validation : pandas.DataFrame
        Of validation people.
    """
    has_ladder = bool((unrefined["strategy"] == strategy).any())
    known = unrefined if has_ladder else predictions
    return (
        gather_targets(known, cell_fits, participants, grid, strategy),
        limits.predictions_of(known, strategy, "validation"),
    )


def gather_validation_people(
    predictions: pd.DataFrame, strategy: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take what the map's cells predict of validation people, and of repeat visits.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Of modelling.
    strategy : str
        Of the map.

    Returns
    -------
    validation, repeats : pandas.DataFrame
        One row a person and cell, averaged over seeds.
    """
    return (
        limits.predictions_of(predictions, strategy, "validation"),
        limits.predictions_of(predictions, strategy, "repeat"),
    )


def draw_families(participants: pd.DataFrame, reporting: Reporting, seed: int) -> FamilyDraws:
    """Draw families once, for all tables alike."""
    return FamilyDraws(participants["family"], reporting.draws, seed)


def score_common_people(
    targets: Targets,
    draws: FamilyDraws,
) -> Scores:
    """Score every target's cells on the people whom they have in common, in all draws.

    Parameters
    ----------
    targets : dict of str to TargetPredictions
        By target.
    draws : FamilyDraws
        From `draw_families`.

    Returns
    -------
    dict of str to CommonScores
        By target.
    """
    return common_scores(targets, draws)


def measure_intervals(
    targets: Targets,
    draws: FamilyDraws,
    reporting: Reporting,
) -> pd.DataFrame:
    """Give every metric of every cell its recommended interval.

    Parameters
    ----------
    targets : dict of str to TargetPredictions
        By target.
    draws : FamilyDraws
        From `draw_families`.
    reporting : Reporting
        Level of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row a metric and cell.
    """
    return cell_tables.interval_table(targets, draws, reporting.level)


def permute_labels(
    targets: Targets, participants: pd.DataFrame, grid: Grid, certainty: Certainty, seed: int
) -> pd.DataFrame:
    """Test every cell against permuted labels.

    Parameters
    ----------
    targets : dict of str to TargetPredictions
        By target.
    participants : pandas.DataFrame
        Site, sex and age.
    grid : Grid
        Families of tests.
    certainty : Certainty
        Number of permutations.
    seed : int
        Of the permutations.

    Returns
    -------
    pandas.DataFrame
        One row a cell.
    """
    return cell_tables.null_table(targets, participants, grid, certainty.permutations, seed)


def compare_cells(
    targets: Targets,
    draws: FamilyDraws,
    grid: Grid,
    certainty: Certainty,
    reporting: Reporting,
) -> pd.DataFrame:
    """Say of every input whether it adds to all others.

    Parameters
    ----------
    targets : dict of str to TargetPredictions
        From `gather_unrefined`.
    draws : FamilyDraws
        From `draw_families`.
    grid : Grid
        Its cells.
    certainty, reporting : Certainty, Reporting
        Margin and level.

    Returns
    -------
    pandas.DataFrame
        One row a pair of cells.
    """
    return pair_tables.comparison_table(targets, draws, grid, certainty.margin, reporting.level)


def share_out(scores: Scores, grid: Grid, reporting: Reporting) -> pd.DataFrame:
    """Share out skill among imaging groups and blocks.

    Parameters
    ----------
    scores : dict of str to CommonScores
        By target.
    grid : Grid
        Gives the players.
    reporting : Reporting
        Level of the intervals.

    Returns
    -------
    pandas.DataFrame
        Contributions and interactions, of targets and of domains.
    """
    return pair_tables.contribution_table(scores, grid, reporting.level)


def resample_mixed_models(scores: Scores, grid: Grid, reporting: Reporting) -> pd.DataFrame:
    """Fit the mixed models with intervals over resampled test people.

    Parameters
    ----------
    scores : dict of str to CommonScores
        By target.
    grid : Grid
        Domains and terms.
    reporting : Reporting
        Level of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row an outcome, domain, weighting and term.
    """
    return pair_tables.resampled_table(scores, grid, reporting.level)


def evaluate_study_claims(
    scores: Scores,
    intervals: pd.DataFrame,
    mixed_models: pd.DataFrame,
    claims: dict[str, Any],
    grid: Grid,
    reporting: Reporting,
    source: str,
) -> tuple[pd.DataFrame, str]:
    """Test the study's claims on this run's map.

    Parameters
    ----------
    scores : dict of str to CommonScores
        By target.
    intervals, mixed_models : pandas.DataFrame
        Of this map: of single cells, and the study's own models.
    claims : dict
        As in the file of claims.
    grid : Grid
        Names the inputs.
    reporting : Reporting
        Level of the intervals.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    claims : pandas.DataFrame
        One row a contrast and a claim.
    text : str
        The same in words, as Markdown.
    """
    table = evaluate_claims(
        claims_of(claims),
        skill_by_cell(scores),
        grid,
        reporting.level,
        errors_without_fail(intervals, reporting.level),
        mixed_models,
    )
    return table, write_claims(table, source)


def measure_calibration(
    targets: Targets,
    validation: pd.DataFrame,
    draws: FamilyDraws,
    grid: Grid,
    reporting: Reporting,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure the calibration of each target's fullest cell.

    Parameters
    ----------
    targets : dict of str to TargetPredictions
        By target.
    validation : pandas.DataFrame
        From `gather_validation_people`.
    draws : FamilyDraws
        From `draw_families`.
    grid : Grid
        Names the cells.
    reporting : Reporting
        Level of the intervals.

    Returns
    -------
    numbers, curves : pandas.DataFrame
        One row a target and measure, and one row a target and bin.
    """
    return calibration_tables.calibration_tables(targets, validation, draws, grid, reporting.level)


def measure_brain_age(targets: Targets, validation: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Give each test person's brain-age gap, for whoever relates it to something else.

    Parameters
    ----------
    targets : dict of str to TargetPredictions
        By target.
    validation : pandas.DataFrame
        From `gather_validation_people`.
    grid : Grid
        Names the cells.

    Returns
    -------
    pandas.DataFrame
        One row a test person: restricted.
    """
    return calibration_tables.gap_table(targets, validation, grid)


def weigh_participation(
    targets: Targets,
    participants: pd.DataFrame,
    draws: FamilyDraws,
    grid: Grid,
    reporting: Reporting,
) -> pd.DataFrame:
    """Score each target's fullest cell as if people took part alike.

    Parameters
    ----------
    targets : dict of str to TargetPredictions
        By target.
    participants : pandas.DataFrame
        With weights, where they were given.
    draws : FamilyDraws
        From `draw_families`.
    grid : Grid
        Names the cells.
    reporting : Reporting
        Level of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row a target; none without weights.
    """
    return limits.participation_table(targets, participants, draws, grid, reporting.level)


def score_in_subgroups(
    targets: Targets,
    participants: pd.DataFrame,
    draws: FamilyDraws,
    grid: Grid,
    reporting: Reporting,
) -> pd.DataFrame:
    """Score each target's fullest cell in subgroups.

    Parameters
    ----------
    targets : dict of str to TargetPredictions
        By target.
    participants : pandas.DataFrame
        Sex, age and site.
    draws : FamilyDraws
        From `draw_families`.
    grid : Grid
        Names the cells.
    reporting : Reporting
        Level, and which counts may be shown.

    Returns
    -------
    pandas.DataFrame
        One row a target and subgroup.
    """
    return limits.subgroup_table(
        targets, participants, draws, grid, reporting.suppress_below, reporting.level
    )


def compare_with_confounds(
    targets: Targets,
    unrefined: Targets,
    validation: pd.DataFrame,
    measurements: pd.DataFrame,
    confounds: pd.DataFrame,
    participants: pd.DataFrame,
    splits: pd.DataFrame,
    draws: FamilyDraws,
    grid: Grid,
    reporting: Reporting,
) -> pd.DataFrame:
    """Compare each target's imaging cell with confounds alone, and score it within sites.

    Parameters
    ----------
    targets : dict of str to TargetPredictions
        By target.
    unrefined, validation : dict, pandas.DataFrame
        From `gather_unrefined`.
    measurements, confounds, participants, splits : pandas.DataFrame
        Of data engineering.
    draws : FamilyDraws
        From `draw_families`.
    grid : Grid
        Names the cells.
    reporting : Reporting
        Level of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row a target.
    """
    absent = [name for name in reporting.covariates if name not in confounds]
    if absent:
        logger.warning("The table lacks the covariates %s: they are left out.", ", ".join(absent))
    known = limits.Everybody(
        measurements, confounds, participants, splits, validation, reporting.covariates
    )
    return limits.confound_table(targets, unrefined, known, draws, grid, reporting.level)


def measure_reliability(
    targets: Targets,
    measurements: pd.DataFrame,
    sources: pd.DataFrame,
    participants: pd.DataFrame,
    splits: pd.DataFrame,
    draws: FamilyDraws,
    grid: Grid,
    reporting: Reporting,
) -> pd.DataFrame:
    """Give each target's test-retest ceiling, and its share that is read.

    Parameters
    ----------
    targets : dict of str to TargetPredictions
        By target.
    measurements, sources, participants, splits : pandas.DataFrame
        Targets at all visits, the visit that each answer is of, families, and who is tested in
        which fold.
    draws : FamilyDraws
        From `draw_families`.
    grid : Grid
        Names the cells.
    reporting : Reporting
        Level of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row a target.
    """
    families = participants.drop_duplicates("eid").set_index("eid")["family"]
    cut = as_tested(measurements, participants, splits, grid)
    return retest_table(targets, cut, sources, draws, families, grid, reporting.level)


def measure_repeatability(
    targets: Targets,
    repeats: pd.DataFrame,
    draws: FamilyDraws,
    grid: Grid,
    reporting: Reporting,
) -> pd.DataFrame:
    """Say how well the predictions of people scanned twice agree.

    Parameters
    ----------
    targets : dict of str to TargetPredictions
        By target.
    repeats : pandas.DataFrame
        From `gather_validation_people`.
    draws : FamilyDraws
        From `draw_families`.
    grid : Grid
        Names the cells.
    reporting : Reporting
        Level of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row a target.
    """
    return repeatability_table(targets, repeats, draws, grid, reporting.level)


def relate_targets(
    scores: Scores,
    measurements: pd.DataFrame,
    participants: pd.DataFrame,
    splits: pd.DataFrame,
    grid: Grid,
    certainty: Certainty,
    reporting: Reporting,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Relate all pairs of targets.

    Parameters
    ----------
    scores : dict of str to CommonScores
        By target.
    measurements, participants, splits : pandas.DataFrame
        Targets, families, and who is tested in which fold.
    grid : Grid
        Targets and their kinds.
    certainty, reporting : Certainty, Reporting
        Draws and level.
    seed : int
        Of the bootstrap.

    Returns
    -------
    relations, centrality : pandas.DataFrame
        One row a measure and pair, and one row a measure and target.
    """
    draws = FamilyDraws(participants["family"], certainty.relation_draws, seed)
    families = participants.drop_duplicates("eid").set_index("eid")["family"]
    cut = as_tested(measurements, participants, splits, grid)
    measurements = at_chosen_visit(cut, participants)
    return relation_tables(measurements, families, scores, draws, grid, reporting.level)


def judge_targets(
    performance: pd.DataFrame,
    targets: Targets,
    comparisons: pd.DataFrame,
    permutations: pd.DataFrame,
    confounds: pd.DataFrame,
    reliability: pd.DataFrame,
    left_out_sites: pd.DataFrame,
    learning_curve_fits: pd.DataFrame,
    model_scale: pd.DataFrame,
    grid: Grid,
    strategy: str,
    reporting: Reporting,
    rules: VerdictRules,
) -> pd.DataFrame:
    """Say of each target whether it is legible, or what limits it.

    Parameters
    ----------
    performance : pandas.DataFrame
        The map.
    targets : dict
        Test people.
    comparisons, permutations, confounds, reliability : pandas.DataFrame
        Of this pipeline.
    left_out_sites, learning_curve_fits, model_scale : pandas.DataFrame
        Of the pipeline `evidence`; without columns where it was not run.
    grid : Grid
        Names the cells.
    strategy : str
        Of the map.
    reporting : Reporting
        Level of the intervals.
    rules : VerdictRules
        Thresholds.

    Returns
    -------
    pandas.DataFrame
        One row a target.
    """
    findings = gather_findings(
        performance,
        grid,
        strategy,
        positives(targets, grid),
        permutations,
        pair_tables.imaging_gains(comparisons, grid),
        confounds,
        reliability,
        known(left_out_sites),
        known(learning_curve_fits),
        known(model_scale),
    )
    return verdict_table(findings, rules)


def build_evidence_report(
    performance: pd.DataFrame, grid: Grid, reporting: Reporting, source: str, **tables: pd.DataFrame
) -> str:
    """Build the report page.

    Parameters
    ----------
    performance : pandas.DataFrame
        The map.
    grid : Grid
        Gives order and names.
    reporting : Reporting
        Which counts may be shown.
    source : str
        ``synthetic`` is stamped.
    **tables : pandas.DataFrame
        Of this pipeline and of `evidence`, by name; without columns where they were not made.

    Returns
    -------
    str
        One HTML file.
    """
    return build_report(grid, source, reporting.suppress_below, performance=performance, **tables)
