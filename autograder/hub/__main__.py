"""`make classroom` / python -m autograder.hub: start the classroom and say where it is."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from autograder.notebooks import ROOT

PROXY = "configurable-http-proxy@5.2.0"
PEOPLE = ("instructor", "ada", "bob")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m autograder.hub", description=__doc__)
    parser.add_argument("--course", type=Path, default=ROOT, help="the course folder (default: this checkout)")
    parser.add_argument("--port", type=int, default=8010)
    args = parser.parse_args()
    course = args.course.resolve()
    state = course / "autograder" / "classroom" / "hub"
    exchange = state / "exchange"
    for folder in (exchange, *(state / "homes" / name for name in PEOPLE)):
        folder.mkdir(parents=True, exist_ok=True)
    exchange.chmod(0o777)  # nbgrader's exchange is a folder that everybody may write to
    password = os.environ.get("AIENG_HUB_PASSWORD") or secrets.token_urlsafe(9)
    print(f"http://127.0.0.1:{args.port}   people: {', '.join(PEOPLE)}   password for all of them: {password}", flush=True)
    environment = os.environ | {
        "AIENG_COURSE": str(course),
        "AIENG_HUB_PORT": str(args.port),
        "AIENG_HUB_PASSWORD": password,
        "AIENG_EXCHANGE": str(exchange),
        "AIENG_PROXY": proxy(state),
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
    }
    command = [sys.executable, "-m", "jupyterhub", "-f", str(Path(__file__).with_name("jupyterhub_config.py"))]
    os.chdir(state)
    os.execve(sys.executable, command, environment)


def proxy(state: Path) -> str:
    """The path of configurable-http-proxy, which JupyterHub needs and npm provides; installed into the classroom where it is missing."""
    found = shutil.which("configurable-http-proxy") or shutil.which(str(state / "node_modules" / ".bin" / "configurable-http-proxy"))
    if found:
        return found
    if shutil.which("npm") is None:
        raise SystemExit("JupyterHub needs configurable-http-proxy, and npm to install it: install Node.js (Debian: nodejs npm)")
    print(f"installing {PROXY} …", flush=True)
    subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(state), PROXY], check=True)
    return str(state / "node_modules" / ".bin" / "configurable-http-proxy")


if __name__ == "__main__":
    main()
