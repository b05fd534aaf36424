import pytest
from browser_cases import assert_stamped_without_network_or_errors, needs_chromium, visit_of
from reporting_cases import dashboard, reported, study_grid

from ukb_brain.statistics.scores.skill import with_skill

pytestmark = needs_chromium
ROWS = "#cells tbody tr"
visit = visit_of(dashboard, ready="body[data-ready=true]")


def column(page, name):
    heads = [head.strip() for head in page.locator("#cells thead th").all_inner_texts()]
    return page.locator(f"{ROWS} td:nth-child({heads.index(name) + 1})").all_inner_texts()


def clear(page):
    page.click("#filter-clear")


def shown(page):
    return page.locator("#cells_wrapper .dt-info").inner_text()


def test_it_opens_without_network_or_errors(visit):
    assert_stamped_without_network_or_errors(visit, ("blob:", "data:"))


def test_tabs_show_one_domain_and_its_cells(visit):
    page, _, _ = visit
    for domain, targets in (("psychology", 12), ("constitutional", 4)):
        page.click(f".tabs button[data-domain={domain}]")
        maps = page.locator(".map:visible")
        assert maps.count() == 1
        assert maps.locator(".xaxislayer-above .xtick").count() == targets
        assert maps.locator(".hm").count() == 1


def test_hovering_a_cell_says_how_its_number_was_obtained(visit):
    page, _, _ = visit
    page.click(".tabs button[data-domain=constitutional]")
    area = page.locator(".map:visible .nsewdrag").first
    area.scroll_into_view_if_needed()
    size = area.bounding_box()
    # Away from the sticky banner, in the last row of the first column.
    page.mouse.move(size["x"] + size["width"] / 8, size["y"] + size["height"] * 13 / 14)
    page.wait_for_selector(".map:visible .hoverlayer .hovertext", timeout=5000)
    label = page.locator(".map:visible .hoverlayer .hovertext").text_content()
    assert "Sex (Male)" in label
    assert "held-out test people" in label


def test_sorting(visit):
    page, _, _ = visit
    clear(page)
    skills = [float(value) for value in column(page, "Skill")]
    assert skills == sorted(skills, reverse=True)
    best = with_skill(reported())["skill"].max()
    assert skills[0] == pytest.approx(best, abs=0.006)
    head = page.locator("#cells thead th", has_text="Target").first
    head.click()
    page.wait_for_selector("#cells thead th[aria-sort=ascending]", timeout=5000)
    first = column(page, "Target")
    assert first == sorted(first)
    assert first[0] == "Age"
    head.click()
    page.wait_for_selector("#cells thead th[aria-sort=descending]", timeout=5000)
    assert column(page, "Target")[0] == "Worry"


def test_filters_keep_the_cells_they_name(visit):
    page, _, _ = visit
    clear(page)
    assert "of 700 entries" in shown(page)
    page.select_option("#filter-domain", "psychology")
    assert "of 384 entries" in shown(page)
    page.fill("#filter-inputs", "DWI −FLAIR")
    assert "of 96 entries" in shown(page)
    assert all("DWI" in text and "FLAIR" not in text for text in column(page, "Inputs"))
    page.select_option("#filter-target", "Lonely")
    assert "of 8 entries" in shown(page)
    assert set(column(page, "Target")) == {"Lonely"}
    clear(page)
    assert "of 700 entries" in shown(page)


def test_least_skill(visit):
    page, _, _ = visit
    clear(page)
    page.fill("#filter-skill", "0.5")
    wanted = (with_skill(reported())["skill"].round(3) >= 0.5).sum()
    assert 0 < wanted < 668
    assert f"of {wanted} entries" in shown(page)
    page.fill("#filter-skill", "-1")
    assert "of 668 entries" in shown(page)
    clear(page)


def test_results_of_every_kind_are_listed_with_intervals(visit):
    page, _, _ = visit
    clear(page)
    page.select_option("#filter-target", study_grid().targets["age"].name)
    cells = reported().query("target == 'age'")
    assert sorted(column(page, "95 % low")) == sorted(f"{v:.2f}" for v in cells["r2_low"].round(3))
    clear(page)


@pytest.mark.bad_input(
    given="a click on any control of a plot", says="stays on the page: no chart can be uploaded"
)
def test_no_control_can_send_anything(visit):
    page, asked, _ = visit
    opened = []
    page.context.on("page", lambda other: opened.append(other.url))
    for domain in ("constitutional", "psychology"):
        page.click(f".tabs button[data-domain={domain}]")
        page.locator(".map:visible .nsewdrag").first.hover()
        buttons = page.locator(".map:visible .modebar-btn")
        titles = [buttons.nth(k).get_attribute("data-title") or "" for k in range(buttons.count())]
        assert len(titles) >= 3
        assert not [t for t in titles if "hare" in t or "loud" in t or "tudio" in t]
        for k, title in enumerate(titles):
            if "Download" not in title:
                buttons.nth(k).click(force=True)
    assert page.locator(".plotly-cloud-dialog").count() == 0
    assert opened == []
    assert [url for url in asked if url.startswith(("http:", "https:", "ws:", "wss:"))] == []
    assert page.locator("a[href^='http'], form[action], [ping]").count() == 0
    config = page.evaluate("document.querySelector('.js-plotly-plot')._context")
    assert config["showSendToCloud"] is False
