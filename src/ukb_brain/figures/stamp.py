"""What marks everything that shows synthetic data, and the look that figures share."""

from __future__ import annotations

from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patheffects import Stroke

SYNTHETIC = "SYNTHETIC"
NOTICE = "SYNTHETIC data: generated people, not UK Biobank participants"
INK = "#1f2933"
MUTED = "#66717d"
WARNING = "#b4231a"
# Paul Tol's "bright" scheme: told apart by colour-blind readers too.
DOMAIN_COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee", "#bbbbbb")


def is_synthetic(source: str) -> bool:
    """Whether results of this source must be stamped.

    Parameters
    ----------
    source : str
        The parameter ``source``: ``synthetic``, or ``ukb`` for real data.

    Returns
    -------
    bool
    """
    return source == "synthetic"


def stamp(figure: Figure, source: str, filled: bool = True) -> Figure:
    """Mark a figure of synthetic data across its face and in its corner.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Changed in place.
    source : str
        The parameter ``source``.
    filled : bool
        An outline leaves colours that readers compare as they are.

    Returns
    -------
    matplotlib.figure.Figure
        The same figure.
    """
    if not is_synthetic(source):
        return figure
    width, height = figure.get_size_inches()
    size = min(width * 11, height * 14)
    edge = Stroke(linewidth=size / 80, foreground=to_rgba(WARNING, 0.35))
    figure.text(
        0.5,
        0.45,
        SYNTHETIC,
        size=size,
        rotation=28,
        color=to_rgba(WARNING, 0.07) if filled else "none",
        path_effects=None if filled else [edge],
        weight="bold",
        ha="center",
        va="center",
        zorder=10,
        gid="stamp",
        in_layout=False,
    )
    figure.text(
        1 - 0.12 / width,
        1 - 0.12 / height,
        NOTICE,
        size=9,
        color=WARNING,
        weight="bold",
        ha="right",
        va="top",
        bbox={"boxstyle": "round,pad=0.35", "facecolor": "#fdf0ef", "edgecolor": WARNING},
        zorder=11,
        gid="stamp",
        in_layout=False,
    )
    return figure


def colour_of(domain: str, domains: tuple[str, ...]) -> str:
    """Colour of a domain, the same in every figure.

    Parameters
    ----------
    domain : str
        One of ``domains``.
    domains : tuple of str
        All domains, in the order of the grid.

    Returns
    -------
    str
        Hexadecimal colour.
    """
    return DOMAIN_COLOURS[domains.index(domain) % len(DOMAIN_COLOURS)]
