"""Prose that no experiment calibrates or trains on: what section 05 measures perplexity with.

``assets/make_heldout.py`` made it from The Devil's Dictionary (1911, public domain). SmolLM2 may well have read the book while it was
trained, so the perplexities compare versions of one model; they are no grade for it.
"""

from __future__ import annotations

import gzip
from pathlib import Path

_FILE = Path(__file__).resolve().parents[2] / "assets" / "heldout.txt.gz"


def load_heldout() -> str:
    """About 113,000 characters (26,000 of SmolLM2's tokens), paragraphs separated by blank lines.

    Raises
    ------
    FileNotFoundError
        The assets folder is not beside the package.
    """
    if not _FILE.is_file():
        raise FileNotFoundError(f"{_FILE} not found: the course's data lie in the checkout; restore it with `git checkout assets`")
    return gzip.decompress(_FILE.read_bytes()).decode("utf-8")
