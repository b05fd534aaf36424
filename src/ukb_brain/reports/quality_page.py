"""Two pages of how good scans are: distributions, which may leave, and pictures, which may not."""

import base64
import hmac
from collections.abc import Iterable, Mapping
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from ukb_brain.figures.scan_pictures import axial, contact_sheet, matrix_of, three_planes
from ukb_brain.figures.scan_quality import draw_measures
from ukb_brain.figures.stamp import modality_names
from ukb_brain.figures.suppression import suppress_counts
from ukb_brain.grid import Grid
from ukb_brain.imaging.judging import KEYS, WORDS
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
Section = tuple[str, dict[str, str], list[show.Picture | show.Table]]


def scans_of(
    quality: pd.DataFrame, flags: pd.DataFrame, participants: pd.DataFrame, codings: Codings
) -> pd.DataFrame:
    """Put beside each scan's measures its flags, correlation and site, by name."""
    labels = codings.labels(CENTRES)
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
        ("flagged", _words("Scans to look at", ""), draw.flagged(known)),
        ("sheets", _words("Contact sheets", ""), draw.sheets(known)),
    ]
    return _page(sections, source, 1, restricted=True), codes


def code_of(eid: int, key: bytes) -> str:
    """Make a short code of an eid, which only who has the key can tell."""
    digest = hmac.digest(key, str(eid).encode(), "sha256")
    return base64.b32encode(digest).decode()[:CODE_LENGTH]


def _words(title: str, words: str, how: str = HOW) -> dict[str, str]:
    return {"title": title, "words": words, "how": how}


def _page(sections: list[Section], source: str, below: int, *, restricted: bool) -> str:
    contents = [(key, words["title"]) for key, words, _ in sections]
    mark = RESTRICTED if restricted else ""
    return render("quality", source, below, contents, sections=sections, mark=mark)


def _sections(
    scans: pd.DataFrame, grid: Grid, settings: ImagingPreprocess, source: str, below: int
) -> list[Section]:
    names = modality_names(grid)
    shown = [modality for modality in settings.modalities if modality in set(scans["modality"])]
    counts = (
        "counts",
        _words("How many scans", "Scans by what became of them.", ""),
        [_counts(scans, {m: names.get(m, m) for m in shown}, below)],
    )
    out: list[Section] = [counts]
    for modality in shown:
        title = names.get(modality, modality)
        mine = scans[(scans["modality"] == modality) & scans["content"].notna()]
        measures = [name for name in SHOWN if name in mine and mine[name].notna().any()]
        if mine.empty:
            continue
        limits = settings.quality.limits.get(modality, {})
        figure = draw_measures(mine[["site", *measures]], limits, title, source, below)
        words = f"Distributions of what was measured of each {title} scan, by site."
        table = _measures(mine, measures, limits, title, below)
        out.append((modality, _words(title, words), [show.picture(figure, words), table]))
    return out


def _counts(scans: pd.DataFrame, names: Mapping[str, str], below: int) -> show.Table:
    states = scans.assign(modality=scans["modality"].map(names))
    states = pd.crosstab(states["modality"], states["status"]).reindex([*names.values()])
    flagged = scans["flags"].ne("").groupby(scans["modality"].map(names)).sum()
    table = states.fillna(0).astype(int).assign(flagged=flagged).reset_index()
    columns = list(table.columns[1:])
    table = suppress_counts(table, columns, below)
    how = {
        "ok": "Used",
        "poor": "Read, but beyond a limit or one image twice: left out",
        "broken": "The file could not be read",
        "missing": "There is no file, or not what is needed of it",
        "unusable": "UK Biobank put it aside",
        "flagged": "Of those that were read, to be looked at; the flag itself leaves nobody out",
    }
    return show.Table(
        "Scans by modality.",
        table.to_dict("records"),
        show.text("Modality: What was imaged", "{modality}"),
        *(show.numeral(f"{c.capitalize()}: {how.get(c, c)}", f"{{{c}}}") for c in columns),
    )


def _measures(
    scans: pd.DataFrame,
    names: Iterable[str],
    limits: Mapping[str, tuple[float | None, float | None]],
    title: str,
    below: int,
) -> show.Table:
    rows = []
    for name in names:
        values = scans[name].dropna()
        low, high = limits.get(name, (None, None))
        beyond = 0
        beyond += 0 if low is None else int((values < low).sum())
        beyond += 0 if high is None else int((values > high).sum())
        few = len(values) < 20 * below
        ends = ["" if few else f"{v:.3g}" for v in values.quantile((0.05, 0.5, 0.95))]
        asked = " ".join(
            f"{sign} {end:g}" for sign, end in (("≥", low), ("≤", high)) if end is not None
        )
        row = {"name": name, "words": SHOWN[name], "limits": asked}
        row |= dict(zip(("low", "middle", "high"), ends, strict=True))
        rows.append(row | {"n": len(values), "beyond": beyond})
    table = suppress_counts(pd.DataFrame(rows), ["n", "beyond"], below)
    return show.Table(
        f"Measures of {title}.",
        table.to_dict("records"),
        show.text("Measure: Its name in tables and parameters", "{name}"),
        show.text("What it is: In words", "{words}"),
        show.numeral("Scans: Of which it is known", "{n}"),
        show.numeral("5 %: So many have less", "{low}"),
        show.numeral("Median: Half have less", "{middle}"),
        show.numeral("95 %: So many have less", "{high}"),
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
        self.names, self.of_volumes = names, stored_in("volumes", settings)
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
        for modality, rows in usable.groupby("modality", sort=False):
            drawn = rows.head(ON_A_SHEET)
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
