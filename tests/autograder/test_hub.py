"""The classroom from end to end through JupyterHub: release, fetch, solve, submit, collect, grade, feedback, export."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import small_course as small

from autograder import notebooks

SLUG = small.SLUG
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = [
    name
    for name, there in (
        ("chromium", CHROMIUM),
        ("configurable-http-proxy or npm", shutil.which("configurable-http-proxy") or shutil.which("npm")),
    )
    if not there
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)}")


class Hub:
    """A running classroom, and what scripts do in it."""

    def __init__(self, course: Path) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.course, self.token, self.password = course, secrets.token_hex(16), secrets.token_hex(8)
        self.log = open(course / "hub.log", "w")  # noqa: SIM115 - closed in stop
        self.process = subprocess.Popen(
            [sys.executable, "-m", "autograder.hub", "--course", str(course), "--port", str(self.port)],
            cwd=notebooks.ROOT,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"AIENG_HUB_TOKEN": self.token, "AIENG_HUB_PASSWORD": self.password, "PYTHONPATH": str(notebooks.ROOT)},
        )
        self.wait_for(lambda: self.call("GET", "/hub/api/"), 180)

    def call(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else b"" if method == "POST" else None
        request = Request(
            f"http://127.0.0.1:{self.port}{path}",
            data,
            {"Authorization": f"token {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urlopen(request, timeout=120) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def wait_for(self, ready, seconds):
        deadline = time.monotonic() + seconds
        while True:
            try:
                if (result := ready()) is not None:
                    return result
            except OSError:
                pass  # not there yet
            assert self.process.poll() is None and time.monotonic() < deadline, (self.course / "hub.log").read_text()[-3000:]
            time.sleep(0.3)

    def start_server(self, name):
        self.wait_for(lambda: self.call("POST", f"/hub/api/users/{name}") if not self.user(name) else {}, 30)
        self.call("POST", f"/hub/api/users/{name}/server")
        self.wait_for(lambda: (self.user(name) or {}).get("server"), 120)

    def user(self, name):
        return next((u for u in self.call("GET", "/hub/api/users") if u["name"] == name), None)

    def assignments(self, name, action="", **body):
        if action:
            return self.call("POST", f"/user/{name}/assignments/{action}", {"course_id": "ai-engineering", "assignment_id": SLUG})
        return self.call("GET", f"/user/{name}/assignments?course_id=ai-engineering")

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.log.close()


@pytest.fixture
def hub(tmp_path):
    hub = Hub(small.make(tmp_path / "course"))
    yield hub
    hub.stop()


def press(page, icon):
    """Press a button of formgrader's list and close the window that reports success."""
    page.locator(f"span.{icon}").first.click()
    page.get_by_text("Success", exact=True).first.wait_for(timeout=120_000)
    page.locator(".modal.in button.btn-primary, .modal.in button.close").first.click()
    page.locator(".modal.in").wait_for(state="detached", timeout=20_000)


@pytest.mark.browser
@pytest.mark.timeout(400)
def test_an_assignment_goes_round(hub):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(90_000)
        base = f"http://127.0.0.1:{hub.port}"

        page.goto(f"{base}/hub/login")
        page.fill("#username_input", "instructor")
        page.fill("#password_input", hub.password)
        page.click("#login_submit")
        page.wait_for_url("**/user/instructor/lab**")
        listing = f"{base}/user/instructor/formgrader/manage_assignments"
        page.goto(listing)
        press(page, "glyphicon-education")  # generate the learners' version
        page.goto(listing)
        press(page, "glyphicon-cloud-upload")  # release it to the exchange

        for name, bodies in (("ada", small.BODIES["right"]), ("bob", small.BODIES["half"])):
            hub.start_server(name)
            assert [a["status"] for a in hub.assignments(name)["value"]] == ["released"]
            hub.assignments(name, "fetch")
            path = f"/user/{name}/api/contents/{SLUG}/{SLUG}.ipynb"
            fetched = nbformat.from_dict(hub.call("GET", path)["content"])
            answers = {notebooks.grade_id(c): c.source for c in small.answered(bodies).cells if notebooks.grade_id(c)}
            assert not any("HIDDEN" in c.source or "return b - a + c" in c.source for c in fetched.cells)
            for cell in fetched.cells:
                if cell.metadata.get("nbgrader", {}).get("solution"):
                    cell.source = answers[notebooks.grade_id(cell)]
            hub.call("PUT", path, {"type": "notebook", "format": "json", "content": fetched})
            assert any(a["status"] == "submitted" for a in hub.assignments(name, "submit")["value"])

        page.goto(listing)
        press(page, "glyphicon-cloud-download")  # collect
        done = subprocess.run(
            [sys.executable, "-m", "autograder", "grade", "--course", str(hub.course), "--json"],
            cwd=notebooks.ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert {r["student"]: r["score"] for r in json.loads(done.stdout)} == {"ada": 22.0, "bob": 14.0}, done.stderr

        page.goto(f"{base}/user/instructor/formgrader/gradebook/{SLUG}/{SLUG}")  # grade the written answer by hand
        page.get_by_role("link", name="Submission #1").click()
        page.wait_for_load_state("networkidle")
        box = page.locator("input.score[id='01-written']")
        with page.expect_response(lambda answer: answer.request.method == "PUT" and "/api/grade/" in answer.url):
            box.fill("8")
            box.press("Tab")

        page.goto(listing)
        press(page, "glyphicon-comment")  # generate feedback
        page.goto(listing)
        press(page, "glyphicon-envelope")  # and release it
        browser.close()

    for name in ("ada", "bob"):
        hub.assignments(name, "fetch_feedback")
        pages = list((hub.course / "autograder/classroom/hub/homes" / name / SLUG / "feedback").rglob("*.html"))
        assert len(pages) == 1
        text = pages[0].read_text()
        assert "Your points" in text and "20240501" not in text
        assert "what the tests say" in text if name == "bob" else "what the tests say" not in text
    scores = {s: float(row["raw_score"]) for s, row in small.exported(hub.course).items() if s in ("ada", "bob")}
    assert scores in ({"ada": 30.0, "bob": 14.0}, {"ada": 22.0, "bob": 22.0})  # whoever stands first in formgrader's list
