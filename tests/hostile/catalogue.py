"""The hostile submissions of this folder, read from their files.

A file is a submission for one exercise: `# %% before` cells, the `# %% answer`, `# %% after` cells. Its head says what it does (first line)
and what must come of it: `# expects: nothing` (no point) or `# expects: full` (an honest answer that must not suffer), `# says:` a pattern
that the learner's message must match, `# seconds:` the time limit to run it under, `# only: hidden` where only the hidden tests keep a
secret. Whatever it prints, it must not contain the word LEAK, which it prints when it got what it was after.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "submissions"
EXERCISE = "1.3"


@dataclass(frozen=True)
class Hostile:
    """One hostile submission."""

    kind: str
    name: str
    about: str
    expects: str
    says: str
    seconds: float
    only: str
    before: tuple[str, ...]
    answer: str
    after: tuple[str, ...]


def load() -> list[Hostile]:
    """All of them, ordered by class and name; the honest one that must come last is last."""
    found = [_read(path) for path in sorted(FOLDER.glob("*/*.py"))]
    return sorted(found, key=lambda h: h.name == "honest_after_all")


def _read(path: Path) -> Hostile:
    head, *parts = re.split(r"^# %% (\w+)\n", path.read_text(encoding="utf-8"), flags=re.M)
    notes = dict(re.findall(r"^# (expects|says|seconds|only): (.*)$", head, re.M))
    cells = list(zip(parts[::2], (p.strip("\n") for p in parts[1::2]), strict=True))
    return Hostile(
        path.parent.name,
        path.stem,
        head.split("\n")[0].removeprefix("# "),
        notes["expects"],
        notes.get("says", ""),
        float(notes.get("seconds", 30)),
        notes.get("only", ""),
        tuple(s for k, s in cells if k == "before"),
        next(s for k, s in cells if k == "answer"),
        tuple(s for k, s in cells if k == "after"),
    )
