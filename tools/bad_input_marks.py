"""Plugin of pytest that writes the marks `bad_input` of the tests it collects into a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Ask for the file."""
    parser.addoption("--marks-to", required=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write file, what was given and what is said, once each."""
    found = {
        (str(item.path), mark.kwargs["given"], mark.kwargs["says"])
        for item in session.items
        for mark in item.iter_markers("bad_input")
    }
    Path(session.config.getoption("--marks-to")).write_text(json.dumps(sorted(found)))
