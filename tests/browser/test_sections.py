"""Every released notebook as a learner meets it: run unsolved, moved by keyboard, scanned by axe, solved a little, reloaded."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from aieng.lesson import course
from autograder import notebooks
from autograder.lab import RUN_ALL, open_notebook

READY = [s for s in course.SECTIONS if s.ready]
BANK = notebooks.ROOT / "tests" / "graders"
ERRORS = """() => [...jupyterapp.shell.currentWidget.content.model.sharedModel.cells].flatMap((cell, i) =>
    (cell.toJSON().outputs ?? []).filter(o => o.output_type === 'error').map(o => `cell ${i}: ${o.ename}: ${o.evalue}`))"""
# Writes `answer` into the solution cell with this nbgrader id, then runs it and the graded cell.
SOLVE = """async ([solution, tests, answer]) => {
    const content = jupyterapp.shell.currentWidget.content;
    for (const id of [solution, tests]) {
        const index = content.widgets.findIndex(c => (c.model.sharedModel.getMetadata().nbgrader ?? {}).grade_id === id);
        if (id === solution) content.widgets[index].model.sharedModel.setSource(answer);
        content.deselectAll();
        content.activeCellIndex = index;
        await jupyterapp.commands.execute('notebook:run-cell');
    }
}"""
# Runs code cells from the top until the card at the top is a new one; the one that was saved stands there already.
RUN_COVER = """async () => {
    const notebook = jupyterapp.shell.currentWidget, bar = '[role=progressbar][aria-label*="Progress over the course"]';
    await notebook.context.sessionContext.ready;
    const saved = document.querySelector(bar), content = notebook.content;
    for (let i = 0; i < content.widgets.length && document.querySelector(bar) === saved; i++) {
        if (content.widgets[i].model.type !== 'code') continue;
        content.deselectAll();
        content.activeCellIndex = i;
        await jupyterapp.commands.execute('notebook:run-cell');
    }
}"""
# What an interactive figure shows at the moment: its words, its data and its layout.
SHOWN = """explorer => JSON.stringify([[...explorer.querySelectorAll('[role=status]')].map(e => e.textContent),
    [...explorer.querySelectorAll('.js-plotly-plot')].map(g => [g.data, g.layout.title, g.layout.annotations, g.layout.shapes])])"""
AXE = """async () => {
    const found = await axe.run({ include: [['.jp-OutputArea-output']] }, { resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa'] });
    return found.violations.filter(v => ['serious', 'critical'].includes(v.impact)).flatMap(v => v.nodes.slice(0, 3).map(
        n => `${v.id}: ${n.failureSummary} ${n.html.slice(0, 200)}`));
}"""


def move_by_keyboard(page, explorer):
    """Give the first control that answers to keys the focus and press one; returns what was moved, None where nothing changed."""
    explorer.scroll_into_view_if_needed()
    kinds = {"[role=slider]": "ArrowRight", "select": "ArrowDown", "button:not([disabled])": "Enter", "input[type=checkbox]": "Space",
             "input[type=text]": None}
    tried = []
    for selector, key in kinds.items():
        for control in explorer.locator(selector).all()[:4]:
            if not control.is_visible() or control.locator("xpath=ancestor::*[contains(@class,'modebar')]").count():
                continue
            before = explorer.evaluate(SHOWN)
            control.focus()
            if key is None:
                page.keyboard.press("Control+a")
                page.keyboard.type("the river bank")
                page.keyboard.press("Enter")
            else:
                page.keyboard.press(key)
            tried.append(selector)
            for _ in range(50):
                page.wait_for_timeout(100)
                if explorer.evaluate(SHOWN) != before:
                    return selector
    return None if tried else "no control"


@pytest.mark.parametrize("section", READY, ids=lambda s: s.number)
def test_a_section_as_a_learner_meets_it(lab, page, section):
    outside: list[str] = []
    page.on("request", lambda r: None if r.url.startswith((lab, "data:", "blob:", "ws:")) else outside.append(r.url))
    open_notebook(page, lab, f"notebooks/{section.slug}/{section.slug}.ipynb")
    page.evaluate(RUN_ALL)
    assert page.evaluate(ERRORS) == []
    assert page.locator("text=not attempted yet").count() >= len(section.exercises), "every unsolved check shows its card"
    assert page.locator(".jupyter-widgets-error, .jp-RenderedError").count() == 0

    hint = page.get_by_role("button", name="Show hint 1 of 3").first
    hint.scroll_into_view_if_needed()
    hint.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Show hint 2 of 3").first.wait_for(timeout=10_000)

    explorers = page.locator(".aieng-explorer")
    assert explorers.count() >= 1
    still = [explorers.nth(i).inner_text()[:80] for i in range(explorers.count())
             if move_by_keyboard(page, explorers.nth(i)) is None]
    assert not still, f"interactive figures that no key changed: {still}"

    page.add_script_tag(content=resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    assert page.evaluate(AXE) == []
    page.evaluate("() => jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'", timeout=20_000)
    page.wait_for_timeout(500)
    assert page.evaluate(AXE) == []
    page.evaluate("() => jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Light' })")

    first = section.exercises[0].id
    answer = sorted((BANK / section.slug / first).glob("right_*.py"))[0].read_text(encoding="utf-8")
    page.evaluate(SOLVE, [notebooks.solution_id(first), notebooks.tests_id(first), answer])
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    open_notebook(page, lab, f"notebooks/{section.slug}/{section.slug}.ipynb")
    page.evaluate(RUN_COVER)
    label = page.locator("[role=progressbar][aria-label*='Progress over the course']").first.get_attribute("aria-label")
    assert int(json.loads(label.split(":")[1].split()[0])) >= 1, label
    assert outside == []
