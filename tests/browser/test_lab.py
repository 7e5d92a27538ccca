"""nbgrader's extensions open in the course's JupyterLab."""

from __future__ import annotations

from autograder.lab import open_notebook

SLUG = "01-vectors"


def test_formgrader_and_create_assignment_open(lab, page):
    page.goto(f"{lab}/formgrader/manage_assignments?token=t")
    page.get_by_text(SLUG).first.wait_for(timeout=60_000)
    open_notebook(page, lab, f"solutions/{SLUG}/{SLUG}.ipynb")
    assert page.evaluate("() => jupyterapp.commands.listCommands().filter(c => c.startsWith('nbgrader')).length") > 0
    page.evaluate("async () => { await jupyterapp.commands.execute('nbgrader:open-create-assignment') }")
    page.locator(".nbgrader-NotebookWidget, .nbgrader-CreateAssignmentWidget, [class*=nbgrader-]").first.wait_for(timeout=30_000)
