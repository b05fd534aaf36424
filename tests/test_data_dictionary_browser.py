import pandas as pd
import pytest
from browser_cases import needs_chromium, opened
from reporting_cases import described, study_grid

from ukb_brain.reports.data_dictionary import build_data_dictionary, shown_dictionary

pytestmark = needs_chromium
WIDE, NARROW = {"width": 1500, "height": 900}, {"width": 420, "height": 900}


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    """The open page, everything it asked for, and its errors."""
    grid = study_grid()
    shown = shown_dictionary(pd.DataFrame([described(key, grid) for key in grid.targets]), 10)
    path = tmp_path_factory.mktemp("dictionary") / "data_dictionary.html"
    path.write_text(build_data_dictionary(shown, grid, "synthetic"), encoding="utf-8")
    with opened(path, WIDE) as visited:
        yield visited


def test_it_opens_stamped_without_network_or_errors(visit):
    page, asked, errors = visit
    assert errors == []
    assert [url for url in asked[1:] if not url.startswith("data:")] == []
    assert "SYNTHETIC" in page.locator("#synthetic").inner_text()
    assert page.locator("tbody tr").count() == len(study_grid().targets)
    assert page.locator("form, input, button, script").count() == 0


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_tables_scroll_and_the_page_does_not(visit, size):
    page, _, _ = visit
    page.set_viewport_size(size)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
