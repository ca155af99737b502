"""Headless Chromium for the tests of the page, and what they read from it."""

import base64
import contextlib
import io
import shutil
import time

import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def launched(*arguments):
    """Chromium with more arguments; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver, another(driver.chromium, *arguments) as browser:
        yield browser


@contextlib.contextmanager
def another(browser_type, *arguments):
    """One more Chromium of the same driver, of which a process has one: `browser.browser_type`."""
    browser = browser_type.launch(executable_path=CHROMIUM, args=["--no-sandbox", *arguments])
    yield browser
    browser.close()


def until(page, expression, seconds=20):
    """Waits until JavaScript is true; the page's own policy forbids Playwright's way."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)


def decoded(data_url):
    """The pixels of a data URL."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data_url.split(",")[1]))))


def pixels(page, canvas):
    """What a canvas shows."""
    return decoded(page.evaluate(f"document.getElementById('{canvas}').toDataURL('image/png')"))


def metres(page, name):
    """A distance that the page tells."""
    until(page, f"/m$/.test(document.getElementById('{name}').textContent)")
    return float(page.inner_text(f"#{name}").split()[0])


def saved(page, folder):
    """Clicks *Save*, and stores the two files that it downloads; their names."""
    files = {}
    page.on("download", lambda file: files.__setitem__(file.suggested_filename, file))
    page.click("#save")
    deadline = time.monotonic() + 30
    while len(files) < 2:
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    for name, file in files.items():
        file.save_as(folder / name)
    return list(files)
