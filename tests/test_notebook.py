import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
EXPLORE = NOTEBOOKS / "01_explore.ipynb"
# Synthetic eids begin at 9000001; a real one has seven digits too.
EID = re.compile(r"(?<![\d.])9\d{6}(?![\d.])")


@pytest.fixture(scope="module")
def executed(finished_run):
    """The notebook, run in a kernel of its own on a finished cohort of environment `test`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UKB_BRAIN_ENV", "test")
        patch.setenv("UKB_BRAIN_DATA_ROOT", str(finished_run))
        notebook = nbformat.read(EXPLORE, as_version=4)
        NotebookClient(
            notebook,
            timeout=120,
            kernel_name="python3",
            resources={"metadata": {"path": str(NOTEBOOKS)}},
        ).execute()
    return notebook


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def texts(notebook):
    """All that is to be read; pictures are left out."""
    for output in outputs(notebook):
        yield output.get("text", "")
        yield from (t for kind, t in output.get("data", {}).items() if kind.startswith("text/"))


def test_it_runs_from_a_raw_scan_to_the_map(executed):
    assert not [o for o in outputs(executed) if o["output_type"] == "error"]
    pictures = [o for o in outputs(executed) if "image/png" in o.get("data", {})]
    assert len(pictures) >= 7
    assert any("Reaction Time" in text for text in texts(executed))


def test_it_shows_nobodys_number(executed):
    assert [text for text in texts(executed) if EID.search(text)] == []


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_kept_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
