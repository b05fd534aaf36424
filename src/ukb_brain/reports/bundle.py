"""What may leave: reports gathered into one archive, each checked first.

A table may hold no column that belongs to one person and no eid, and its small counts are
suppressed in the copy that leaves; a text or page may hold no eid, and no
page may be marked as restricted. Pictures are packed as they are
drawn, from what may be shown. What is of another kind, such as models, is left out and listed.
"""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.atomic import atomic_path
from ukb_brain.errors import InputError
from ukb_brain.figures.calibration import showable
from ukb_brain.figures.suppression import suppress_counts
from ukb_brain.reports.html import RESTRICTED

# Columns that only a table of persons has.
PERSONAL = {"eid", "instance", "family", "y_true", "y_pred", "date", "gap", "predicted_age"}
# Columns that count people; those of cells, draws or trials are not among them.
COUNTS = re.compile(
    r"^(n|n_(train|val|test|people|effective|largest)|events|excluded|remaining|missing)$"
)
TABLES, TEXTS = (".parquet", ".csv"), (".md", ".html", ".txt")
KINDS = (*TABLES, *TEXTS, ".png", ".svg")
MANIFEST, NAME = "MANIFEST.json", "exportable.zip"
# Zip has no time before this; the same reports give the same archive.
DATED = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Rules:
    """What is checked: no one's eid may occur, and counts under ``below`` are suppressed.

    ``synthetic`` is whether everything is of generated people, which the manifest says.
    """

    eids: frozenset[int]
    below: int
    synthetic: bool

    def refuse(self, where: str, numbers: Iterable[int]) -> None:
        """Raise an `InputError` if any of some numbers is an eid."""
        if found := len(self.eids & set(numbers)):
            raise InputError(
                f"{where} holds {found} participants' eids: it may not leave. Move the file out of "
                "the folder of reports."
            )


def write_bundle(folder: Path, rules: Rules) -> pd.DataFrame:
    """Gather the reports of a folder into ``exportable.zip`` beside them.

    Returns
    -------
    pandas.DataFrame
        One row a file: ``file, included, suppressed`` (number of counts), ``reason``.

    Raises
    ------
    InputError
        If a report holds what belongs to one person; then no archive is left.
    """
    archive = folder / NAME
    archive.unlink(missing_ok=True)
    reports = sorted(path for path in folder.rglob("*") if path.is_file())
    if not reports:
        raise InputError(f"{folder} holds no reports: run `kedro run --pipelines reporting`.")
    rows: list[dict[str, Any]] = []
    with atomic_path(archive) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in reports:
            name = path.relative_to(folder).as_posix()
            row = {"file": name, "included": path.suffix in KINDS, "suppressed": 0, "reason": ""}
            rows.append(row)
            if not row["included"]:
                row["reason"] = "neither table, text nor figure"
                continue
            content = path.read_bytes()
            if path.suffix in TABLES:
                content, row["suppressed"] = _table(path, name, rules)
            elif path.suffix in TEXTS:
                text = content.decode("utf-8", errors="replace")
                rules.refuse(name, _numbers_in(text))
                if RESTRICTED in text:
                    raise InputError(
                        f"{name} is a restricted page, with pictures of single people: it may not "
                        "leave. Move it out of the folder of reports."
                    )
            row["sha256"] = hashlib.sha256(content).hexdigest()
            packed.writestr(zipfile.ZipInfo(name, DATED), content)
        about = {"synthetic": rules.synthetic, "counts_suppressed_below": rules.below}
        manifest = json.dumps(about | {"files": rows}, indent=1)
        packed.writestr(zipfile.ZipInfo(MANIFEST, DATED), manifest)
    return pd.DataFrame(rows)[["file", "included", "suppressed", "reason"]]


def _table(path: Path, name: str, rules: Rules) -> tuple[bytes, int]:
    parquet = path.suffix == ".parquet"
    table = pd.read_parquet(path) if parquet else pd.read_csv(path)
    personal = sorted(PERSONAL & set(table.columns))
    if personal:
        raise InputError(
            f"{name} has the columns {personal}, which belong to single people: it may not leave. "
            "Move it out of the folder of reports."
        )
    for column in table.columns:
        rules.refuse(f"Column {column!r} of {name}", _whole_numbers(table[column]))
    if {"n", "events"} <= set(table.columns):
        # What was observed in a bin gives its events away.
        table = showable(table, rules.below)
    counts = [c for c in table.columns if COUNTS.match(str(c)) and table[c].dtype.kind in "iuf"]
    small = int(sum(table[c].between(1, rules.below - 1).sum() for c in counts))
    # A count that is not given was small.
    small += int(table["n"].isna().sum()) if "n" in counts else 0
    if small:
        unknown = table[counts].isna()
        table = suppress_counts(table.fillna(dict.fromkeys(counts, 1)), counts, rules.below)
        table = table.assign(**{c: table[c].mask(unknown[c], "") for c in counts})
    content = table.to_parquet(index=False) if parquet else table.to_csv(index=False).encode()
    return content, small


def _whole_numbers(column: pd.Series) -> Iterator[int]:
    if column.dtype.kind in "iu":
        yield from column.unique().tolist()
    elif column.dtype.kind == "f":
        finite = column[np.isfinite(column)].unique()
        yield from (int(value) for value in finite if value == int(value))
    elif column.dtype.kind != "b":
        for text in column.dropna().astype(str).unique():
            yield from _numbers_in(text)


def _numbers_in(text: str) -> Iterator[int]:
    """Numbers of seven digits that stand by themselves, as eids do."""
    yield from (int(number) for number in re.findall(r"(?<![\d.])\d{7}(?![\d.]*\d)", text))
