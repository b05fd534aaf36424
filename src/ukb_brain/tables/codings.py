"""Labels of UK Biobank's codings, in place of which some tables hold them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from pydantic import RootModel

from ukb_brain.errors import InputError
from ukb_brain.tables.dictionary import schema_folder

Labels = Mapping[str, float]


def plain(label: str) -> str:
    """Bring a label to the form in which labels are compared: small, with single blanks."""
    return " ".join(label.split()).casefold()


class Codings(RootModel[dict[int, dict[int, str]]]):
    """Labels by coding and code, as in ``conf/base/parameters_codings.yml``."""

    model_config = {"frozen": True}

    def labels(self, coding: int | None) -> dict[int, str]:
        """Give the labels of a coding; none where there is no coding or it is not known."""
        return {} if coding is None else self.root.get(coding, {})

    def label(self, coding: int | None, code: float) -> str | None:
        """Say what a code means, if that is known."""
        return self.labels(coding).get(int(code))

    def codes(self, coding: int | None) -> dict[str, float]:
        """Map `plain` labels of a coding to codes."""
        return {plain(label): float(code) for code, label in self.labels(coding).items()}

    def extended(self, folder: Path) -> Codings:
        """Add the codings of a folder, and those that the dictionary ships.

        Parameters
        ----------
        folder : Path
            With files such as ``coding100605.tsv``: columns ``coding`` and ``meaning``, as the
            showcase hands them out. It may be absent.

        Returns
        -------
        Codings
            What a file says goes before what was known.

        Raises
        ------
        InputError
            If a file cannot be read.
        """
        joined = {coding: dict(labels) for coding, labels in self.root.items()}
        for place in (schema_folder() / "coding", folder):
            for path in sorted(place.glob("coding*.tsv")) if place.is_dir() else ():
                number = path.stem.removeprefix("coding")
                if number.isdigit():
                    joined[int(number)] = joined.get(int(number), {}) | _read(path)
        return Codings(joined)


def _read(path: Path) -> dict[int, str]:
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, encoding="latin-1", quoting=3)
        named = table[["coding", "meaning"]].dropna()
    except (ValueError, KeyError, pd.errors.ParserError):
        raise InputError(
            f"The coding file {path} cannot be read: a tab-separated file with columns `coding` "
            "and `meaning` was expected, as the showcase hands it out. Fetch it again or move it "
            "away."
        ) from None
    # Codings of text, such as diagnoses, have no numbers; no target is made of them.
    numbers = named[named["coding"].str.fullmatch(r"-?\d+")]
    return dict(zip(numbers["coding"].astype(int), numbers["meaning"], strict=True))
