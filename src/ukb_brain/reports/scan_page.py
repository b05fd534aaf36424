"""Pictures of single scans, on a page that may not leave."""

import base64
import hmac
from collections.abc import Mapping
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from ukb_brain.figures.scan_pictures import axial, contact_sheet, matrix_of, three_planes
from ukb_brain.figures.stamp import modality_names
from ukb_brain.grid import Grid
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.imaging.quality import template_brain
from ukb_brain.imaging.readers import stored_in
from ukb_brain.imaging.store import RecordStore
from ukb_brain.reports import show
from ukb_brain.reports.quality_page import page_of, sections_of, words
from ukb_brain.words import number

# Flagged scans that are drawn, and scans of each modality on a contact sheet.
MOST_FLAGGED, ON_A_SHEET = 24, 24
# Characters of a person's code, of five bits: of a million people two have the same once in two
# million times.
CODE_LENGTH = 12
FLAGS = {"": "", "correlation": "unlike the mean", "duplicate": "one image twice"}
SHEETS = (
    "Usable scans of the people whose codes come first, one visit of each: codes know nothing of "
    "scans. Every picture has a scale of its own. Volumes are cut where the planes above cross; "
    "left is left, and the line is the template's brain."
)


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
        *sections_of(scans, grid, settings, source, below=1),
        ("flagged", words("Scans to look at", ""), draw.flagged(known)),
        ("sheets", words("Contact sheets", SHEETS), draw.sheets(known)),
    ]
    return page_of(sections, source, 1, restricted=True), codes


def code_of(eid: int, key: bytes) -> str:
    """Make a short code of an eid, which only who has the key can tell."""
    digest = hmac.digest(key, str(eid).encode(), "sha256")
    return base64.b32encode(digest).decode()[:CODE_LENGTH]


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
        asked = scans.assign(later=~poor)[poor | (scans["flags"] != "")]
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
        told = ", ".join(f"{n} {number(v)}" for n, v in known.items() if pd.notna(v))
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
