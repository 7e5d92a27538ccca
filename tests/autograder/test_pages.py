"""The claims ledger and the read-only pages are made from what the notebooks record and show."""

from __future__ import annotations

import json
import re

import nbformat
import pytest

from aieng.lesson import course
from autograder import ledger, notebooks, pages, pictures, release, running

CELLS = [
    nbformat.v4.new_markdown_cell("# Small\n\nA formula: $\\sqrt{d}$, and\n\n$$a = \\frac{b}{c}$$"),
    nbformat.v4.new_markdown_cell("## Its part"),
    nbformat.v4.new_code_cell(
        "from aieng.lesson.claims import claim\nfrom aieng.lesson.environment import interactive_allowed\n"
        "from aieng.figures.theme import describe, new_figure\n"
        "claim('01-small', 'One is | one', 'holds', f'{1 / 1:.1f}', 'Peano 1889')\nprint('live' if interactive_allowed() else 'still')"),
    nbformat.v4.new_code_cell(
        "fig = describe(new_figure('Title', 'x', 'y'), 'A line </script> of two.')\nfig.add_scatter(x=[1, 2], y=[3, 4])"),
]


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=CELLS), path)
    return path


def test_a_run_records_claims_time_and_memory(small, tmp_path):
    done = running.run(small, progress_dir=tmp_path / "progress")
    assert json.loads((tmp_path / "progress" / "progress.json").read_text())["claims"]["01-small"]["measured"] == "1.0"
    assert done.seconds > 0 and 20 < done.peak_mb < 4000
    assert len(done.book.cells) == len(CELLS)
    assert "live" in str(done.book.cells[2].outputs)


def test_a_page_asks_nothing_of_the_network(small, tmp_path):
    done = running.run(small, progress_dir=tmp_path / "progress", widgets=False)
    assert "still" in str(done.book.cells[2].outputs)
    html = pages.page(done.book, "Small")
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=[\"']https?:", html)
    assert "cdn" not in re.sub(r"<style.*?</style>", "", html, flags=re.S).lower()
    assert "<msqrt>" in html and "<mfrac>" in html
    assert html.count("Plotly.newPlot") == 1 and "plotly.min.js" in html
    assert "One is | one" in html


def test_the_ledger_names_every_claim_of_every_ready_section_once():
    keys = [p.key for slug in release.sections() for p in ledger.places(slug)]
    assert len(keys) == len(set(keys))
    for section in course.SECTIONS:
        if section.ready:
            assert [p for p in ledger.places(section.slug) if p.key.startswith(section.number)], section.slug


def test_the_ledger_on_file_is_the_one_of_these_notebooks():
    """A claim that was added, renamed or moved needs another `make claims`."""
    stored = json.loads(ledger.RECORD.read_text(encoding="utf-8"))
    assert list(stored) == release.sections()
    for slug, entry in stored.items():
        assert list(entry["rows"]) == [p.key for p in ledger.places(slug)], f"run python -m autograder claims {slug}"
        for key, row in entry["rows"].items():
            assert not re.search(r"not measured(?! here)|\bnan\b", row["measured"]), key
    assert ledger.PATH.read_text(encoding="utf-8") == ledger.text(stored)


def test_every_section_has_a_picture_of_a_figure_that_it_draws():
    for section in course.SECTIONS:
        call, _ = pictures.SHOWN[section.number]
        cells = notebooks.read(notebooks.source_path(section.slug)).cells
        assert any(call in c.source for c in cells if c.cell_type == "code" and not notebooks.grade_id(c)), f"{section.slug}: {call}"
        assert (pictures.FOLDER / f"{section.number}.png").stat().st_size < 400_000
    assert all(f"assets/pictures/{section.number}.png" in (notebooks.ROOT / "README.md").read_text() for section in course.SECTIONS)
