"""Write the main table in each style in which UK Biobank's tools hand it out."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from ukb_brain.atomic import atomic_path
from ukb_brain.tables.dictionary import Codings, field_of
from ukb_brain.tables.headers import FieldColumn, parse_column

Files = dict[str, bytes]
PLATFORM = "data_participant"
_TITLES = ("{entry.title}", " | Instance {column.instance}")


def write_table(table: pd.DataFrame, folder: Path, style: Style, codings: Codings) -> list[Path]:
    """Write a table, as of `ukb_brain.synthetic.table.main_table`, in one of `STYLES`.

    More than one file is written where the style's tool splits a table by its columns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = _WRITERS[style](table, codings)
    for name, content in files.items():
        with atomic_path(folder / name) as part:
            part.write_bytes(content)
    return [folder / name for name in files]


def _csv(table: pd.DataFrame, encoding: str = "utf-8", end: str = "\n", **how: Any) -> bytes:
    return table.to_csv(index=False, lineterminator=end, **how).encode(encoding)


def _ukbconv_r(table: pd.DataFrame) -> bytes:
    named = table.rename(columns=lambda name: "f." + name.replace("-", "."))
    # A free text whose quotes are nobody's business: nothing is quoted in this style.
    named["f.10877.0.0"] = ['slipped "disc' if k % 7 == 0 else "none" for k in range(len(named))]
    rows = [list(named.columns), *named.replace("", "NA").to_numpy().tolist()]
    return "".join("\t".join(map(str, row)) + "\n" for row in rows).encode()


def _exporter(
    table: pd.DataFrame,
    name: str = "p{column.field}",
    visit: str = "_i{column.instance}",
    join: Callable[[list[str]], str] = "|".join,
    codings: Codings | None = None,
    eid: str = "eid",
) -> pd.DataFrame:
    """Join the answers of a visit in one cell, as the Platform has it.

    A column is called by its field, and by its visit where there are several.
    """
    grouped: dict[FieldColumn, list[str]] = {}
    for header in table.columns.drop("eid"):
        (parsed,) = parse_column(header)
        grouped.setdefault(parsed._replace(array=0), []).append(header)
    out = {eid: table["eid"]}
    for column, headers in grouped.items():
        entry = field_of(column.field)
        assert entry is not None  # noqa: S101 - the generator's fields are UK Biobank's
        cells = []
        for row in table[headers].itertuples(index=False):
            answers = [cell for cell in row if cell != ""]
            if codings is not None and entry.coding:
                answers = [codings.label(entry.coding, float(a)) or a for a in answers]
            several = answers and entry.value_type == "categorical_multiple"
            cells.append(join(answers) if several else "".join(answers[:1]))
        called = name + (visit if len(entry.instances) > 1 else "")
        out[called.format(column=column, entry=entry)] = pd.Series(cells, index=table.index)
    return pd.DataFrame(out)


def _dx_extract(table: pd.DataFrame) -> Files:
    turn = count()

    def bracketed(answers: list[str]) -> str:
        # Both are met: answers in quotes, and without.
        quote = '"' if next(turn) % 2 else ""
        return f"[{','.join(f'{quote}{answer}{quote}' for answer in answers)}]"

    out = _exporter(table, join=bracketed).rename(columns=lambda name: f"participant.{name}")
    # Its columns are too many for one call, so that people get several files.
    half = len(out.columns) // 2
    first, *others = out.columns
    parts = [out[[first, *others[:half]]], out[[first, *others[half:]]]]
    return {f"{PLATFORM}_{k}.csv": _csv(part) for k, part in enumerate(parts, 1)}


def _parquet(table: pd.DataFrame) -> bytes:
    out = _exporter(table)
    for name in out.columns.drop("eid"):
        (parsed,) = parse_column(name)
        kind = entry.value_type if (entry := field_of(parsed.field)) else ""
        cells = out[name].replace("", None)
        if kind == "categorical_multiple":
            lists = [[int(a) for a in c.split("|")] if isinstance(c, str) else None for c in cells]
            out[name] = pd.Series(lists, index=out.index, dtype=object)
        elif kind == "date":
            out[name] = pd.to_datetime(cells)
        else:
            out[name] = pd.to_numeric(cells)
    return out.astype({"eid": "int64"}).to_parquet(index=False)


def _read_in_r(table: pd.DataFrame) -> bytes:
    named = table.rename(columns=lambda n: n if n == "eid" else "X" + n.replace("-", "."))
    named.insert(0, "", [str(k) for k in range(1, len(named) + 1)])
    return _csv(named.replace("", "NA"))


_WRITERS: dict[str, Callable[[pd.DataFrame, Codings], Files]] = {
    "ukbconv csv": lambda t, _: {"ukb12345.csv": _csv(t, quoting=1)},
    "ukbconv r": lambda t, _: {"ukb12345.tab": _ukbconv_r(t)},
    "exporter raw": lambda t, _: {f"{PLATFORM}.csv": _csv(_exporter(t))},
    "exporter labels": lambda t, codings: {f"{PLATFORM}.csv": _csv(_exporter(t, codings=codings))},
    "exporter titles": lambda t, codings: {
        f"{PLATFORM}.csv": _csv(_exporter(t, *_TITLES, codings=codings, eid="Participant ID"))
    },
    "exporter tsv": lambda t, _: {f"{PLATFORM}.tsv": _csv(_exporter(t), sep="\t")},
    "exporter ukb-format": lambda t, _: {
        f"{PLATFORM}.csv": _csv(_exporter(t, "{column.name}", visit=""))
    },
    "dx extract": lambda t, _: _dx_extract(t),
    "parquet": lambda t, _: {f"{PLATFORM}.parquet": _parquet(t)},
    "read in R": lambda t, _: {"ukb12345.csv": _read_in_r(t)},
    "latin-1": lambda t, _: {
        "ukb12345.csv": _csv(t.assign(**{"10877-0.0": "Ménière"}), "latin-1", end="\r\n")
    },
    "utf-16": lambda t, _: {"ukb12345.txt": _csv(t, "utf-16", sep="\t")},
    "semicolons": lambda t, _: {"ukb12345.csv": _csv(t, sep=";")},
    "gzip": lambda t, _: {"ukb12345.csv.gz": gzip.compress(_csv(t, quoting=1), mtime=0)},
}
STYLES = tuple(_WRITERS)
if TYPE_CHECKING:
    Style = str
else:
    Style = Literal[STYLES]
