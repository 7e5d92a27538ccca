"""Every notebook runs from top to bottom, solved and unsolved, through nbval, as CI and a learner's "Run All" would."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from autograder import notebooks, release, sandbox

# The course works offline once set up: where bubblewrap is at hand, the notebooks run with nothing but the loopback.
OFFLINE = [sandbox.bubblewrap(), "--dev-bind", "/", "/", "--unshare-net", "--die-with-parent"] if sandbox.bubblewrap() else []
VERSIONS = {"solved": notebooks.SOLUTIONS, "unsolved": notebooks.NOTEBOOKS}
RUNS = [pytest.param(folder, slug, id=f"{version}-{slug}", marks=pytest.mark.xdist_group(f"{version} {slug}"))
        for version, folder in VERSIONS.items() for slug in release.sections()]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("version", "slug"), RUNS)
def test_runs_to_the_end(version, slug, tmp_path):
    environment = os.environ | {"AIENG_PROGRESS_DIR": str(tmp_path / "progress"), "AIENG_PACE": "quick"}
    environment.pop("PYTEST_CURRENT_TEST", None)
    done = subprocess.run(
        [*OFFLINE, sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300", "-q",
         "-p", "no:cacheprovider", "-p", "no:timeout", "-o", "addopts=", str(version / slug / f"{slug}.ipynb")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
