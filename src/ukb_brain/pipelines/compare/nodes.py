"""The node that compares two runs."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.markdown import Markdown

from ukb_brain.pipelines.reporting.nodes import Reporting
from ukb_brain.reports.claims import write_comparison
from ukb_brain.statistics.map_comparison import compare_maps


def compare(
    performance: pd.DataFrame, other: pd.DataFrame, reporting: Reporting, source: str
) -> tuple[pd.DataFrame, str]:
    """Compare another run's map with this one's, and say so on the console.

    Parameters
    ----------
    performance, other : pandas.DataFrame
        Performance tables.
    reporting : Reporting
        Level of the intervals.
    source : str
        ``synthetic`` is stamped.

    Returns
    -------
    cells : pandas.DataFrame
        One row a cell.
    text : str
        The same in words, as Markdown.
    """
    cells = compare_maps(performance, other, reporting.level)
    text = write_comparison(cells, source)
    Console().print(Markdown(text))
    return cells, text
