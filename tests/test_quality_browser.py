import numpy as np
import pandas as pd
import pytest
from browser_cases import assert_stamped_without_network_or_errors, needs_chromium, opened
from reporting_cases import study_grid
from scan_cases import imaging

from ukb_brain.imaging.store import RecordStore
from ukb_brain.reports.quality_page import build_quality_page
from ukb_brain.reports.scan_page import build_scan_page

pytestmark = needs_chromium
SETTINGS = imaging(shape=(18, 22, 20), voxel_mm=8.0)
MODALITIES = ("t1", "rsfmri")
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 800}


def scans():
    rng = np.random.default_rng(0)
    keys = pd.MultiIndex.from_product([range(9_000_001, 9_000_061), MODALITIES])
    table = keys.to_frame(index=False, name=["eid", "modality"])
    table = table.assign(instance=2, site="Cheadle", status="ok", reason="", flags="", content="a")
    table["correlation"] = rng.uniform(0.7, 0.9, len(table))
    table["overlap"] = rng.uniform(0.9, 1, len(table))
    table.loc[:3, ["status", "reason"]] = ["poor", "overlap 0.5 is below 0.7"]
    table.loc[4:7, "flags"] = "correlation"
    return table


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    rng, table, grid = np.random.default_rng(0), scans(), study_grid()
    volumes, vectors = (RecordStore(folder / name) for name in ("volumes.store", "vectors.store"))
    for eid in table["eid"].unique().tolist():
        volumes.write("t1", (eid, 2), rng.normal(size=SETTINGS.shape).astype(np.float16), {})
        vectors.write("rsfmri", (eid, 2), rng.normal(size=45).astype(np.float32), {})
    pictures, _ = build_scan_page(table, volumes, vectors, b"key", grid, SETTINGS, "synthetic")
    distributions = build_quality_page(table, grid, SETTINGS, "synthetic", 10)
    for name, page in (("pictures", pictures), ("distributions", distributions)):
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return folder


def test_where_nothing_is_to_be_looked_at_there_is_no_picture_of_it(tmp_path):
    # Nothing of the stores is read.
    table = scans().assign(status="missing", flags="", reason="")
    stores = (RecordStore(tmp_path / name) for name in ("volumes.store", "vectors.store"))
    page, codes = build_scan_page(table, *stores, b"key", study_grid(), SETTINGS, "ukb")
    assert "data:image/png" not in page
    assert "None." in page
    assert len(codes) == 60


@pytest.fixture(scope="module", params=["pictures", "distributions"])
def visit(request, pages):
    with opened(pages / f"{request.param}.html", WIDE) as visited:
        yield *visited, request.param


def test_it_opens_stamped_without_network_or_errors(visit):
    assert_stamped_without_network_or_errors(visit[:3])
    page, _, _, which = visit
    assert page.locator("form, input, button, script").count() == 0
    assert page.locator("#restricted").count() == (which == "pictures")
    assert page.locator("nav a").count() == page.locator("section").count()


def test_pictures_are_decoded(visit):
    page, _, _, which = visit
    sizes = page.eval_on_selector_all("img", "all => all.map(i => [i.complete, i.naturalWidth])")
    # A figure a modality; of pictures eight scans to look at and two sheets.
    assert len(sizes) == (12 if which == "pictures" else 2)
    assert all(whole and natural > 100 for whole, natural in sizes)


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_wide_things_scroll_and_the_page_does_not(visit, size):
    page = visit[0]
    page.set_viewport_size(size)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # What is wider than the page can be reached, with the keyboard too.
    hidden = page.eval_on_selector_all(
        ".figures > *",
        "all => all.filter(e => e.scrollWidth > e.clientWidth + 1 && "
        "(getComputedStyle(e).overflowX !== 'auto' || e.tabIndex < 0)).length",
    )
    assert hidden == 0
