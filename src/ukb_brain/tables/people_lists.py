"""Lists of people who withdrew or are left out, found by their names."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ukb_brain.errors import InputError
from ukb_brain.tables.headers import find_id_column
from ukb_brain.tables.text_lines import encoding_of

# UK Biobank's own names, and what people make of them.
WITHDRAWN = re.compile(r"(?:w\d.*|.*withdr.*|.*[^a-z]w\d{4,}[^a-z]*)\.(?:csv|txt)", re.IGNORECASE)
EXCLUDED = re.compile(r"exclude[-_. ]?(?P<reason>.*)\.(?:csv|txt)", re.IGNORECASE)
# Named as one, and of a kind that is not read.
OTHER_KIND = re.compile(
    r"w\d+[-_.]\d.*|w\d{4,}(?:\..*)?|.*withdr.*|.*[^a-z]w\d{4,}[^a-z].*|exclude.*", re.IGNORECASE
)
NO_FOLDER = frozenset({"bulk", "codings"})
# An unnamed list is looked for among small files only.
SMALL_BYTES = 1 << 20
LIST_LINE = re.compile(r'"?-?\d{6,8}(?:\.0)?"?,*')
# More digits are no participant's number.
WHOLE_NUMBER = r"-?\d{1,15}"


@dataclass(frozen=True)
class Withdrawals:
    """The union of all withdrawal lists, and people left out for other reasons.

    Attributes
    ----------
    eids : frozenset of int
        People who withdrew.
    n_lists : int
        Number of withdrawal lists that were read.
    folder : str
        Where lists were looked for.
    excluded : dict of str to frozenset of int
        People left out, by reason: the rest of the name of a list such as ``exclude_artefact.csv``.
    """

    eids: frozenset[int]
    n_lists: int
    folder: str
    excluded: Mapping[str, frozenset[int]] = field(default_factory=dict)


def raw_files(folder: Path) -> Iterator[Path]:
    """List files of the raw folder and its folders, but for bulk files and coding files.

    They come in the order of names; the folder may not be there.
    """
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        about = Path(place).stat()
        if (about.st_dev, about.st_ino) in seen:  # a link that leads back
            folders[:] = []
            continue
        seen.add((about.st_dev, about.st_ino))
        folders[:] = sorted(
            f for f in folders if f.casefold() not in NO_FOLDER and not f.startswith(".")
        )
        yield from (Path(place, name) for name in sorted(names))


def read_withdrawals(folder: Path) -> Withdrawals:
    """Read every list of a raw folder; whether none is right, the caller decides.

    Raises
    ------
    InputError
        If a line of a list is not a whole number, or a file looks like a list and is not named as
        one.
    """
    eids: set[int] = set()
    excluded: dict[str, frozenset[int]] = {}
    n_lists = 0
    for path in raw_files(folder):
        if WITHDRAWN.fullmatch(path.name):
            eids.update(read_list(path))
            n_lists += 1
        elif match := EXCLUDED.fullmatch(path.name):
            reason = match["reason"] or "excluded"
            excluded[reason] = excluded.get(reason, frozenset()) | frozenset(read_list(path))
        elif OTHER_KIND.fullmatch(path.name):
            raise InputError(
                f"{path} is named as a withdrawal list and is neither .csv nor .txt, or as a list "
                "of people to leave out, so that it would not be applied: save it as text, one eid "
                "a line, or move it away."
            )
        elif looks_like_list(path):
            raise InputError(
                f"{path} looks like a list of participants, and its name does not say of which "
                "kind: call a withdrawal list w<application>_<date>.csv, a list of people to leave "
                "out exclude_<reason>.csv, or move the file away."
            )
    return Withdrawals(frozenset(eids), n_lists, str(folder), excluded)


def looks_like_list(path: Path) -> bool:
    """Tell whether a file holds one participant's number a line and nothing else.

    Files of other endings than ``.csv`` and ``.txt`` and scans' own text files do not count.
    """
    if path.suffix.lower() not in (".csv", ".txt") or re.match(r"\d+_\d+_\d+_\d+\.", path.name):
        return False
    try:
        if not 0 < path.stat().st_size <= SMALL_BYTES:
            return False
        lines = [line.strip() for line in _lines(path) if line.strip()]
    except (OSError, UnicodeDecodeError):
        return False
    # A header in front, of one column, makes it no other kind of file.
    body = lines[1:] if lines and not LIST_LINE.fullmatch(lines[0]) else lines
    return bool(body) and all(LIST_LINE.fullmatch(line) for line in body)


def _lines(path: Path) -> list[str]:
    content = path.read_bytes()
    utf16 = encoding_of(content) == "utf-16"
    text = content.decode("utf-16") if utf16 else content.decode("utf-8-sig", errors="replace")
    return text.splitlines()


def read_list(path: Path) -> list[int]:
    """Read one eid a line, in any encoding.

    Raises
    ------
    InputError
        If it cannot be read, or a line is not a whole number: to skip it could keep somebody who
        withdrew.
    """
    try:
        lines = _lines(path)
    except (OSError, UnicodeDecodeError):
        raise InputError(
            f"The list {path} cannot be read, so that people who withdrew could stay: allow it to "
            "be read, or copy it again."
        ) from None
    eids = []
    for number, line in enumerate(lines, start=1):
        entry = line.strip().strip('"').strip()
        if not entry or (number == 1 and find_id_column([entry])):
            continue
        if not re.fullmatch(WHOLE_NUMBER, entry):
            raise InputError(
                f"Line {number} of the list {path} is not a whole number; one eid a line without a "
                "header was expected. Correct the line, or move the file away if it is no list of "
                "participants."
            )
        eids.append(int(entry))
    return eids
