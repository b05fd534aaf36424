"""How the columns of a table are declared; Kedro enforces them at every load and save."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
import pandera.pandas as pa

Kind = dict[str, Any]
Rule = Callable[[pd.DataFrame], bool]

ANY: Kind = {}
TEXT: Kind = {"dtype": str}
FLAG: Kind = {"dtype": bool}
WHOLE: Kind = {"dtype": int}
COUNT: Kind = {"dtype": int, "checks": pa.Check.ge(0)}
EID: Kind = {"dtype": int, "checks": pa.Check.gt(0)}
NUMBER: Kind = {"dtype": float}
# NaN where there is none.
MAYBE: Kind = {"dtype": float, "nullable": True}
# Whatever holds no number under one of these names.
TEXTS = (
    "target other name inputs without part tests metric method measure note status reason reasons "
    "text claim basis domain outcome model term weighting strategy source site variant shape "
    "verdict through subgroup subgroup_of modality device preset"
)


def one_of(*values: str) -> Kind:
    """Text out of a closed list."""
    return {"dtype": str, "checks": pa.Check.isin(values)}


def within(kind: Kind, **bounds: float) -> Kind:
    """Numbers with a lower bound (``gt`` or ``ge``), an upper one (``lt`` or ``le``), or both."""
    return kind | {"checks": [getattr(pa.Check, name)(at) for name, at in bounds.items()]}


P = within(MAYBE, ge=0, le=1)
# R², 2·AUC − 1, or an area under the curve.
SCORE = within(MAYBE, le=1)
NOT_NEGATIVE = within(MAYBE, ge=0)


# A target's kind is one of those that have metrics.
WORDS = {
    **{"eid": EID, "instance": COUNT, "fold": COUNT, "seed": WHOLE},
    **{"kind": one_of("binary", "continuous"), "train_seconds": NOT_NEGATIVE},
    **dict.fromkeys(TEXTS.split(), TEXT),
}


def _kind_of(name: str) -> Kind:
    """Tell what a word means in every table: text, a count, a spread, a p value, or a number."""
    if name in WORDS:
        return WORDS[name]
    if re.fullmatch("n|n_.*", name):
        return COUNT
    if re.fullmatch("std_error|se|sd|sd_.*|.*_se|.*_sd", name):
        return NOT_NEGATIVE
    return P if re.fullmatch("p|p_.*", name) else MAYBE


def in_order(*names: str) -> Rule:
    """No ``_low`` bound of an estimate lies above its ``_high`` one; "" stands for the words."""

    def bounds_are_in_order(table: pd.DataFrame) -> bool:
        ends = [(f"{n}_low", f"{n}_high") if n else ("low", "high") for n in names]
        return not any((table[low] > table[high]).any() for low, high in ends)

    return bounds_are_in_order


def declared(
    columns: str,
    key: str = "",
    *rules: Rule,
    strict: bool = True,
    coerce: bool = False,
    kinds: Mapping[str, Kind] | None = None,
) -> pa.DataFrameSchema:
    """Declare what a table promises.

    Parameters
    ----------
    columns : str
        Names in their order, separated by spaces; ``score*`` has bounds ``_low`` and ``_high``.
    key : str
        Columns that tell rows apart.
    *rules : callable
        True of a table that keeps them; the function's name is what a failure shows.
    strict : bool
        No other columns.
    coerce : bool
        Cast columns: of a table that may have no rows, and so no types.
    kinds : dict of str to Kind
        Of names, separated by spaces, that mean more than their word; of what is not among the
        columns, a regular expression.
    """
    own = {name: kind for names, kind in (kinds or {}).items() for name in names.split()}
    found: dict[str, Kind] = {}
    for name in columns.split():
        base = name.rstrip("*")
        for end in ("", "_low", "_high") if base != name else ("",):
            found[base + end] = own[base] if base in own else _kind_of(base)
        own.pop(base, None)
    found |= {pattern: kind | {"regex": True} for pattern, kind in own.items()}
    return pa.DataFrameSchema(
        {name: pa.Column(**kind) for name, kind in found.items()},
        checks=[pa.Check(rule, name=rule.__name__) for rule in rules],
        unique=key.split() or None,
        strict=strict,
        coerce=coerce,
    )


def table_of(
    schema: pa.DataFrameSchema, rows: pd.DataFrame | Iterable[Mapping[str, Any]] = ()
) -> pd.DataFrame:
    """Put rows into the declared columns, with their types: also where there are none."""
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    types = {name: column.dtype.type for name, column in schema.columns.items()}
    return table.reindex(columns=list(types)).astype(types)
