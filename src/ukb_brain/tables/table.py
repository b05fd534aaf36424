"""How the columns of a table are declared; Kedro enforces them at every load and save."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def one_of(*values: str) -> Kind:
    """Text out of a closed list."""
    return {"dtype": str, "checks": pa.Check.isin(values)}


def within(kind: Kind, **bounds: float) -> Kind:
    """Numbers with a lower bound (``gt`` or ``ge``), an upper one (``lt`` or ``le``), or both."""
    return kind | {"checks": [getattr(pa.Check, name)(at) for name, at in bounds.items()]}


P = within(MAYBE, ge=0, le=1)
# R², 2·AUC − 1, or an area under the curve.
SCORE = within(MAYBE, le=1)


def in_order(*pairs: str) -> Rule:
    """No lower bound lies above its upper one; a pair is ``low high``, or ``skill`` for both."""
    ends = [pair.split() if " " in pair else [f"{pair}_low", f"{pair}_high"] for pair in pairs]

    def bounds_are_in_order(table: pd.DataFrame) -> bool:
        return not any((table[low] > table[high]).any() for low, high in ends)

    return bounds_are_in_order


def declared(
    columns: Mapping[str, Kind],
    key: str = "",
    *rules: Rule,
    strict: bool = True,
    coerce: bool = False,
) -> pa.DataFrameSchema:
    """Declare what a table promises.

    Parameters
    ----------
    columns : dict of str to Kind
        Names, separated by spaces, and what these columns hold.
    key : str
        Columns that tell rows apart.
    *rules : callable
        True of a table that keeps them; the function's name is what a failure shows.
    strict : bool
        No other columns.
    coerce : bool
        Cast columns: of a table that may have no rows, and so no types.
    """
    return pa.DataFrameSchema(
        {name: pa.Column(**kind) for names, kind in columns.items() for name in names.split()},
        checks=[pa.Check(rule, name=rule.__name__) for rule in rules],
        unique=key.split() or None,
        strict=strict,
        coerce=coerce,
    )


def without_rows(schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Give a table that has nothing to say."""
    types = {name: column.dtype for name, column in schema.columns.items()}
    return pd.DataFrame({n: pd.array([], dtype=t and t.type) for n, t in types.items()})
