"""Pages opened in headless Chromium."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no program `chromium`: apt-get install chromium"
)
WIDE = {"width": 1280, "height": 900}


@contextmanager
def opened(path, size=WIDE):
    """Give the open page, everything that it asked for, and what went wrong in it."""
    from playwright.sync_api import sync_playwright

    asked, errors = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        page = browser.new_page(viewport=size)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.goto(path.as_uri(), wait_until="load")
        yield page, asked, errors
        browser.close()


def visit_of(build, size=WIDE, ready="body"):
    """Make the fixture that opens a built page once for all tests of a module."""

    @pytest.fixture(scope="module")
    def visit(tmp_path_factory):
        path = tmp_path_factory.mktemp("page") / "page.html"
        path.write_text(build(), encoding="utf-8")
        with opened(path, size) as visited:
            visited[0].wait_for_selector(ready, timeout=30_000)
            yield visited

    return visit


def assert_stamped_without_network_or_errors(visit, own=("data:",)):
    """The page shows the stamp, asked for nothing but itself and its ``own``, and went well."""
    page, asked, errors = visit
    assert errors == []
    assert asked[0].startswith("file://")
    assert [url for url in asked[1:] if not url.startswith(own)] == []
    assert page.locator("#synthetic").is_visible()
    assert "SYNTHETIC" in page.locator("#synthetic").inner_text()
