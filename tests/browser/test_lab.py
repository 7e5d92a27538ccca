"""One learner's session in a real JupyterLab: open, run all unsolved, open a hint by keyboard; and nbgrader's extensions."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from autograder import notebooks

SLUG = "01-vectors"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(600),
    pytest.mark.skipif(not CHROMIUM, reason="no chromium here: install Debian's chromium, or name one in CHROMIUM"),
]
RUN_ALL = """async () => {
    const notebook = jupyterapp.shell.currentWidget;
    await notebook.context.sessionContext.ready;
    await jupyterapp.commands.execute('notebook:run-all-cells');
}"""
ERRORS = """() => [...jupyterapp.shell.currentWidget.content.model.sharedModel.cells].flatMap((cell, i) =>
    (cell.toJSON().outputs ?? []).filter(o => o.output_type === 'error').map(o => `cell ${i}: ${o.ename}: ${o.evalue}`))"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab on a copy of the course: the learner's notebook, the source and nbgrader's configuration."""
    root, home = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("home")
    for folder in ("notebooks", "solutions"):
        shutil.copytree(notebooks.ROOT / folder, root / folder)
    shutil.copytree(notebooks.ROOT / "autograder", root / "autograder", ignore=shutil.ignore_patterns("classroom", "__pycache__"))
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    tracker = home / "settings" / "@jupyterlab" / "notebook-extension"
    tracker.mkdir()
    (tracker / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": "none"}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "JUPYTER_CONFIG_PATH": str(root / "autograder"),
        "AIENG_PROGRESS_DIR": str(home / "progress"), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ServerApp.ip=127.0.0.1",
               "--IdentityProvider.token=t", f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True"]
    with open(home / "log", "w") as log:
        server = subprocess.Popen(command, env=environment, cwd=root, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, server, home / "log")
        yield url
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            urllib.request.urlopen(f"{url}/api?token=t", timeout=2).read()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"JupyterLab did not answer in 90 s: {log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def test_a_learner_opens_runs_and_asks_for_a_hint(lab, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    outside: list[str] = []
    page.on("request", lambda r: None if r.url.startswith((lab, "data:", "blob:", "ws:")) else outside.append(r.url))
    page.goto(f"{lab}/lab/tree/notebooks/{SLUG}/{SLUG}.ipynb?token=t&reset")
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.context?.isReady", timeout=90_000)
    page.evaluate(RUN_ALL)
    assert page.evaluate(ERRORS) == []
    assert page.locator("text=not attempted yet").count() >= 8, "every unsolved check shows its card"
    assert page.locator("[role=progressbar][aria-label*='Progress over the course']").count() == 1
    button = page.get_by_role("button", name="Show hint 1 of 3").first
    button.scroll_into_view_if_needed()
    button.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Show hint 2 of 3").first.wait_for(timeout=10_000)
    assert page.locator(".jupyter-widgets-error").count() == 0
    assert outside == []
    page.close()


def test_formgrader_and_create_assignment_open(lab, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(f"{lab}/formgrader/manage_assignments?token=t")
    page.get_by_text(SLUG).first.wait_for(timeout=60_000)
    page.goto(f"{lab}/lab/tree/solutions/{SLUG}/{SLUG}.ipynb?token=t&reset")
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.context?.isReady", timeout=90_000)
    assert page.evaluate("() => jupyterapp.commands.listCommands().filter(c => c.startsWith('nbgrader')).length") > 0
    page.evaluate("async () => { await jupyterapp.commands.execute('nbgrader:open-create-assignment') }")
    page.locator(".nbgrader-NotebookWidget, .nbgrader-CreateAssignmentWidget, [class*=nbgrader-]").first.wait_for(timeout=30_000)
    page.close()
