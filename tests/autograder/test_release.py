"""`make release` writes what is fresh, keeps what somebody changed, and resets only with a dated copy."""

from __future__ import annotations

import nbformat
import pytest

from autograder import notebooks, release
from autograder.__main__ import main


@pytest.fixture
def private(tmp_path, monkeypatch):
    """A notebooks folder of the test's own, and a release step that copies a fixed text instead of calling nbgrader."""
    monkeypatch.setattr(release, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(release, "RECORD", tmp_path / ".release.json")
    text = {"now": "first"}

    def generate(slugs, folder):
        for slug in slugs:
            path = folder / f"{slug}.ipynb"
            path.write_text(text["now"])
            yield path

    monkeypatch.setattr(release, "generate", generate)
    return tmp_path / "01-vectors" / "01-vectors.ipynb", text


def test_untouched_notebooks_follow_the_source(private):
    path, text = private
    assert release.release(["01-vectors"]) == []
    text["now"] = "second"
    assert release.stale(["01-vectors"]) == ["01-vectors"]
    assert release.release(["01-vectors"]) == []
    assert path.read_text() == "second"
    assert release.stale(["01-vectors"]) == []


def test_a_changed_notebook_is_kept_and_named(private, monkeypatch, capsys):
    path, text = private
    release.release(["01-vectors"])
    path.write_text("my work")
    text["now"] = "second"
    assert main(["release", "01-vectors"]) == 1
    assert path.read_text() == "my work"
    assert "kept notebooks/01-vectors" in capsys.readouterr().out


def test_without_a_record_an_unknown_notebook_is_kept(private):
    path, _ = private
    path.parent.mkdir()
    path.write_text("from somewhere else")
    assert release.release(["01-vectors"]) == ["01-vectors"]
    assert path.read_text() == "from somewhere else"


def test_reset_keeps_a_dated_copy(private):
    path, _ = private
    release.release(["01-vectors"])
    path.write_text("my work")
    assert release.release(["01-vectors"], reset=True) == []
    assert path.read_text() == "first"
    assert [p.read_text() for p in path.parent.glob("*.yours-*.ipynb")] == ["my work"]


def test_one_exercise_is_emptied_and_the_rest_kept(private, monkeypatch):
    path, text = private
    cells = [nbformat.v4.new_code_cell(source, metadata={"nbgrader": {"grade_id": notebooks.solution_id(e)}})
             for e, source in (("1.1", "def a(): stub"), ("1.2", "def b(): stub"))]
    text["now"] = nbformat.writes(nbformat.v4.new_notebook(cells=cells))
    release.release(["01-vectors"])
    book = notebooks.read(path)
    book.cells[0].source, book.cells[1].source = "mine, wrong", "mine, right"
    nbformat.write(book, path)
    copy = release.reset_exercise("1.1")
    assert [c.source for c in notebooks.read(path).cells] == ["def a(): stub", "mine, right"]
    assert notebooks.read(copy).cells[0].source == "mine, wrong"
    gone = nbformat.v4.new_code_cell("c", metadata={"nbgrader": {"grade_id": notebooks.solution_id("1.3")}})
    text["now"] = nbformat.writes(nbformat.v4.new_notebook(cells=[*cells, gone]))
    with pytest.raises(ValueError, match=r"no cell for exercise 1\.3"):
        release.reset_exercise("1.3")


def test_released_notebooks_are_fresh():
    stale = release.stale(release.sections())
    assert not stale, f"notebooks/ does not match solutions/ in {', '.join(stale)}: run make release and commit"


@pytest.mark.parametrize("slug", release.sections())
def test_the_source_is_clean(slug):
    book = notebooks.read(notebooks.source_path(slug))
    nbformat.validate(book)
    assert not any(c.get("outputs") for c in book.cells)
    assert {p.name for p in (notebooks.SOLUTIONS / slug).iterdir()} == {f"{slug}.ipynb"}
