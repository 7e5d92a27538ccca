"""The files that come with the checkout."""

from __future__ import annotations

from pathlib import Path


def shipped(path: Path) -> Path:
    """The path, after a look at whether it is there. FileNotFoundError that says what to do where it is not."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: it belongs to the checkout; restore it with `git checkout assets`")
    return path
