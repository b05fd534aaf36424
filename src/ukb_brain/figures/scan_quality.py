"""How measures of scans are distributed, by site."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ukb_brain.figures.forest import bare, entitle, head, legend, say, tiles
from ukb_brain.figures.stamp import DOMAIN_COLOURS, INK, MUTED, WARNING, stamp

BINS = 16
# Beyond so many sites lines cannot be told apart, and all are drawn as one.
MOST_SITES = 6
# Share of scans at either end that lie in the outermost bins, whatever their values.
ENDS = 0.005

Floats = NDArray[np.float64]


def bin_edges(values: Floats, below: int) -> Floats | None:
    """Divide the range of values into bins; None if they are too few, or but one.

    The range leaves out a share at either end, and at least ``below`` values, so that no end of it
    is one scan's.
    """
    if len(values) <= 2 * below + 1:
        return None
    left_out = max(ENDS, below / len(values))
    low, high = np.quantile(values, (left_out, 1 - left_out))
    if low < high <= low + BINS and (values == np.round(values)).all():
        # Whole numbers have a bin each.
        return np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    return np.linspace(low, high, BINS + 1) if low < high else None


def shares(values: Floats, edges: Floats, below: int) -> Floats:
    """Give each bin's share of values; NaN where there is none to show.

    With ``below`` above 1 counts are rounded to its multiples and smaller ones are 0, so that none
    can be worked out.
    """
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].astype(float)
    if below > 1:
        counts = np.where(counts < below, 0, below * np.round(counts / below))
    return counts / counts.sum() if counts.any() else np.full(len(counts), np.nan)


def draw_measures(
    scans: pd.DataFrame,
    limits: Mapping[str, tuple[float | None, float | None]],
    title: str,
    source: str,
    below: int,
) -> Figure:
    """Draw how often each measure of a modality's scans has which value, a line a site.

    Parameters
    ----------
    scans : pandas.DataFrame
        One row a scan: ``site``, a name, and a column a measure.
    limits : mapping of str to (float, float)
        Lowest and highest value of measures, None for none.
    title : str
        Of the figure.
    source : str
        What kind of data it is.
    below : int
        Bins with fewer scans of a site are left empty; 1 shows all.
    """
    sites = sorted(scans["site"].unique())
    if len(sites) > MOST_SITES:
        scans, sites = scans.assign(site="all sites"), ["all sites"]
    measures = [str(name) for name in scans if name != "site"]
    figure, every = tiles(len(measures), 4, ("", "share of a site's scans"), base=0.7)
    few = f" Bins with fewer than {below} scans of a site are left empty." if below > 1 else ""
    head(
        figure,
        title,
        "Each measure across, how often it has that value upwards. What lies farther out than the "
        f"axis is in its outermost bins.{few}\nDashed: limits beyond which a scan is left out, "
        "where they are near.",
    )
    for axes, name in zip(every, measures, strict=True):
        entitle(axes, name)
        bare(axes, labelsize=8, labelcolor=MUTED)
        axes.set_yticks([])
        edges = _lines(axes, scans[["site", name]].dropna(), sites, below)
        for limit in limits.get(name, ()):
            if edges is not None and limit is not None and edges[0] < limit < edges[-1]:
                axes.axvline(limit, color=WARNING, lw=1.2, ls="--")
    handles = [
        Line2D([], [], color=colour, lw=2, label=site)
        for site, colour in zip(sites, DOMAIN_COLOURS, strict=False)
    ]
    legend(figure, handles, (0.015, 0.06 / figure.get_figheight()))
    return stamp(figure, source, filled=False)


def _lines(axes: Axes, scans: pd.DataFrame, sites: list[str], below: int) -> Floats | None:
    values = scans.iloc[:, 1].to_numpy(np.float64)
    edges = bin_edges(values, below if below > 1 else 0)
    if edges is None:
        one = len(values) > 2 * below + 1
        say(axes, f"{np.median(values):.4g} in nearly all" if one else "too few scans", color=INK)
        axes.set_xticks([])
        return None
    for site, colour in zip(sites, DOMAIN_COLOURS, strict=False):
        of_site = shares(values[scans["site"] == site], edges, below)
        axes.stairs(of_site, edges, color=colour, lw=1.4)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", nbins=4)
    return edges
