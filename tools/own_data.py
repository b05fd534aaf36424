"""Write the generated parts of docs/your_own_data.md: fields of the grid, and the tests' bad input.

Run as ``python -m tools.own_data``, or by ``make docs``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from ukb_brain.atomic import atomic_path
from ukb_brain.grid import Grid
from ukb_brain.imaging.modalities import ImagingPreprocess
from ukb_brain.synthetic.visits import KINDS
from ukb_brain.tables.dictionary import FieldEntry, field_of
from ukb_brain.tables.raw_problems import needed_fields, wanted_fields
from ukb_brain.words import markdown_table

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "your_own_data.md"
LAST_INSTANCE = 3
# Headings of the table of bad input, by the folder of tests; the rest comes last.
ABOUT = {
    "tables": "Tables, lists and relatives",
    "datasets": "Tables, lists and relatives",
    "synthetic": "Tables, lists and relatives",
    "imaging": "Scans",
}
ELSE = "Settings and runs"


def base_grid() -> Grid:
    """Read the grid of conf/base."""
    text = (PROJECT / "conf" / "base" / "parameters_grid.yml").read_text()
    return Grid(**yaml.safe_load(text)["grid"])


def _entry(field: int) -> FieldEntry:
    entry = field_of(field)
    if entry is None:
        raise ValueError(f"field {field} is not in UK Biobank's dictionary")
    return entry


def field_table(grid: Grid) -> str:
    """Tabulate the fields to ask for, those without which there is no run first."""
    uses: dict[int, list[str]] = {}
    for use, (field, _) in needed_fields(grid).items():
        name = grid.targets[use].name if use in grid.targets else use
        uses.setdefault(field, []).append(name)
    rows = []
    for field in [*sorted(uses), *sorted(wanted_fields(grid) - set(uses))]:
        entry = _entry(field)
        used = ", ".join(uses.get(field, ["confound or group, if you have it"]))
        shown = ", ".join(map(str, _instances(entry)))
        rows.append((str(field), _plain(entry.title), shown, used))
    return "\n".join(markdown_table(("field", "title", "instances", "for"), rows))


def _instances(entry: FieldEntry) -> list[int]:
    return [instance for instance in entry.instances if instance <= LAST_INSTANCE]


def field_numbers(grid: Grid) -> str:
    """List the fields as ukbconv takes them, here several a line."""
    return _block(str(field) for field in sorted(wanted_fields(grid)))


def platform_names(grid: Grid) -> str:
    """List the columns as the Platform names them, here several a line."""
    return _block(["eid", *_platform_columns(grid)])


def _platform_columns(grid: Grid) -> Iterator[str]:
    for field in sorted(wanted_fields(grid)):
        entry = _entry(field)
        once = len(entry.instances) == 1
        for instance in _instances(entry):
            yield f"p{field}" + ("" if once else f"_i{instance}")


def _block(words: Iterable[str]) -> str:
    text = textwrap.fill(" ".join(words), 110, break_long_words=False, break_on_hyphens=False)
    return f"```text\n{text}\n```"


def bulk_table() -> str:
    """Tabulate the bulk fields of the grid's modalities."""
    text = (PROJECT / "conf" / "base" / "parameters_imaging_preprocess.yml").read_text()
    records = yaml.safe_load(text)["imaging_preprocess"]["modalities"]
    settings = ImagingPreprocess(modalities=records, shape=(1, 1, 1), voxel_mm=1)
    settings = settings.taking(base_grid().modalities)
    rows = [
        (str(field), modality, f"`Bulk/Brain MRI/{KINDS[field].folder}`")
        for modality, field in settings.fields.items()
    ]
    return "\n".join(markdown_table(("field", "for", "folder on the Platform"), rows))


def bad_input_rows(tests: Path = PROJECT / "tests") -> list[tuple[str, str, str]]:
    """Collect what the tests' marks say: heading, what was given, what is told or done.

    Raises
    ------
    RuntimeError
        If the tests cannot be collected.
    """
    files = [p for p in sorted(tests.rglob("test_*.py")) if "mark.bad_input" in p.read_text()]
    with tempfile.TemporaryDirectory() as folder:
        marks = Path(folder) / "marks.json"
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts="]
        command += ["-c", "pyproject.toml", "-p", "tools.bad_input_marks", "--marks-to", marks]
        command = [*map(str, command), *map(str, files)]
        done = subprocess.run(  # noqa: S603 - our own command
            command, cwd=PROJECT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"tests cannot be collected:\n{done.stdout}{done.stderr}")
        found = json.loads(marks.read_text())
    about = [(Path(path).relative_to(tests).parts[0], given, says) for path, given, says in found]
    return sorted({(ABOUT.get(place, ELSE), given, says) for place, given, says in about})


def bad_input_tables() -> str:
    """Tabulate the bad input of the tests."""
    rows = bad_input_rows()
    parts = []
    for heading in [*dict.fromkeys(ABOUT.values()), ELSE]:
        mine = [(_plain(given), _plain(says)) for of, given, says in rows if of == heading]
        if mine:
            table = markdown_table(("what was given", "what is said, or done"), mine)
            parts.append("\n".join([f"### {heading}", "", *table]))
    return "\n\n".join(parts)


def _plain(text: str) -> str:
    """Escape what Markdown would read as its own."""
    text = " ".join(text.split()).replace("`", "")
    return re.sub(r"([|<>*_\[\]\\])", r"\\\1", text)


def rendered(page: str) -> str:
    """Fill the generated parts of the page in."""
    grid = base_grid()
    parts = {
        "fields": field_table(grid),
        "numbers": field_numbers(grid),
        "columns": platform_names(grid),
        "bulk": bulk_table(),
        "bad input": bad_input_tables(),
    }
    for name, text in parts.items():
        start, end = f"<!-- {name}: generated -->", f"<!-- end of {name} -->"
        if page.count(start) != 1 or page.count(end) != 1:
            raise ValueError(f"{PAGE} must have the lines {start} and {end} once")
        before, _, rest = page.partition(start)
        page = f"{before}{start}\n{text}\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    new = rendered(PAGE.read_text())
    with atomic_path(PAGE) as part:
        part.write_text(new)
