"""Filling of the pages' templates."""

from typing import Any

import jinja2

from ukb_brain.figures.stamp import notice_of

# In the head of a page that may not leave.
RESTRICTED = '<meta name="use" content="restricted"/>'


def render(
    template: str, source: str, below: int, contents: list[tuple[str, str]], **shown: Any
) -> str:
    """Fill a template of this package; ``contents`` are the anchors and titles of its sections."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ukb_brain.reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(f"{template}.html.j2")
    return page.render(notice=notice_of(source), below=below, contents=contents, **shown)
