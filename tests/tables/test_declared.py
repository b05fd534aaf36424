import pandas as pd
import pytest
from pandera.errors import SchemaError, SchemaErrors

from ukb_brain.tables.table import MAYBE, SCORE, declared, in_order, table_of, within

SCORES = declared(
    "target n score* p note",
    "target",
    in_order("score"),
    kinds={"score": SCORE},
)
ROWS = [{"target": "age", "n": 3, "score": 0.5, "score_low": 0.4, "score_high": 0.6, "note": ""}]


def test_words_are_kinds_and_a_star_has_bounds():
    table = table_of(SCORES, ROWS)
    assert list(table) == ["target", "n", "score", "score_low", "score_high", "p", "note"]
    SCORES.validate(table)
    types = table.dtypes.astype(str).to_dict()
    assert types["target"] == types["note"] == "str"
    assert (types["n"], types["p"]) == ("int64", "float64")


@pytest.mark.parametrize(
    "change", [{"n": -1}, {"p": 2.0}, {"score": 1.5}, {"score_low": 0.9}, {"further": 1}]
)
def test_what_a_word_means_is_enforced(change):
    with pytest.raises((SchemaError, SchemaErrors)):
        SCORES.validate(table_of(SCORES, ROWS).assign(**change))


def test_a_table_without_rows_has_columns_and_types():
    nothing = table_of(SCORES)
    assert nothing.empty
    assert nothing.dtypes.equals(table_of(SCORES, ROWS).dtypes)
    SCORES.validate(nothing)


def test_kinds_may_be_bounded():
    shares = declared("share", kinds={"share": within(MAYBE, gt=0, le=1)})
    shares.validate(pd.DataFrame({"share": [0.5, None]}))
    with pytest.raises((SchemaError, SchemaErrors)):
        shares.validate(pd.DataFrame({"share": [0.0]}))
