"""Nodes of reporting: what the predictions are worth, in tables, figures and words."""

from __future__ import annotations

from typing import Literal

import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field
from rich.console import Console
from rich.markdown import Markdown

from ukb_brain import statistics
from ukb_brain.errors import InputError
from ukb_brain.figures import exclusion_flow as flow
from ukb_brain.figures import heat_maps
from ukb_brain.grid import Grid
from ukb_brain.part_of_grid import Names
from ukb_brain.reports import dashboard, summary
from ukb_brain.reports.data_dictionary import build_data_dictionary, shown_dictionary
from ukb_brain.settings_base import Settings

Covariate = Literal[
    "ethnic_background",
    "deprivation",
    "medication_cholesterol",
    "medication_blood_pressure",
    "medication_insulin",
]


class Reporting(Settings):
    """How results are reported.

    Attributes
    ----------
    strategy : tuple of str
        The map shows the first of these that was trained: an order that is named here, before any
        result is seen.
    draws : int
        Bootstrap draws.
    level : float
        Coverage of the intervals.
    suppress_below : int
        The smallest count of people that figures, dashboard and summary may show.
    covariates : tuple of str
        Taken beside the confounds proper where scores are compared with confounds alone.
    folder : str
        Where the reports are, as the closing summary names it.
    """

    strategy: Names = Field(default=("amortised", "kernels", "linear", "dedicated"), min_length=1)
    draws: int = Field(default=1000, ge=100)
    level: float = Field(default=0.95, gt=0.5, lt=1)
    suppress_below: int = Field(default=10, ge=1)
    covariates: tuple[Covariate, ...] = ()
    folder: str = "data/08_reporting"


def choose_strategy(cell_fits: pd.DataFrame, reporting: Reporting) -> str:
    """Take the strategy of the map: the first that parameters name and that was trained.

    Parameters
    ----------
    cell_fits : pandas.DataFrame
        Of modelling.
    reporting : Reporting
        Names strategies in their order.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If none of them was trained.
    """
    trained = sorted(cell_fits["strategy"].unique())
    found = [strategy for strategy in reporting.strategy if strategy in trained]
    if not found:
        raise InputError(
            f"reporting.strategy names {', '.join(reporting.strategy)}, and the fits are of "
            f"{', '.join(trained)}: name one of these, or add it to modelling.strategies and run "
            "`kedro run`."
        )
    return found[0]


def score_all_cells(
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame,
    grid: Grid,
    draws: statistics.FamilyDraws,
    reporting: Reporting,
) -> pd.DataFrame:
    """Score every fit on its test people; see `ukb_brain.statistics.score_all`."""
    return statistics.score_all(predictions, cell_fits, participants, grid, draws, reporting.level)


def choose_map(
    predictions: pd.DataFrame,
    cell_fits: pd.DataFrame,
    participants: pd.DataFrame,
    intervals: pd.DataFrame,
    grid: Grid,
    strategy: str,
) -> pd.DataFrame:
    """Score the strategy of the map; see `ukb_brain.statistics.score_map`.

    Parameters
    ----------
    predictions, cell_fits, participants : pandas.DataFrame
        Of modelling and data engineering.
    intervals : pandas.DataFrame
        Of every metric and cell.
    grid : Grid
        Its cells are the rows.
    strategy : str
        From `choose_strategy`.

    Returns
    -------
    pandas.DataFrame
        One row a cell, with seeds averaged and folds combined.
    """
    tables = (predictions, cell_fits, participants)
    scored = statistics.score_map(*tables, grid, strategy)
    return statistics.with_intervals(scored, intervals)


def arrange_as_published(
    performance: pd.DataFrame, predictions: pd.DataFrame, cell_fits: pd.DataFrame, grid: Grid
) -> pd.DataFrame:
    """Write the map in the columns of the study's published table.

    Parameters
    ----------
    performance, predictions, cell_fits : pandas.DataFrame
        The map and what it is made of.
    grid : Grid
        Gives the published names.

    Returns
    -------
    pandas.DataFrame
        One row a cell.
    """
    return statistics.published_layout(performance, predictions, cell_fits, grid)


def fit_mixed_models(performance: pd.DataFrame, grid: Grid, reporting: Reporting) -> pd.DataFrame:
    """Fit the study's mixed model of each domain.

    Parameters
    ----------
    performance : pandas.DataFrame
        One row a cell.
    grid : Grid
        Gives the domains.
    reporting : Reporting
        Level of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row a fixed effect.
    """
    return statistics.fit_domains(
        statistics.analysable(performance), grid, source="run", level=reporting.level
    )


def draw_heat_maps(
    performance: pd.DataFrame, grid: Grid, reporting: Reporting, source: str
) -> Figure:
    """Draw the map on one page.

    Parameters
    ----------
    performance : pandas.DataFrame
        One row a cell.
    grid : Grid
        Gives order and names.
    reporting : Reporting
        Which counts may be shown.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return heat_maps.draw_heat_maps(performance, grid, source, reporting.suppress_below)


def draw_exclusion_flow(
    exclusion_flow: pd.DataFrame,
    scan_counts: pd.DataFrame,
    grid: Grid,
    reporting: Reporting,
    source: str,
) -> Figure:
    """Draw who left the cohort at which step, and who has scans.

    Parameters
    ----------
    exclusion_flow, scan_counts : pandas.DataFrame
        Of data engineering.
    grid : Grid
        Names of modalities.
    reporting : Reporting
        Which counts may be shown.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    matplotlib.figure.Figure
    """
    below = reporting.suppress_below
    return flow.draw_exclusion_flow(exclusion_flow, scan_counts, grid, below, source)


def build_dashboard(
    performance: pd.DataFrame,
    exclusion_flow: pd.DataFrame,
    target_summary: pd.DataFrame,
    quality_summary: pd.DataFrame,
    grid: Grid,
    reporting: Reporting,
    source: str,
) -> str:
    """Build the dashboard.

    Parameters
    ----------
    performance, exclusion_flow, target_summary, quality_summary : pandas.DataFrame
        The map and the counts of the cohort.
    grid : Grid
        Gives order and names.
    reporting : Reporting
        Which counts may be shown.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    str
        One HTML file.
    """
    return dashboard.build_dashboard(
        performance,
        exclusion_flow,
        target_summary,
        quality_summary,
        grid,
        source,
        reporting.suppress_below,
    )


def summarise(
    performance: pd.DataFrame,
    verdicts: pd.DataFrame,
    grid: Grid,
    reporting: Reporting,
    source: str,
) -> str:
    """Name the best and worst read characteristics, and say so on the console.

    Parameters
    ----------
    performance : pandas.DataFrame
        One row a cell.
    verdicts : pandas.DataFrame
        One row a target: what it is read through.
    grid : Grid
        Gives names.
    reporting : Reporting
        Where the reports are, and which counts may be shown.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    str
        Markdown.
    """
    text = summary.write_summary(
        performance, grid, source, reporting.folder, reporting.suppress_below, verdicts
    )
    Console().print(Markdown(text))
    return text


def write_data_dictionary(
    dictionary: pd.DataFrame, grid: Grid, reporting: Reporting, source: str
) -> tuple[pd.DataFrame, str]:
    """Write the data dictionary so that it may leave, and make its page.

    Parameters
    ----------
    dictionary : pandas.DataFrame
        Of data engineering.
    grid : Grid
        Its domains order the targets.
    reporting : Reporting
        Smallest count that is shown.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    shown : pandas.DataFrame
        One row a variable, all text.
    page : str
        HTML.
    """
    shown = shown_dictionary(dictionary, reporting.suppress_below)
    return shown, build_data_dictionary(shown, grid, source, reporting.suppress_below)
