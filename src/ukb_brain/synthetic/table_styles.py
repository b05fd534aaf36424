"""Write the main table in each style in which UK Biobank's tools hand it out."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from ukb_brain.atomic import atomic_path
from ukb_brain.tables.codings import Codings
from ukb_brain.tables.dictionary import FieldEntry, field_of
from ukb_brain.tables.headers import FieldColumn, parse_column

Style = Literal[
    "ukbconv csv",
    "ukbconv r",
    "exporter raw",
    "exporter labels",
    "exporter titles",
    "exporter tsv",
    "exporter ukb-format",
    "dx extract",
    "parquet",
    "read in R",
    "latin-1",
    "utf-16",
    "semicolons",
    "gzip",
]
STYLES: tuple[Style, ...] = get_args(Style)
NAMES = ("ukb12345", "data_participant")
FREE_TEXT = "10877-0.0"


def write_table(table: pd.DataFrame, folder: Path, style: Style, codings: Codings) -> list[Path]:
    """Write a table in a style.

    Parameters
    ----------
    table : DataFrame
        All text: ``eid`` and columns such as ``6150-2.1``; empty where there is no entry.
    folder : Path
        Where files go; made where it is not there.
    style : str
        One of `STYLES`.
    codings : Codings
        Labels, for the styles that write them.

    Returns
    -------
    list of Path
        Files written; more than one where the style's tool splits a table by its columns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return _WRITERS[style](table, folder, codings)


def _text(path: Path, content: str, encoding: str = "utf-8", packed: bool = False) -> Path:
    with atomic_path(path) as part:
        data = content.encode(encoding)
        part.write_bytes(gzip.compress(data, mtime=0) if packed else data)
    return path


def _csv(table: pd.DataFrame, quoting: int = 0, sep: str = ",", end: str = "\n") -> str:
    # pandas' stubs know only the literal numbers of quoting.
    return table.to_csv(index=False, quoting=quoting, sep=sep, lineterminator=end)  # type: ignore[call-overload]


def _ukbconv_csv(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    return [_text(folder / "ukb12345.csv", _csv(table, quoting=1))]


def _ukbconv_r(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    named = table.rename(columns=lambda name: "f." + name.replace("-", "."))
    # A free text whose quotes are nobody's business: nothing is quoted in this style.
    named["f.10877.0.0"] = ['slipped "disc' if k % 7 == 0 else "none" for k in range(len(named))]
    rows = [list(named.columns), *named.replace("", "NA").to_numpy().tolist()]
    lines = ("\t".join(str(cell) for cell in row) + "\n" for row in rows)
    return [_text(folder / "ukb12345.tab", "".join(lines))]


def _exporter(
    table: pd.DataFrame,
    name: Callable[[FieldColumn, FieldEntry], str],
    join: Callable[[list[str]], str] = "|".join,
    codings: Codings | None = None,
    eid: str = "eid",
) -> pd.DataFrame:
    """Join the answers of a visit in one cell, as the Platform has it."""
    grouped: dict[FieldColumn, list[str]] = {}
    for column in table.columns.drop("eid"):
        (parsed,) = parse_column(column)
        grouped.setdefault(parsed._replace(array=0), []).append(column)
    out = {eid: table["eid"]}
    for parsed, columns in grouped.items():
        entry = field_of(parsed.field)
        assert entry is not None  # noqa: S101 - the generator's fields are UK Biobank's
        several = entry.value_type == "categorical_multiple"
        written = [
            _joined(row, entry, codings, join if several else None)
            for row in table[columns].itertuples(index=False)
        ]
        out[name(parsed, entry)] = pd.Series(written, index=table.index)
    return pd.DataFrame(out)


def _joined(
    row: Iterable[str],
    entry: FieldEntry,
    codings: Codings | None,
    join: Callable[[list[str]], str] | None,
) -> str:
    answers = [cell for cell in row if cell != ""]
    if codings is not None:
        answers = [
            codings.label(entry.coding, float(a)) or a if entry.coding else a for a in answers
        ]
    if not answers:
        return ""
    return join(answers) if join else answers[0]


def _platform_name(column: FieldColumn, entry: FieldEntry) -> str:
    once = len(entry.instances) == 1
    return f"p{column.field}" + ("" if once else f"_i{column.instance}")


def _title(column: FieldColumn, entry: FieldEntry) -> str:
    once = len(entry.instances) == 1
    return entry.title + ("" if once else f" | Instance {column.instance}")


def _exporter_raw(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    return [_text(folder / "data_participant.csv", _csv(_exporter(table, _platform_name)))]


def _exporter_labels(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    out = _exporter(table, _platform_name, codings=codings)
    return [_text(folder / "data_participant.csv", _csv(out))]


def _exporter_titles(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    out = _exporter(table, _title, codings=codings, eid="Participant ID")
    return [_text(folder / "data_participant.csv", _csv(out))]


def _exporter_tsv(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    out = _exporter(table, _platform_name)
    return [_text(folder / "data_participant.tsv", _csv(out, sep="\t"))]


def _exporter_ukb(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    out = _exporter(table, lambda column, _: column.name)
    return [_text(folder / "data_participant.csv", _csv(out))]


def _dx_extract(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    turn = count()

    def bracketed(answers: list[str]) -> str:
        # Both are met: answers in quotes, and without.
        quote = '"' if next(turn) % 2 else ""
        return f"[{','.join(f'{quote}{answer}{quote}' for answer in answers)}]"

    out = _exporter(table, _platform_name, join=bracketed)
    out = out.rename(columns=lambda name: f"participant.{name}")
    # Its columns are too many for one call, so that people get several files.
    half = len(out.columns) // 2
    first, *others = out.columns
    parts = [out[[first, *others[:half]]], out[[first, *others[half:]]]]
    return [
        _text(folder / f"data_participant_{k}.csv", _csv(part)) for k, part in enumerate(parts, 1)
    ]


def _parquet(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    out = _exporter(table, _platform_name)
    for name in out.columns.drop("eid"):
        (parsed,) = parse_column(name)
        entry = field_of(parsed.field)
        cells = out[name].replace("", None)
        if entry and entry.value_type == "categorical_multiple":
            lists = [[int(a) for a in c.split("|")] if isinstance(c, str) else None for c in cells]
            out[name] = pd.Series(lists, index=out.index, dtype=object)
        elif entry and entry.value_type == "date":
            out[name] = pd.to_datetime(cells)
        else:
            out[name] = pd.to_numeric(cells)
    path = folder / "data_participant.parquet"
    with atomic_path(path) as part:
        out.astype({"eid": "int64"}).to_parquet(part, index=False)
    return [path]


def _read_in_r(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    named = table.rename(columns=lambda n: n if n == "eid" else "X" + n.replace("-", "."))
    named.insert(0, "", [str(k) for k in range(1, len(named) + 1)])
    return [_text(folder / "ukb12345.csv", _csv(named.replace("", "NA")))]


def _latin_1(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    free = table.assign(**{FREE_TEXT: "Ménière"})
    return [_text(folder / "ukb12345.csv", _csv(free, end="\r\n"), encoding="latin-1")]


def _utf_16(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    return [_text(folder / "ukb12345.txt", _csv(table, sep="\t"), encoding="utf-16")]


def _semicolons(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    return [_text(folder / "ukb12345.csv", _csv(table, sep=";"))]


def _gzip(table: pd.DataFrame, folder: Path, codings: Codings) -> list[Path]:
    return [_text(folder / "ukb12345.csv.gz", _csv(table, quoting=1), packed=True)]


_WRITERS: dict[Style, Callable[[pd.DataFrame, Path, Codings], list[Path]]] = {
    "ukbconv csv": _ukbconv_csv,
    "ukbconv r": _ukbconv_r,
    "exporter raw": _exporter_raw,
    "exporter labels": _exporter_labels,
    "exporter titles": _exporter_titles,
    "exporter tsv": _exporter_tsv,
    "exporter ukb-format": _exporter_ukb,
    "dx extract": _dx_extract,
    "parquet": _parquet,
    "read in R": _read_in_r,
    "latin-1": _latin_1,
    "utf-16": _utf_16,
    "semicolons": _semicolons,
    "gzip": _gzip,
}
