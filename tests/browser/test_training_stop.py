"""The stop button of a live training, pressed in a browser while the cell is running."""

from __future__ import annotations

from autograder.lab import open_notebook

CODE = """
import time
from aieng.lesson.experiments.prediction import LiveCurve
curve, step = LiveCurve(600), 0
while curve(step, 7.0) and step < 600:
    time.sleep(0.1)
    step += 1
curve.close()
print("ended at", step)
"""
RUN_FIRST_CODE = """async (code) => {
    const notebook = jupyterapp.shell.currentWidget;
    await notebook.context.sessionContext.ready;
    const content = notebook.content, index = content.widgets.findIndex(c => c.model.type === 'code');
    content.widgets[index].model.sharedModel.setSource(code);
    content.deselectAll();
    content.activeCellIndex = index;
    jupyterapp.commands.execute('notebook:run-cell');
}"""
PRINTED = """() => [...jupyterapp.shell.currentWidget.content.model.sharedModel.cells].flatMap(
    c => (c.toJSON().outputs ?? []).filter(o => o.output_type === 'stream').map(o => [o.text].flat().join(''))).join('')"""


def test_a_click_ends_the_training_while_the_cell_runs(page, lab):
    slug = "02-large-language-models"
    open_notebook(page, lab, f"notebooks/{slug}/{slug}.ipynb")
    page.evaluate(RUN_FIRST_CODE, CODE)
    button = page.get_by_role("button", name="Stop training")
    button.wait_for(timeout=90_000)
    page.wait_for_timeout(1500)  # some steps, and the widget's connection
    button.click()
    page.wait_for_function(f"() => ({PRINTED})().includes('ended at')", timeout=90_000)
    steps = int(page.evaluate(PRINTED).split("ended at")[1].split()[0])
    assert steps < 600, "the click was heard only after the cell had ended"
    assert button.count() == 0, "nothing is left to stop"
