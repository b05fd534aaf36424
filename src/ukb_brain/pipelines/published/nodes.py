"""Nodes of a published table: its mixed models and claims."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field
from rich.console import Console
from rich.markdown import Markdown

from ukb_brain import statistics
from ukb_brain.figures import coefficients
from ukb_brain.grid import Grid
from ukb_brain.pipelines.reporting.nodes import Reporting
from ukb_brain.reports.claims import write_claims
from ukb_brain.settings_base import Settings
from ukb_brain.statistics.claims import claims_of, evaluate_claims
from ukb_brain.statistics.scores.published_intervals import published_intervals, skill_errors
from ukb_brain.statistics.scores.skill import skill_of_cells


class Published(Settings):
    """A table from outside in the published layout.

    Attributes
    ----------
    table : str
        Its file; the catalog reads it.
    test_people : int
        How many people it tested.
    """

    table: str = ""
    test_people: int = Field(default=2381, ge=4)


def read_table(table: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Check the table, and read it; see `ukb_brain.statistics.read_published`.

    Parameters
    ----------
    table : pandas.DataFrame
        As in the file.
    grid : Grid
        Names targets and inputs.

    Returns
    -------
    pandas.DataFrame
        One row a cell.
    """
    return statistics.read_published(table, grid)


def fit_mixed_models(cells: pd.DataFrame, grid: Grid, reporting: Reporting) -> pd.DataFrame:
    """Fit the study's mixed model of each domain.

    Parameters
    ----------
    cells : pandas.DataFrame
        From `read_table`.
    grid : Grid
        Gives the domains.
    reporting : Reporting
        Level of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row a fixed effect.
    """
    return statistics.fit_domains(cells, grid, source="published", level=reporting.level)


def draw_coefficients(mixed_models: pd.DataFrame, grid: Grid) -> Figure:
    """Draw each input's effect; the table's people are not this run's, so nothing is stamped.

    Parameters
    ----------
    mixed_models : pandas.DataFrame
        One row a fixed effect.
    grid : Grid
        Gives the domains.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return coefficients.draw_coefficients(mixed_models, grid, "published")


def measure_intervals(
    cells: pd.DataFrame, published: Published, reporting: Reporting
) -> pd.DataFrame:
    """Give single cells their intervals, from the number of test people.

    Parameters
    ----------
    cells : pandas.DataFrame
        From `read_table`.
    published : Published
        Test people of the table.
    reporting : Reporting
        Level of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row a cell and metric.
    """
    return published_intervals(cells, published.test_people, reporting.level)


def evaluate(
    cells: pd.DataFrame,
    intervals: pd.DataFrame,
    mixed_models: pd.DataFrame,
    claims: dict[str, Any],
    grid: Grid,
    reporting: Reporting,
) -> tuple[pd.DataFrame, str]:
    """Test the claims that need only this table, and say so on the console.

    Parameters
    ----------
    cells : pandas.DataFrame
        From `read_table`.
    intervals, mixed_models : pandas.DataFrame
        Of the same table.
    claims : dict
        As in the file of claims.
    grid : Grid
        Names the inputs.
    reporting : Reporting
        Level of the intervals.

    Returns
    -------
    claims : pandas.DataFrame
        One row a contrast and a claim.
    text : str
        The same in words, as Markdown.
    """
    level = reporting.level
    known = skill_of_cells(cells), grid, level, skill_errors(intervals, level), mixed_models
    table = evaluate_claims(claims_of(claims), *known)
    text = write_claims(table, "published")
    Console().print(Markdown(text))
    return table, text
