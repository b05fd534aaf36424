"""The report page: how sure the map is, and what it rests on, in one file without network."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jinja2
import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from ukb_brain.figures.calibration import draw_calibration
from ukb_brain.figures.ceilings import draw_ceilings
from ukb_brain.figures.coefficients import draw_coefficients
from ukb_brain.figures.confounds import draw_confounds
from ukb_brain.figures.contributions import draw_contributions
from ukb_brain.figures.learning_curves import draw_learning_curves
from ukb_brain.figures.legibility import draw_legibility
from ukb_brain.figures.stamp import NOTICE, is_synthetic
from ukb_brain.grid import Grid
from ukb_brain.reports.entries import Shown
from ukb_brain.reports.sections import cells as shown
from ukb_brain.reports.sections import conclusions, limits, people
from ukb_brain.reports.words import HOW, MISSING, WORDS

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Picture:
    """A figure in the page.

    Attributes
    ----------
    data : str
        SVG, base64.
    words : str
        Says to those who do not see it what it shows.
    """

    data: str
    words: str


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    key, title : str
        Anchor and heading.
    parts : list of Picture or Shown
        In order; a section without any says how to get them.
    words, how, missing : str
        What it is about, how its numbers were obtained, and what to run where there are none.
    """

    key: str
    title: str
    parts: list[Picture | Shown] = field(default_factory=list)

    @property
    def words(self) -> str:
        """What it is about."""
        return WORDS[self.key]

    @property
    def how(self) -> str:
        """How its numbers were obtained."""
        return HOW[self.key]

    @property
    def missing(self) -> str:
        """What to run where it is empty."""
        return MISSING.get(self.key, MISSING[""])


def build_report(
    grid: Grid,
    source: str,
    suppress_below: int = 10,
    performance: pd.DataFrame | None = None,
    **tables: pd.DataFrame,
) -> str:
    """Build the report page.

    Parameters
    ----------
    **tables : pandas.DataFrame
        ``intervals, permutations, comparisons, contributions, mixed_models,
        mixed_models_resampled, claims, calibration, calibration_curves, subgroups, participation,
        confounds, reliability, repeatability, relations, centrality, learning_curves,
        learning_curve_fits, left_out_sites, model_scale, verdicts``, as in the catalog's layer of
        reporting. What is empty or not there is said to be missing, with the command that makes
        it.
    grid : Grid
        Gives order and names.
    source : str
        ``synthetic`` is stamped.
    suppress_below : int
        The smallest count of people that may be shown.
    performance : pandas.DataFrame, optional
        One row a cell; gives the figure of the map.

    Returns
    -------
    str
        HTML that loads nothing from elsewhere and holds no individual's data.
    """
    unknown = sorted(set(tables) - set(EXPECTED))
    if unknown:
        raise ValueError(f"tables {unknown} have no place in the report; known are {EXPECTED}")
    at_hand = _AtHand(tables, grid, source, suppress_below)
    context: dict[str, Any] = {
        "sections": [
            _conclusions(at_hand),
            _certainty(at_hand, performance),
            _inputs(at_hand),
            _models(at_hand),
            _limits(at_hand),
            _learning(at_hand),
            _calibration(at_hand),
            _subgroups(at_hand),
            _relations(at_hand),
        ],
        "synthetic": is_synthetic(source),
        "notice": NOTICE,
        "grid": grid.in_words(),
        "below": suppress_below,
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ukb_brain", "figures"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(context)


EXPECTED = (
    *("intervals", "permutations", "comparisons", "contributions", "mixed_models"),
    *("mixed_models_resampled", "claims", "calibration", "calibration_curves", "subgroups"),
    *("participation", "confounds", "reliability", "repeatability", "relations", "centrality"),
    *("learning_curves", "learning_curve_fits", "left_out_sites", "model_scale", "verdicts"),
)


@dataclass(frozen=True, eq=False)
class _AtHand:
    tables: Tables
    grid: Grid
    source: str
    below: int

    def of(self, name: str) -> pd.DataFrame:
        return self.tables.get(name, pd.DataFrame())

    def has(self, *names: str) -> bool:
        return all(len(self.of(name)) > 0 for name in names)


def _picture(figure: Figure, words: str) -> Picture:
    buffer = io.BytesIO()
    # The same figure gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    return Picture(base64.b64encode(buffer.getvalue()).decode(), words)


def _conclusions(at: _AtHand) -> Section:
    section = Section("conclusions", "What can be concluded")
    if at.has("claims"):
        section.parts.append(conclusions.claims_table(at.of("claims")))
    if at.has("verdicts"):
        section.parts.append(conclusions.verdict_table(at.of("verdicts"), at.grid))
    return section


def _certainty(at: _AtHand, performance: pd.DataFrame | None) -> Section:
    section = Section("certainty", "How sure is the map?")
    if performance is not None and len(performance):
        words = "Forest plot: each target's skill from its fullest inputs, with 95 % intervals."
        rough = at.of("intervals") if at.has("intervals") else None
        drawn = draw_legibility(performance, at.grid, at.source, rough)
        section.parts.append(_picture(drawn, words))
    if at.has("permutations"):
        table = shown.how_sure(at.of("permutations"), at.of("intervals"), at.grid)
        section.parts.append(table)
    return section


def _inputs(at: _AtHand) -> Section:
    section = Section("inputs", "What does each input add?")
    if at.has("contributions"):
        words = (
            "Panels by domain and input: each target's Shapley contribution with its 95 % "
            "interval, the skill without any of these inputs, and that of all together."
        )
        drawn = draw_contributions(at.of("contributions"), at.grid, at.source)
        section.parts.append(_picture(drawn, words))
    if at.has("comparisons"):
        section.parts.extend(shown.what_adds(at.of("comparisons"), at.grid))
    if at.has("contributions"):
        section.parts.append(shown.domain_means(at.of("contributions"), at.grid))
    return section


def _models(at: _AtHand) -> Section:
    section = Section("models", "The study's mixed models")
    again = at.of("mixed_models_resampled")
    if at.has("mixed_models"):
        words = (
            "Panels by domain: change in balanced accuracy with each input, the mixed model's own "
            "interval beside that over resampled people."
        )
        resampled = again if len(again) else None
        drawn = draw_coefficients(at.of("mixed_models"), at.grid, at.source, resampled)
        section.parts.append(_picture(drawn, words))
    if len(again):
        section.parts.append(shown.mixed_models(at.of("mixed_models"), again, at.grid))
    return section


def _limits(at: _AtHand) -> Section:
    section = Section("limits", "What limits legibility?")
    if at.has("confounds"):
        words = (
            "Forest plot: skill of each target's imaging cell, the same within sites, confounds "
            "alone, and what images add to confounds, with 95 % intervals."
        )
        drawn = draw_confounds(at.of("confounds"), at.grid, at.source)
        section.parts.append(_picture(drawn, words))
        section.parts.append(limits.confound_rows(at.of("confounds"), at.grid, at.below))
    if at.has("reliability"):
        words = (
            "Forest plot: each target's test-retest ceiling, and the share of it that its fullest "
            "inputs reach, with 95 % intervals."
        )
        drawn = draw_ceilings(at.of("reliability"), at.grid, at.source)
        section.parts.append(_picture(drawn, words))
        section.parts.append(
            limits.ceiling_rows(at.of("reliability"), at.of("repeatability"), at.grid, at.below)
        )
    return section


def _learning(at: _AtHand) -> Section:
    section = Section("learning", "What would more people, other sites or other models give?")
    if at.has("learning_curves", "learning_curve_fits"):
        curves, fits = at.of("learning_curves"), at.of("learning_curve_fits")
        drawn = draw_learning_curves(curves, fits, at.grid, at.source)
        words = "Panels by target: skill by number of training people, extrapolated to tenfold."
        if drawn is not None:
            section.parts.append(_picture(drawn, words))
        section.parts.append(limits.curve_rows(fits, at.grid))
    if at.has("left_out_sites"):
        section.parts.append(limits.site_rows(at.of("left_out_sites"), at.grid))
    if at.has("model_scale"):
        section.parts.extend(limits.scale_rows(at.of("model_scale"), at.grid))
    return section


def _calibration(at: _AtHand) -> Section:
    section = Section("calibration", "Are predictions of the right size?")
    if at.has("calibration_curves"):
        words = "Panels by target: what was observed in bins of like predictions, with intervals."
        drawn = draw_calibration(at.of("calibration_curves"), at.grid, at.source, at.below)
        section.parts.append(_picture(drawn, words))
    if at.has("calibration"):
        section.parts.append(people.calibration_rows(at.of("calibration"), at.grid, at.below))
    return section


def _subgroups(at: _AtHand) -> Section:
    section = Section("subgroups", "Is anybody read worse?")
    if at.has("subgroups"):
        section.parts.append(people.subgroup_rows(at.of("subgroups"), at.grid, at.below))
    if at.has("participation"):
        section.parts.append(people.participation_rows(at.of("participation"), at.grid))
    return section


def _relations(at: _AtHand) -> Section:
    section = Section("relations", "How are the characteristics related?")
    if at.has("relations"):
        relations, centrality = at.of("relations"), at.of("centrality")
        section.parts.extend(people.relation_rows(relations, centrality, at.grid))
    return section
