"""A real browser for the tests of the report page, if there is one on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserType, Error, sync_playwright

ON_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def opened() -> Iterator[Browser]:
    """Start Chromium without a window. Skips the test if there is none."""
    with sync_playwright() as playwright:
        browser = _launched(playwright.chromium)
        yield browser
        browser.close()


def _launched(chromium: BrowserType) -> Browser:
    """Start Playwright's own Chromium, or the system's if there is none."""
    reasons = []
    for path in (None, *filter(None, map(shutil.which, ON_PATH))):
        if path is None and not Path(chromium.executable_path).exists():
            reasons.append("Playwright has not installed one")
            continue
        try:
            return chromium.launch(executable_path=path, args=["--no-sandbox"])
        except Error as error:
            reasons.append(f"{path or 'its own'}: {str(error).partition(chr(10))[0]}")
    pytest.skip(
        f"No browser can be started ({'; '.join(reasons)}). Install Debian's chromium, or run "
        "`.venv/bin/playwright install --with-deps chromium`."
    )
