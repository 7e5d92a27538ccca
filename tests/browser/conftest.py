"""A JupyterLab on a copy of the course and a browser, shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograder.lab import CHROMIUM, chromium, end_kernels, serve


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """One worker runs all tests of this folder, so that one JupyterLab serves them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))
            item.add_marker(pytest.mark.timeout(600))
            item.add_marker(pytest.mark.skipif(not CHROMIUM, reason="no chromium here: install Debian's chromium, or name one in CHROMIUM"))


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The address of a JupyterLab on a copy of the course."""
    with serve(tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("home"), AIENG_PACE="quick") as url:
        yield url


@pytest.fixture(scope="session")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser, lab):
    """A tab; afterwards the kernels that it started are shut down, so that one section does not weigh on the next."""
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    yield page
    page.close()
    end_kernels(lab)
