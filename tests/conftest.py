"""Shared fixtures: every test keeps its progress in a folder of its own and starts with an empty session."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from aieng.lesson import session


@pytest.fixture(scope="session", autouse=True)
def _shell():
    """A shell for `display` to publish to, as in a notebook; without history on disk."""
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture(autouse=True)
def _own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("AIENG_PROGRESS_DIR", str(tmp_path / "progress"))
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    session.forget()


@pytest.fixture(scope="session")
def lm():
    """SmolLM2 in float32, from the cache."""
    from aieng.models.smollm2 import smollm2

    return smollm2(progress=False)
