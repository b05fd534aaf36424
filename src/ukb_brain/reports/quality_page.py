"""How good scans are: counts and distributions, on a page that may leave."""

from collections.abc import Mapping

import pandas as pd

from ukb_brain.figures.scan_quality import draw_measures
from ukb_brain.figures.stamp import modality_names
from ukb_brain.figures.suppression import any_small, suppress_counts
from ukb_brain.grid import Grid
from ukb_brain.imaging.judging import KEYS, READ, WORDS, Limits, beyond
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.reports import show
from ukb_brain.reports.html import RESTRICTED, render
from ukb_brain.tables.dictionary import Codings

# Coding of UK Biobank's assessment centres.
CENTRES = 10
SHOWN = WORDS | {"correlation": "correlation with the mean of training people"}
HOW = (
    "Each measure is of a scan by itself, taken where the scan was read; correlations are with the "
    "mean of the first fold's training people. Limits are fixed beforehand "
    "(imaging_preprocess.quality) and leave out; unlikeness to the mean leaves nobody out: it is "
    "flagged where it lies below the outer fence (Tukey's) of training people's."
)
# In the order in which they are told.
STATES = {
    "ok": "Used",
    "poor": "Read, but beyond a limit or one image twice: left out",
    "broken": "The file could not be read",
    "missing": "There is no file, or not what is needed of it",
    "unusable": "UK Biobank put it aside",
    "flagged": "Of those that were read, to be looked at; a flag itself leaves nobody out",
}
Section = tuple[str, dict[str, str], list[show.Picture | show.Table]]


def scans_of(
    quality: pd.DataFrame, flags: pd.DataFrame, participants: pd.DataFrame, codings: Codings
) -> pd.DataFrame:
    """Put beside each scan's measures its flags, correlation and site, by name."""
    labels = {
        code: text.removesuffix(" (imaging)") for code, text in codings.labels(CENTRES).items()
    }
    sites = {code: labels.get(code, str(code)) for code in participants["site"].unique()}
    places = participants[KEYS].assign(site=participants["site"].map(sites))
    table = quality.merge(flags, on=[*KEYS, "modality"], how="left").merge(places, on=KEYS)
    return table.assign(flags=table["flags"].fillna(""))


def build_quality_page(
    scans: pd.DataFrame, grid: Grid, settings: ImagingPreprocess, source: str, below: int
) -> str:
    """Build the page that may leave: distributions and counts, without small ones.

    ``scans`` is from `scans_of`.
    """
    sections = sections_of(scans, grid, settings, source, below)
    return page_of(sections, source, below, restricted=False)


def words(title: str, how: str = HOW) -> dict[str, str]:
    """Say what a section is about, and how its numbers were obtained."""
    return {"title": title, "how": how}


def page_of(sections: list[Section], source: str, below: int, *, restricted: bool) -> str:
    """Fill the template that both pages have."""
    contents = [(key, words["title"]) for key, words, _ in sections]
    mark = RESTRICTED if restricted else ""
    return render("quality", source, below, contents, sections=sections, mark=mark)


def sections_of(
    scans: pd.DataFrame, grid: Grid, settings: ImagingPreprocess, source: str, below: int
) -> list[Section]:
    """Make the sections that both pages have; ``below`` is 1 where every count may be shown."""
    names = modality_names(grid)
    shown = {m: names.get(m, m) for m in settings.modalities if m in set(scans["modality"])}
    states = _states(scans, shown)
    # What one table rounds, another may not give away.
    rounded = any_small(states[[*STATES]], below)
    out: list[Section] = [("counts", words("How many scans"), [_counts(states, below)])]
    for modality, title in shown.items():
        mine = scans[(scans["modality"] == modality) & scans["status"].isin(READ)]
        measures = [name for name in SHOWN if name in mine and mine[name].notna().any()]
        if mine.empty:
            continue
        limits = settings.quality.limits.get(modality, {})
        heading = f"What was measured of {title}"
        figure = draw_measures(mine[["site", *measures]], limits, heading, source, below)
        shown_in = f"How each measure of {title} scans is distributed, by site."
        rows = _measures(mine[measures], limits, below)
        table = suppress_counts(rows, ["n", "beyond"], below, rounded)
        parts: list[show.Picture | show.Table] = [
            show.picture(figure, shown_in),
            _measure_table(table, title),
        ]
        out.append((modality, words(title, ""), parts))
    return out


def _states(scans: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    modality = scans["modality"].map(names)
    table = pd.crosstab(modality, scans["status"]).reindex([*names.values()])
    table["flagged"] = scans["flags"].ne("").groupby(modality).sum()
    return table.reindex(columns=[*STATES]).fillna(0).astype(int).reset_index()


def _counts(states: pd.DataFrame, below: int) -> show.Table:
    return show.Table(
        "Scans by modality.",
        suppress_counts(states, [*STATES], below).to_dict("records"),
        show.text("Modality: What was imaged", "{modality}"),
        *(show.numeral(f"{c.capitalize()}: {how}", f"{{{c}}}") for c, how in STATES.items()),
    )


def _measures(scans: pd.DataFrame, limits: Limits, below: int) -> pd.DataFrame:
    """Describe each measure, one a column, in a row.

    A percentile stands where at least ``below`` scans lie on either side of it.
    """
    rows = []
    for name in map(str, scans):
        values = scans[name].dropna()
        low, high = limits.get(name, (None, None))
        ends = ((low, "≥"), (high, "≤"))
        n_beyond = sum(int(side.sum()) for side in beyond(values, low, high))
        rows.append(
            {"name": name, "words": SHOWN[name], "n": len(values), "beyond": n_beyond}
            | {"limits": " ".join(f"{sign} {end:g}" for end, sign in ends if end is not None)}
            | {f"q{q}": _percentile(values, q, below) for q in (5, 50, 95)}
        )
    return pd.DataFrame(rows)


def _percentile(values: pd.Series, per_cent: int, below: int) -> str:
    if min(per_cent, 100 - per_cent) * len(values) < 100 * below:
        return ""
    return _amount(float(values.quantile(per_cent / 100)))


def _amount(value: float) -> str:
    small = 0 < abs(value) < 0.0005
    text = "< 0.0005" if small else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "−")


def _measure_table(rows: pd.DataFrame, title: str) -> show.Table:
    return show.Table(
        f"Measures of {title}.",
        rows.to_dict("records"),
        show.text("Measure: Its name in tables and parameters", "{name}"),
        show.text("What it is: In words", "{words}"),
        show.numeral("Scans: Of which it is known", "{n}"),
        show.numeral("5 %: So many have less", "{q5}"),
        show.numeral("Median: Half have less", "{q50}"),
        show.numeral("95 %: So many have less", "{q95}"),
        show.numeral("Limits: Beyond them a scan is left out", "{limits}"),
        show.numeral("Beyond: Scans that were left out for it", "{beyond}"),
    )
