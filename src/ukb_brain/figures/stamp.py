"""What marks everything that shows synthetic data, and the colours and names of figures."""

from typing import Any

from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patheffects import Stroke

from ukb_brain.grid import Grid

# Settings of how an artist looks.
Look = dict[str, Any]

SYNTHETIC = "SYNTHETIC"
NOTICE = "SYNTHETIC data: generated people, not UK Biobank participants"
# Of an imaging group with more the names would not fit beside a figure.
MODALITIES_NAMED = 2
# Characters of a name that fit over a column.
LONGEST_NAME = 16
INK = "#1f2933"
MUTED = "#66717d"
WARNING = "#b4231a"
# Paul Tol's "bright" scheme: told apart by colour-blind readers too.
DOMAIN_COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee", "#bbbbbb")


def is_synthetic(source: str) -> bool:
    """Say whether results of this ``source`` (the parameter) must be stamped."""
    return source == "synthetic"


def notice_of(source: str) -> str:
    """Give the notice that results of this source bear; empty for real data."""
    return NOTICE if is_synthetic(source) else ""


def titled(title: str, source: str) -> list[str]:
    """Begin a page of Markdown, stamped where it must be."""
    notice = [f"**{NOTICE}.**", ""] if is_synthetic(source) else []
    return [f"# {title}", "", *notice]


def stamp(figure: Figure, source: str, filled: bool = True) -> Figure:
    """Mark a figure of synthetic data across its face and in its corner, in place.

    An outline, not ``filled``, leaves colours that readers compare as they are.
    """
    if not is_synthetic(source):
        return figure
    width, height = figure.get_size_inches()
    size = min(width * 11, height * 14)
    edge = Stroke(linewidth=size / 80, foreground=to_rgba(WARNING, 0.35))
    shared: Look = {"weight": "bold", "gid": "stamp", "in_layout": False}
    face: Look = {"size": size, "rotation": 28, "ha": "center", "va": "center", "zorder": 10}
    colour = to_rgba(WARNING, 0.07) if filled else "none"
    effects = None if filled else [edge]
    figure.text(0.5, 0.45, SYNTHETIC, color=colour, path_effects=effects, **face, **shared)
    corner: Look = {"size": 9, "color": WARNING, "ha": "right", "va": "top", "zorder": 11}
    box = {"boxstyle": "round,pad=0.35", "facecolor": "#fdf0ef", "edgecolor": WARNING}
    figure.text(1 - 0.12 / width, 1 - 0.12 / height, NOTICE, bbox=box, **corner, **shared)
    return figure


def colour_of(domain: str, grid: Grid) -> str:
    """Give a domain's colour, the same in every figure of a grid."""
    return DOMAIN_COLOURS[list(grid.domains).index(domain) % len(DOMAIN_COLOURS)]


def modality_names(grid: Grid) -> dict[str, str]:
    """Give the modalities' names by their keys."""
    return {key: m.name for group in grid.imaging.values() for key, m in group.items()}


def group_names(grid: Grid, between: str = "+") -> dict[str, str]:
    """Name imaging groups by their modalities; by their keys where these are many or long."""
    names = {}
    for key, group in grid.imaging.items():
        of = [m.name.replace(" Connectivity", "") for m in group.values()]
        short = len(of) <= MODALITIES_NAMED and len("+".join(of)) <= LONGEST_NAME
        names[key] = between.join(of) if short else key.replace("_", " ").capitalize()
    return names
