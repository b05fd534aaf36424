"""Two pages of how good scans are: distributions, which may leave, and pictures, which may not."""

import base64
import hmac
from collections.abc import Mapping
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from ukb_brain.figures.scan_pictures import axial, contact_sheet, matrix_of, three_planes
from ukb_brain.figures.scan_quality import draw_measures
from ukb_brain.figures.stamp import modality_names
from ukb_brain.figures.suppression import any_small, suppress_counts
from ukb_brain.grid import Grid
from ukb_brain.imaging.judging import KEYS, WORDS, Limits
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.imaging.quality import template_brain
from ukb_brain.imaging.readers import stored_in
from ukb_brain.imaging.store import RecordStore
from ukb_brain.reports import show
from ukb_brain.reports.html import RESTRICTED, render
from ukb_brain.tables.dictionary import Codings

# Coding of UK Biobank's assessment centres.
CENTRES = 10
# Flagged scans that are drawn, and scans of each modality on a contact sheet.
MOST_FLAGGED, ON_A_SHEET = 24, 24
# Characters of a person's code: of 100,000 people hardly ever two have the same.
CODE_LENGTH = 8
SHOWN = WORDS | {"correlation": "correlation with the mean of training people"}
FLAGS = {"correlation": "unlike the mean", "duplicate": "one image twice"}
HOW = (
    "Each measure is of a scan by itself, taken where the scan was read; correlations are with the "
    "mean of the first fold's training people. Limits are fixed beforehand "
    "(imaging_preprocess.quality) and leave out; unlikeness to the mean leaves nobody out: it is "
    "flagged where it lies below the outer fence (Tukey's) of training people's."
)
SHEETS = (
    "Usable scans of the people whose codes come first, one visit of each: the codes know nothing of "
    "scans. Every picture has a scale of its own. Volumes are cut where the planes above cross; "
    "left is left, and the line is the template's brain."
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
    sections = _sections(scans, grid, settings, source, below)
    return _page(sections, source, below, restricted=False)


def build_scan_page(
    scans: pd.DataFrame,
    volumes: RecordStore,
    vectors: RecordStore,
    key: bytes,
    grid: Grid,
    settings: ImagingPreprocess,
    source: str,
) -> tuple[str, pd.DataFrame]:
    """Build the page that may not leave: the same in full, and pictures of single scans.

    ``scans`` is from `scans_of`; ``key`` makes codes of eids.

    Returns
    -------
    page : str
        HTML that names nobody but by code.
    codes : pandas.DataFrame
        ``code, eid`` of everybody who has a scan.
    """
    eids = np.sort(scans["eid"].unique())
    codes = pd.DataFrame({"code": [code_of(int(eid), key) for eid in eids], "eid": eids})
    known = scans.assign(code=scans["eid"].map(codes.set_index("eid")["code"]))
    draw = _Drawer(volumes, vectors, settings, modality_names(grid))
    sections = [
        *_sections(scans, grid, settings, source, below=1),
        ("flagged", _words("Scans to look at", HOW), draw.flagged(known)),
        ("sheets", _words("Contact sheets", SHEETS), draw.sheets(known)),
    ]
    return _page(sections, source, 1, restricted=True), codes


def code_of(eid: int, key: bytes) -> str:
    """Make a short code of an eid, which only who has the key can tell."""
    digest = hmac.digest(key, str(eid).encode(), "sha256")
    return base64.b32encode(digest).decode()[:CODE_LENGTH]


def _words(title: str, how: str = HOW) -> dict[str, str]:
    return {"title": title, "how": how}


def _page(sections: list[Section], source: str, below: int, *, restricted: bool) -> str:
    contents = [(key, words["title"]) for key, words, _ in sections]
    mark = RESTRICTED if restricted else ""
    return render("quality", source, below, contents, sections=sections, mark=mark)


def _sections(
    scans: pd.DataFrame, grid: Grid, settings: ImagingPreprocess, source: str, below: int
) -> list[Section]:
    names = modality_names(grid)
    shown = {m: names.get(m, m) for m in settings.modalities if m in set(scans["modality"])}
    states = _states(scans, shown)
    # What one table rounds, another may not give away.
    rounded = any_small(states[[*STATES]], below)
    out: list[Section] = [("counts", _words("How many scans", ""), [_counts(states, below)])]
    for modality, title in shown.items():
        mine = scans[(scans["modality"] == modality) & scans["content"].notna()]
        measures = [name for name in SHOWN if name in mine and mine[name].notna().any()]
        if mine.empty:
            continue
        limits = settings.quality.limits.get(modality, {})
        heading = f"What was measured of {title}"
        figure = draw_measures(mine[["site", *measures]], limits, heading, source, below)
        words = f"How each measure of {title} scans is distributed, by site."
        rows = _measures(mine[measures], limits)
        table = suppress_counts(rows, ["n", "beyond"], below, rounded)
        parts = [show.picture(figure, words), _measure_table(table, title)]
        out.append((modality, _words(title), parts))
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


def _measures(scans: pd.DataFrame, limits: Limits) -> pd.DataFrame:
    """Describe each measure, one a column, in a row."""
    rows = []
    for name in scans:
        values = scans[name].dropna()
        low, high = limits.get(name, (None, None))
        ends = ((low, "≥"), (high, "≤"))
        beyond = (values < (-np.inf if low is None else low)) | (
            values > (np.inf if high is None else high)
        )
        rows.append(
            {"name": name, "words": SHOWN[name], "n": len(values), "beyond": int(beyond.sum())}
            | {"limits": " ".join(f"{sign} {end:g}" for end, sign in ends if end is not None)}
            | {f"q{q}": _amount(values.quantile(q / 100)) for q in (5, 50, 95)}
        )
    return pd.DataFrame(rows)


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


class _Drawer:
    """Draws single scans out of the stores."""

    def __init__(
        self,
        volumes: RecordStore,
        vectors: RecordStore,
        settings: ImagingPreprocess,
        names: Mapping[str, str],
    ) -> None:
        self.volumes, self.vectors, self.affine = volumes, vectors, settings.affine
        self.names, self.order = names, list(settings.modalities)
        self.of_volumes = stored_in("volumes", settings)
        self.brain = template_brain(settings.shape, settings.voxel_mm, settings.centre_mm)

    def flagged(self, scans: pd.DataFrame) -> list[show.Picture | show.Table]:
        """Draw what was left out as poor, then what is flagged, the least like the mean first."""
        poor = scans["status"] == "poor"
        asked = scans[poor | (scans["flags"] != "")].assign(later=~poor)
        asked = asked.sort_values(["later", "correlation", "code", "instance"])
        template = nib.Nifti1Image(self.brain.astype(np.uint8), self.affine)
        pictures: list[show.Picture | show.Table] = []
        for row in asked.head(MOST_FLAGGED).to_dict("records"):
            values = self._read(row)
            if values.ndim == 3:
                volume = nib.Nifti1Image(values.astype(np.float32), self.affine)
                png = three_planes(volume, template)
            else:
                png = contact_sheet([matrix_of(values)], [""])
            pictures.append(_picture(png, self._caption(row), "small"))
        return [_listed(asked, self.names), *pictures]

    def sheets(self, scans: pd.DataFrame) -> list[show.Picture | show.Table]:
        """Draw some usable scans of each modality, those whose codes come first."""
        out: list[show.Picture | show.Table] = []
        usable = scans[scans["status"] == "ok"].sort_values(["code", "instance"])
        for modality in self.order:
            rows = usable[usable["modality"] == modality]
            if rows.empty:
                continue
            drawn = rows.drop_duplicates("code").head(ON_A_SHEET)
            of_volumes = modality in self.of_volumes
            every = [self._read(row) for row in drawn.to_dict("records")]
            slices = [axial(v, self.affine) if of_volumes else matrix_of(v) for v in every]
            outline = axial(self.brain.astype(np.float32), self.affine) if of_volumes else None
            words = f"{self.names.get(modality, modality)}: {len(drawn)} of {len(rows):,} scans."
            if of_volumes:
                words += " Left is left; the line is the template's brain."
            png = contact_sheet(slices, drawn["code"].tolist(), outline)
            out.append(_picture(png, words, "whole"))
        return out

    def _read(self, row: Mapping[Any, Any]) -> np.ndarray:
        store = self.volumes if row["modality"] in self.of_volumes else self.vectors
        return store.read(row["modality"], (row["eid"], row["instance"]))

    def _caption(self, row: Mapping[Any, Any]) -> str:
        name = self.names.get(row["modality"], row["modality"])
        why = row["reason"] or " and ".join(FLAGS[flag] for flag in row["flags"].split(", "))
        known = {n: row[n] for n in ("overlap", "empty", "snr", "correlation") if n in row}
        told = ", ".join(f"{n} {v:.2g}" for n, v in known.items() if pd.notna(v))
        return f"{row['code']} · {name} · visit {row['instance']} · {why} ({told})"


def _picture(png: bytes, words: str, size: str) -> show.Picture:
    return show.Picture(base64.b64encode(png).decode(), words, "png", size)


def _listed(asked: pd.DataFrame, names: Mapping[str, str]) -> show.Table:
    rows = [
        {
            "code": row["code"],
            "modality": names.get(row["modality"], row["modality"]),
            "instance": row["instance"],
            "status": row["status"],
            "flags": ", ".join(FLAGS.get(flag, "") for flag in row["flags"].split(", ")),
            "reason": row["reason"],
            "correlation": row["correlation"],
        }
        for row in asked.to_dict("records")
    ]
    drawn = f"; the first {MOST_FLAGGED} are drawn below" if len(rows) > MOST_FLAGGED else ""
    return show.Table(
        f"Scans that are left out as poor, and flagged ones{drawn}.",
        rows,
        show.text("Code: Of the participant: 03_primary/scan_codes.parquet has the eid", "{code}"),
        show.text("Modality: What was imaged", "{modality}"),
        show.numeral("Visit: Instance", "{instance}"),
        show.text("Status: poor is left out, ok is used", "{status}"),
        show.text("Reason: Why it is left out", "{reason}"),
        show.text("Flags: What to look at", "{flags}"),
        show.plain("Correlation: With the mean of training people", "correlation"),
    )
