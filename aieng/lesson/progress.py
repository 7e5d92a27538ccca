"""What a learner has done so far, kept on their own machine.

One JSON file in the user's data directory (or `AIENG_PROGRESS_DIR`). Every change reads the file, merges and replaces it
under a lock, so two open notebooks never undo each other and a crash never leaves half a file.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock

VERSION = 1


def directory() -> Path:
    """The folder that holds progress.json and the recorded claims."""
    chosen = os.environ.get("AIENG_PROGRESS_DIR")
    return Path(chosen) if chosen else platformdirs.user_data_path("ai-engineering-course", appauthor=False)


def load() -> dict[str, Any]:
    """The stored progress; an empty record where there is none yet.

    A file that cannot be read is moved aside (`progress.json.unreadable-…`), never deleted, and a warning names it.
    """
    path = directory() / "progress.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or record.get("version") != VERSION:
            raise ValueError(f"expected a record of version {VERSION}")
    except FileNotFoundError:
        return _empty()
    except (OSError, ValueError) as error:
        aside = path.with_name(f"{path.name}.unreadable-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        path.replace(aside)
        warnings.warn(f"your progress file could not be read ({error}); it was kept as {aside} and a new one begun",
                      stacklevel=2)
        return _empty()
    return _empty() | record


def update(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Apply `change` to the stored record in place and save it atomically; returns the new record."""
    folder = directory()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "progress.lock", timeout=10):
        record = load()
        change(record)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix="progress-", suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(record, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, folder / "progress.json")
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    return record


def record_check(exercise_id: str, passed: bool) -> dict[str, Any]:
    """Note one run of a check. Once passed, an exercise stays passed; attempts are counted."""

    def change(record: dict[str, Any]) -> None:
        entry = record["exercises"].setdefault(exercise_id, {"passed": False, "attempts": 0})
        entry["attempts"] += 1
        if passed and not entry["passed"]:
            entry |= {"passed": True, "first_passed": datetime.now(UTC).isoformat(timespec="seconds")}

    return update(change)


def passed_exercises(record: dict[str, Any] | None = None) -> set[str]:
    """Ids of the exercises whose visible checks have passed at least once."""
    record = load() if record is None else record
    return {key for key, entry in record["exercises"].items() if entry.get("passed")}


def _empty() -> dict[str, Any]:
    return {"version": VERSION, "exercises": {}, "quizzes": {}, "claims": {}}
