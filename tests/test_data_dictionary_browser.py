import pandas as pd
import pytest
from browser_cases import assert_stamped_without_network_or_errors, needs_chromium, visit_of
from reporting_cases import described, study_grid

from ukb_brain.reports.data_dictionary import build_data_dictionary, shown_dictionary

pytestmark = needs_chromium
WIDE, NARROW = {"width": 1500, "height": 900}, {"width": 420, "height": 900}


def page():
    grid = study_grid()
    shown = shown_dictionary(pd.DataFrame([described(key, grid) for key in grid.targets]), 10)
    return build_data_dictionary(shown, grid, "synthetic")


visit = visit_of(page, WIDE)


def test_it_opens_stamped_without_network_or_errors(visit):
    assert_stamped_without_network_or_errors(visit)
    page, _, _ = visit
    assert page.locator("tbody tr").count() == len(study_grid().targets)
    assert page.locator("form, input, button, script").count() == 0


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_tables_scroll_and_the_page_does_not(visit, size):
    page, _, _ = visit
    page.set_viewport_size(size)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
