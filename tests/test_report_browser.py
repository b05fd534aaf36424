from browser_cases import assert_stamped_without_network_or_errors, needs_chromium, visit_of
from report_cases import report

pytestmark = needs_chromium
visit = visit_of(report)


def test_it_opens_without_network_or_errors(visit):
    assert_stamped_without_network_or_errors(visit)


def test_figures_are_decoded_and_fill_their_place(visit):
    page, _, _ = visit
    sizes = page.eval_on_selector_all(
        "img", "all => all.map(i => [i.complete, i.naturalWidth, i.clientWidth])"
    )
    assert len(sizes) == 6
    assert all(whole and natural > 300 and shown > 600 for whole, natural, shown in sizes)


def test_numbers_hover(visit):
    page, _, _ = visit
    number = page.locator("#limits td.number", has_text="[").first
    number.scroll_into_view_if_needed()
    number.hover()
    under = page.evaluate("[...document.querySelectorAll(':hover')].at(-1).title")
    assert "95 % interval" in under
    assert page.locator("tbody td.number:not([title])").count() == 0


def test_links_lead_to_sections_below_the_banner(visit):
    page, _, _ = visit
    for link in page.locator("nav a").all():
        link.click()
        section = page.locator(link.get_attribute("href"))
        assert section.bounding_box()["y"] >= page.locator("#synthetic").bounding_box()["height"]
    assert page.locator("nav a").count() == page.locator("section").count()


def test_a_narrow_page_scrolls_tables_and_not_itself(visit):
    page, _, _ = visit
    page.set_viewport_size({"width": 420, "height": 800})
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size({"width": 1280, "height": 900})
    assert wide <= 420
