"""`make pictures`: one figure of each section, as a learner who solved everything sees it in JupyterLab, into assets/pictures/."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from aieng.lesson import course
from autograder import lab, notebooks

FOLDER = notebooks.ROOT / "assets" / "pictures"
# The section's figure: what the cell that draws it calls, and how far its first slider is moved before the picture is taken.
SHOWN = {"01": ("hnsw_player(", 6), "02": ("sampling_explorer(", -8), "03": ("attention_explorer(", 0), "04": ("tile_player(", 4),
         "05": ("levels_explorer(", 0), "06": ("tree_explorer(", 0), "07": ("head_explorer(", 0), "08": ("trace_player(", 3)}
_FIND = """(call) => {
    const content = jupyterapp.shell.currentWidget.content;
    const index = content.widgets.findIndex(c => c.model.type === 'code' && c.model.sharedModel.getSource().includes(call));
    if (index < 0) return null;
    content.activeCellIndex = index;
    content.widgets[index].node.id = 'the-picture';
    return index;
}"""


def take(slugs: Sequence[str]) -> list[Path]:
    """Run each section's source notebook in a browser and save its figure; returns the files. LookupError where there is none."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    written = []
    with tempfile.TemporaryDirectory() as folder, lab.chromium() as browser:
        root, home = Path(folder) / "course", Path(folder) / "home"
        root.mkdir()
        home.mkdir()
        with lab.serve(root, home) as url:
            for slug in slugs:
                section = course.section(slug)
                call, steps = SHOWN[section.number]
                page = browser.new_page(viewport={"width": 1180, "height": 1600})
                page.set_default_timeout(60_000)
                lab.open_notebook(page, url, f"solutions/{section.slug}/{section.slug}.ipynb")
                page.evaluate(lab.RUN_ALL)
                if page.evaluate(_FIND, call) is None:
                    raise LookupError(f"no cell of {section.slug} calls {call}…); name another in {Path(__file__).name}")
                figure = page.locator("#the-picture .aieng-explorer, #the-picture .jp-OutputArea-output").first
                figure.scroll_into_view_if_needed()
                for _ in range(abs(steps)):
                    figure.locator("[role=slider]").first.press("ArrowRight" if steps > 0 else "ArrowLeft")
                    page.wait_for_timeout(300)
                page.wait_for_timeout(3000)
                path = FOLDER / f"{section.number}.png"
                figure.screenshot(path=str(path))
                written.append(path)
                page.close()
                lab.end_kernels(url)
    return written
