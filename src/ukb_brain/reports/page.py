"""The report page: how sure the map is, and what it rests on, in one file without network."""

import pandas as pd

from ukb_brain.grid import Grid
from ukb_brain.reports.html import render
from ukb_brain.reports.sections import SECTIONS

EXPECTED = sorted({name for section in SECTIONS.values() for name in section.tables()})


def build_report(grid: Grid, source: str, suppress_below: int = 10, **tables: pd.DataFrame) -> str:
    """Build the report page: HTML that loads nothing from elsewhere and holds no individual's data.

    The tables are those of `EXPECTED`, as in the catalog's layer of reporting. What is empty or not
    there is said to be missing, with the command that makes it. No count of people under
    ``suppress_below`` is shown.

    Raises
    ------
    ValueError
        If a table has no place in the report.
    """
    unknown = sorted(set(tables) - set(EXPECTED))
    if unknown:
        raise ValueError(f"tables {unknown} have no place in the report; known are {EXPECTED}")
    known = {name: table for name, table in tables.items() if len(table)}
    given = known | {"grid": grid, "source": source, "suppress_below": suppress_below}
    sections = [(key, section, section.made(given)) for key, section in SECTIONS.items()]
    contents = [(key, section.title) for key, section in SECTIONS.items()]
    words = grid.in_words()
    return render("report", source, suppress_below, contents, sections=sections, grid=words)
