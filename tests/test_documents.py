"""The documents' commands do what the documents say, in the order of the documents, on a copy of the course."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
# These open a browser or a server and never end, or measure for a long time: where each is tested instead.
ELSEWHERE = {
    "make lab": "tests/browser", "make -C .. lab": "tests/browser", "make classroom": "tests/autograder/test_hub.py",
    "make test": "this suite", "make bench": "tests/test_benchmarks.py", "make claims": "tests/autograder/test_pages.py",
    "make pages": "tests/autograder/test_pages.py", "make graders": "tests/autograder/test_mutants.py",
    "make mutants": "tests/autograder/test_mutants.py",
}
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "notebooks/README.md", "autograder/README.md")


def commands(document: str) -> list[str]:
    """The lines of a document's command blocks, without their remarks."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```\n(.*?)^ *```", text, re.M | re.S)
    return [line for block in blocks for line in (re.split(r"\s{2,}#|\s+# ", b)[0].strip() for b in block.splitlines()) if line]


@pytest.fixture(scope="module")
def course():
    """A copy of the checkout with one submission; not below /tmp, which the sandbox hides."""
    root = ROOT / "build" / f"documents-{os.getpid()}"
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file() and not name.startswith("tests/hostile"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    (root / ".venv").symlink_to(BIN.parent)
    folder = root / "autograder" / "classroom" / "submitted" / "ada" / "01-vectors"
    folder.mkdir(parents=True)
    shutil.copyfile(ROOT / "notebooks" / "01-vectors" / "01-vectors.ipynb", folder / "01-vectors.ipynb")
    for name, text in (("timestamp.txt", "2026-11-02 09:00:00.000000 UTC"), ("submission_secret.txt", "a secret")):
        (folder / name).write_text(text)  # as nbgrader submit writes them: feedback is released by them
    (root / "exchange").mkdir()
    (root / "exchange").chmod(0o777)
    yield root
    (root / ".venv").unlink()
    shutil.rmtree(root)


def run(course: Path, command: str, tmp: Path, folder: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(course), "AIENG_EXCHANGE": str(course / "exchange"),
        "AIENG_PROGRESS_DIR": str(tmp / "progress"), "JUPYTER_CONFIG_PATH": str(course / "autograder")}
    # The copy's pyproject.toml is younger than the set-up: without -o make would install again.
    command = re.sub(r"^make ", "make -o .venv/test -o .venv/lab -o .venv/made ", command)
    return subprocess.run(["bash", "-c", command], cwd=course / folder, env=environment, capture_output=True, text=True, timeout=300,
                          check=False)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of(document, course, tmp_path):
    inside = "."
    asked = commands(document)
    assert asked
    for command in asked:
        if command.startswith("cd "):
            inside = command[3:]
            continue
        if any(command == e or command.startswith(f"{e} ") for e in ELSEWHERE):
            continue
        where = inside if command.startswith("nbgrader") else "."
        done = run(course, command.replace("/tmp/", f"{tmp_path}/"), tmp_path, where)
        assert done.returncode == 0, f"{document}: {command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
