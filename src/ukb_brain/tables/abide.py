"""ABIDE's phenotypic table, read as a file of the main table.

What ABIDE and UK Biobank both have gets UK Biobank's field and codes; what UK Biobank has not gets
a number that none of its fields has. ABIDE's legend of columns says what they hold. There is one
visit, without a date.
"""

from collections.abc import Collection, Iterable

import pandas as pd

from ukb_brain.errors import InputError
from ukb_brain.tables.dictionary import AGE, SEX, SITE, Codings
from ukb_brain.tables.headers import FieldColumn
from ukb_brain.tables.table_file import TableFile

ID_COLUMN = "SUB_ID"
SEX_COLUMN = FieldColumn(SEX, 0, 0)
COLUMNS = {
    "SEX": SEX_COLUMN,
    "AGE_AT_SCAN": FieldColumn(AGE, 0, 0),
    "SITE_ID": FieldColumn(SITE, 0, 0),
    "func_mean_fd": FieldColumn(25741, 0, 0),
    # 1 autism, 2 control.
    "DX_GROUP": FieldColumn(1_000_101, 0, 0),
    # Full-scale, verbal and performance IQ.
    "FIQ": FieldColumn(1_000_102, 0, 0),
    "VIQ": FieldColumn(1_000_103, 0, 0),
    "PIQ": FieldColumn(1_000_104, 0, 0),
}
# Any header with these is ABIDE's.
TOLD_BY = frozenset({ID_COLUMN, "SITE_ID", "DX_GROUP", "AGE_AT_SCAN", "SEX"})
NOT_KNOWN = -9999
# ABIDE's code of each sex, and UK Biobank's.
SEXES = {1.0: 1.0, 2.0: 0.0}


def is_abide(header: Iterable[str]) -> bool:
    """Tell whether a header is that of ABIDE's phenotypic table."""
    return set(header) >= TOLD_BY


class AbideFile(TableFile):
    """ABIDE's phenotypic table."""

    @property
    def columns(self) -> dict[FieldColumn, tuple[int, ...]]:
        """Places in the file of each field that is there."""
        return {
            COLUMNS[name]: (place,) for place, name in enumerate(self.header) if name in COLUMNS
        }

    @property
    def id_column(self) -> str:
        """Name of the column of participants' numbers."""
        return ID_COLUMN

    @property
    def style(self) -> str:
        """Style of its header."""
        return "ABIDE"

    def read(self, fields: Collection[int], codings: Codings) -> pd.DataFrame:
        """Read the columns of some fields, in UK Biobank's codes; see `TableFile.read`.

        Of ``codings``, 10 has the sites' names. What is not known is NaN.
        """
        people = super().read(fields, codings)
        answers = people.columns.drop("eid")
        people[answers] = people[answers].mask(people[answers] == NOT_KNOWN)
        if SEX_COLUMN.name in people:
            sex = people[SEX_COLUMN.name]
            strange = int((sex.notna() & ~sex.isin(list(SEXES))).sum())
            if strange:
                raise InputError(
                    f"Column SEX of {self.path.name} holds something else than 1 (male) and 2 "
                    f"(female) in {strange:,} row(s): get the table again, as ABIDE hands it out."
                )
            people[SEX_COLUMN.name] = sex.map(SEXES)
        return people
