"""Whether what the table holds can be what a target asks for: its role, cut-off and direction."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ukb_brain.grid import Grid, Target
from ukb_brain.problems import Problem, Severity, few
from ukb_brain.tables.dictionary import Codings, known_of, plain
from ukb_brain.tables.headers import parse_header
from ukb_brain.tables.rules import beyond

# With fewer answers chance may leave a class out.
ENOUGH = 100
# A share of answers beyond which a code or a 0 is no slip.
SLIP = 0.01
MOST_CODES = 6
NO_ANSWER = frozenset({"do not know", "prefer not to answer"})
# Where the median lies whatever the cohort, in the dictionary's units, and what else it might be
# in: far wider than any population, so that only another unit or coding is outside. Some cohorts
# are of children; single ages are looked at where participants are listed.
MEDIANS: dict[int, tuple[float, float, dict[str, float]]] = {
    21003: (5, 110, {"months": 12, "days": 365.25}),
    21002: (35, 160, {"grams": 1000, "pounds": 2.2046}),
    23098: (35, 160, {"grams": 1000, "pounds": 2.2046}),
    50: (130, 210, {"metres": 0.01, "millimetres": 10}),
    21001: (15, 45, {}),
    23099: (5, 65, {"a fraction of 1": 0.01}),
    30020: (8, 20, {"grams per litre": 10, "millimoles per litre": 0.6206}),
    30750: (20, 80, {"per cent": 0.15}),
    30760: (0.6, 3, {"milligrams per decilitre": 38.67}),
    30780: (1.5, 7, {"milligrams per decilitre": 38.67}),
    20023: (200, 1500, {"seconds": 0.001}),
}
CATEGORICAL = ("categorical", "categorical_multiple")


def problems_of_values(
    table: pd.DataFrame, values: pd.DataFrame, grid: Grid, codings: Codings
) -> list[Problem]:
    """List where the table holds something else than targets ask for, all of it at once.

    Parameters
    ----------
    table : DataFrame
        One row a person: columns such as ``1707-2.0`` (field-instance.array), numeric.
    values : DataFrame
        One row a person and a float column a target, as derived from it.
    grid : Grid
        Its targets.
    codings : Codings
        What codes mean.

    Returns
    -------
    list of Problem
        Each names target, field, what the table holds (counts of 10 people or more) and the
        remedy.
    """
    held: dict[int, list[str]] = {}
    for column in parse_header(table.columns):
        held.setdefault(column.field, []).append(column.name)
    problems: list[Problem] = []
    empty: dict[str, str] = {}
    for key, target in grid.targets.items():
        found: list[Problem] = []
        alike = False
        for field in target.fields:
            asked = _Asked(key, target, field, table[held.get(field, [])], codings)
            if not asked.answers:
                empty[key] = asked.of
            found += asked.problems()
            alike |= asked.is_one_answer
        # What explains a constant has been told.
        if key not in empty and not any(alike or problem.severity == "stop" for problem in found):
            found += _of_derived(key, target, values[key].dropna(), alike)
        problems += found
    return list(dict.fromkeys([*_of_empty(empty, grid), *problems]))


def _of_empty(empty: dict[str, str], grid: Grid) -> list[Problem]:
    """Tell of all targets without any answer in one line, with what goes on without them."""
    if not empty:
        return []
    words = (
        f"{', '.join(empty.values())} {'have' if len(empty) > 1 else 'has'} no answer that counts"
    )
    remedy = "check `missing` and the field"
    if len(empty) < len(grid.targets):
        remedy += f", or go on without: --params grid.leave_out={'+'.join(empty)}"
    return [Problem("stop", words, remedy)]


class _Asked:
    """A target's field, and the answers that the table has of it."""

    def __init__(
        self, key: str, target: Target, field: int, held: pd.DataFrame, codings: Codings
    ) -> None:
        self.target, self.field = target, field
        self.entry = known_of(field)
        self.labels = codings.labels(self.entry.coding)
        entries = pd.Series(held.to_numpy(np.float64, na_value=np.nan).ravel())
        known = np.isfinite(entries) & ~entries.isin(target.missing)
        self.counts = entries[known].value_counts().sort_index()
        self.answers = int(self.counts.sum())
        title = f" ({self.entry.title})" if self.entry.title else ""
        self.of = f"target {key!r}: field {field}{title}"

    @property
    def is_categorical(self) -> bool:
        return self.entry.value_type in CATEGORICAL

    @property
    def is_one_answer(self) -> bool:
        """Whether all have one answer that the coding knows, as in a cohort of one sex."""
        wanted = self.target.values  # noqa: PD011 - of a target, not of a table
        known = {*self.counts.index, *wanted} <= {*self.labels}
        return self.is_categorical and len(self.counts) == 1 and known

    def problems(self) -> list[Problem]:
        if not self.answers:
            return []
        by_codes = self.target.rule in ("any_of", "equals")
        return [*self._of_coding(), *(self._of_codes() if by_codes else self._of_numbers())]

    def _told(self, codes: pd.Series) -> str:
        shown = codes.sort_values(ascending=False).head(MOST_CODES).sort_index()
        parts = [f"{code:g}{self._label(code)}: {few(n)}" for code, n in shown.to_dict().items()]
        return ", ".join(parts) + (" and others" if len(codes) > MOST_CODES else "")

    def _label(self, code: Any) -> str:
        return f" ({self.labels[int(code)]})" if code in self.labels else ""

    def _of_coding(self) -> Iterator[Problem]:
        """Codes that the coding does not have, so that somebody coded the field anew."""
        if not (self.is_categorical and self.labels):
            return
        strange = self.counts[~self.counts.index.isin(self.labels)]
        if strange.empty:
            return
        known = ", ".join(f"{code} {label}" for code, label in [*self.labels.items()][:MOST_CODES])
        yield Problem(
            "stop" if strange.sum() > SLIP * self.answers else "warning",
            f"{self.of} holds codes that coding {self.entry.coding} ({known}) does not have: "
            f"{self._told(strange)}",
            "export it with UK Biobank's own codes or labels; if the coding has grown, put its "
            "file into the folder codings",
        )

    def _of_codes(self) -> Iterator[Problem]:
        wanted = self.target.values  # noqa: PD011 - of a target, not of a table
        yes = self.counts[self.counts.index.isin(wanted)]
        if yes.empty:
            codes = ", ".join(f"{code}{self._label(code)}" for code in wanted)
            mild = self.answers < ENOUGH or self.is_one_answer
            yield Problem(
                "warning" if mild else "stop",
                f"{self.of} never holds {codes}, which the target counts as yes, but "
                f"{self._told(self.counts)}",
                "correct `values`",
            )
        unsure = [
            code for code in self.counts.index if plain(self.labels.get(code, "")) in NO_ANSWER
        ]
        if unsure:
            yield Problem(
                "warning",
                f"{self.of} counts as no what is no answer: {self._told(self.counts[unsure])}",
                f"add {[int(code) for code in unsure]} to `missing`",
            )
        if self.entry.value_type and not self.is_categorical and self.entry.coding is None:
            yield Problem(
                "warning",
                f"{self.of} is {self.entry.value_type} in UK Biobank's dictionary, and rule "
                f"{self.target.rule} takes its numbers as codes",
                "rule binned with a `threshold` divides amounts",
            )

    def _of_numbers(self) -> Iterator[Problem]:
        coding = self.entry.coding
        if self.is_categorical:
            yield Problem(
                "warning",
                f"{self.of} is categorical in UK Biobank's dictionary (coding {coding}), and rule "
                f"{self.target.rule} takes its codes as amounts: {self._told(self.counts)}",
                "unless they are in order, take rule any_of with `values`",
            )
        # Of a field of numbers, a coding says what its special values mean; most are below 0.
        special = self.counts[self.counts.index.isin(self.labels)]
        if not self.labels and coding is not None:
            special = self.counts[self.counts.index.isin((-1, -3, -10))]
        special = special[special.index < 0]
        if len(special):
            yield Problem(
                "stop",
                f"{self.of} takes codes as amounts (coding {coding}): {self._told(special)}",
                f"add {[int(code) for code in special.index]} to `missing`",
            )
        if self.field in MEDIANS:
            yield from self._of_range(*MEDIANS[self.field])

    def _of_range(self, low: float, high: float, others: dict[str, float]) -> Iterator[Problem]:
        zeros = int(self.counts.get(0.0, 0))
        if zeros > SLIP * self.answers:
            yield Problem(
                "stop",
                f"{self.of} is 0 for {few(zeros)} answers, which nobody is",
                "leave cells empty where it is not known, or add 0 to `missing`",
            )
        nonzero = self.counts[self.counts.index != 0]
        if nonzero.empty:
            return
        median = float(np.median(np.repeat(nonzero.index.to_numpy(), nonzero)))
        if not low <= median <= high:
            unit = self.entry.unit.lower() or "another unit"
            guesses = [name for name, by in others.items() if low <= median / by <= high]
            guess = f", as if it were {guesses[0]}" if guesses else ""
            yield Problem(
                "stop",
                f"{self.of} has a median of {median:,.4g}{guess}; UK Biobank gives {unit}, between "
                f"{low:g} and {high:g} for most people",
                "export the field again as it is",
            )


def _of_derived(key: str, target: Target, answers: pd.Series, alike: bool) -> list[Problem]:
    """Whether anybody differs from anybody, once a target is derived."""
    known = answers.to_numpy(np.float64)
    field = ", ".join(str(each) for each in target.fields)
    severity: Severity = "stop" if len(known) >= ENOUGH and not alike else "warning"
    if not len(known):
        words = f"target {key!r}: nobody has an answer of field {field} by visit {target.visit!r}"
        return [Problem("stop", words, "set `visit: latest`, or take the target out of the grid")]
    if target.quantile is not None:
        cut = float(np.quantile(known, target.quantile))
        derived = beyond(known, cut, target.direction)
        at = f"quantile {target.quantile:g} ({cut:g})"
    else:
        derived, at = known, f"{target.threshold:g}" if target.threshold is not None else ""
    if np.ptp(derived) > 0:
        return []
    if target.kind == "continuous":
        words = f"target {key!r}: everybody has the same value of field {field}"
        return [Problem(severity, words, "check the field, or take the target out of the grid")]
    who = "everybody" if derived[0] else "nobody"
    side = f" {target.direction} {at}" if at else ""
    remedy = "check cut-off and `direction` against the field's unit" if at else "check `values`"
    return [Problem(severity, f"target {key!r}: {who} is yes (field {field}{side})", remedy)]
