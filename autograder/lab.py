"""A real JupyterLab on a copy of the course, and a browser to drive it: for the browser tests and for the README's pictures."""

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autograder import notebooks

TOKEN = "t"
SECONDS = 90  # for the server to answer, and for a notebook to open
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
READY = "() => window.jupyterapp?.shell?.currentWidget?.context?.isReady"
RUN_ALL = """async () => {
    const notebook = jupyterapp.shell.currentWidget;
    await notebook.context.sessionContext.ready;
    await jupyterapp.commands.execute('notebook:run-all-cells');
}"""


@contextmanager
def serve(root: Path, home: Path, **environment: str) -> Iterator[str]:
    """Copy notebooks, sources and nbgrader's configuration to `root` and serve them; yields the server's address.

    Settings, progress and the log stay in `home`. RuntimeError with the log when the server does not come up.
    """
    for folder in ("notebooks", "solutions"):
        shutil.copytree(notebooks.ROOT / folder, root / folder)
    shutil.copytree(notebooks.ROOT / "autograder", root / "autograder", ignore=shutil.ignore_patterns("classroom", "__pycache__"))
    for plugin, values in {"apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
                           "notebook-extension/tracker": {"windowingMode": "none"}}.items():
        path = home / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "JUPYTER_CONFIG_PATH": str(root / "autograder"),
        "AIENG_PROGRESS_DIR": str(home / "progress"), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ServerApp.ip=127.0.0.1",
               f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True"]
    with open(home / "log", "w") as log:
        server = subprocess.Popen(command, env=variables | environment, cwd=root, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, server, home / "log")
        yield url
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/api?token={TOKEN}", timeout=2).read()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not answer in {SECONDS} s: {log.read_text()[-3000:]}")


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser. RuntimeError where none is installed."""
    from playwright.sync_api import sync_playwright

    if not CHROMIUM:
        raise RuntimeError("no chromium here: install Debian's chromium, or name one in CHROMIUM")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def open_notebook(page: Any, url: str, path: str) -> None:
    """Show a notebook, given as a path below the course's root, in a fresh workspace, and wait for it."""
    page.goto(f"{url}/lab/tree/{path}?token={TOKEN}&reset")
    page.wait_for_function(READY, timeout=1000 * SECONDS)


def end_kernels(url: str) -> None:
    """Shut down every kernel of the server."""
    for kernel in json.loads(urllib.request.urlopen(f"{url}/api/kernels?token={TOKEN}", timeout=20).read()):
        request = urllib.request.Request(f"{url}/api/kernels/{kernel['id']}?token={TOKEN}", method="DELETE")
        urllib.request.urlopen(request, timeout=20).close()
