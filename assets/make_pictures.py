"""Takes the README's picture of the lab: `.venv/bin/python assets/make_pictures.py` (needs chromium; writes assets/lab.png).

A short notebook, with an answer that has a typical mistake, its check and the corpus map, is run in a real JupyterLab.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
TEACH = """## 1.4 Scalar quantization

256 marks along each dimension, from the smallest to the largest value seen in training; a number becomes the index of its nearest mark:
one byte instead of four."""
ANSWER = '''class ScalarQuantizer:
    def train(self, x):
        x = np.asarray(x, dtype=np.float32)
        self.minimum = x.min(axis=0)
        self.step = (x.max(axis=0) - self.minimum) / 255
        return self

    def encode(self, x):
        if x.shape[1] != len(self.minimum):
            raise ValueError(f"x has {x.shape[1]} dimensions, trained on {len(self.minimum)}")
        return ((x - self.minimum) / self.step).astype(np.uint8)

    def decode(self, codes):
        return self.minimum + codes * self.step'''
FIGURE = """from aieng.data.corpus import load_corpus
from aieng.lesson.experiments import scalar_quantization

scalar_quantization.staircase(use("1.4", ScalarQuantizer), load_corpus().embeddings)"""


def main() -> None:
    book = new_notebook(cells=[
        new_code_cell("import numpy as np\n\nfrom aieng.lesson import check, hint, start, use"),
        new_markdown_cell(TEACH), new_code_cell('hint("1.4")'), new_code_cell(ANSWER), new_code_cell('check("1.4", ScalarQuantizer)'),
        new_code_cell(FIGURE)])
    with tempfile.TemporaryDirectory() as folder:
        home, root = Path(folder) / "home", Path(folder) / "lab"
        root.mkdir()
        nbformat.write(book, root / "01-vectors.ipynb")
        notice = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
        notice.parent.mkdir(parents=True)
        notice.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        environment = os.environ | {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "AIENG_PROGRESS_DIR": str(home / "progress"),
                                    "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ServerApp.ip=127.0.0.1",
             "--IdentityProvider.token=t", f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(url)
            _shoot(url, ROOT / "assets" / "lab.png")
        finally:
            server.terminate()
            server.wait(30)


def _wait(url: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(f"{url}/api?token=t", timeout=2).read()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def _shoot(url: str, picture: Path) -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 1640})
        page.goto(f"{url}/lab/tree/01-vectors.ipynb?token=t&reset")
        page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.context?.isReady", timeout=90_000)
        page.evaluate("""async () => {
            await jupyterapp.commands.execute('application:toggle-left-area');
            await jupyterapp.shell.currentWidget.context.sessionContext.ready;
            await jupyterapp.commands.execute('notebook:run-all-cells');
        }""")
        page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=120_000)
        page.wait_for_timeout(1500)
        page.locator(".jp-WindowedPanel-outer").first.evaluate("panel => panel.scrollTo(0, 0)")
        page.screenshot(path=str(picture))
        browser.close()


if __name__ == "__main__":
    main()
