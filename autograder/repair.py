"""Makes a gradable notebook of whatever was handed in, and says what it had to mend. The file itself is never changed.

A submission may be no notebook at all, or have cells deleted, duplicated, reordered, edited in their metadata, or taken from another
section. The instructor's notebook says which cells there must be; the learner's work is whatever can be found of it.
"""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_markdown_cell, new_notebook

from aieng.lesson import course
from autograder import notebooks
from autograder.planning import defined_names

MAX_BYTES = 256 << 20
_SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION.*?### END SOLUTION", re.S | re.M)
_MARKS = ("grade", "grade_id", "locked", "points", "schema_version", "solution", "task")


def read_submission(path: Path, source: Any, section: str) -> tuple[Any, list[str]]:
    """(a notebook with every cell that grading needs, what was mended)."""
    messages: list[str] = []
    cells = _cells(path, messages)
    wanted = {notebooks.grade_id(c): c for c in source.cells if notebooks.grade_id(c)}
    if _of_wrong_section(cells, wanted, section, messages):
        for cell in cells:
            cell.metadata.pop("nbgrader", None)
    else:
        cells = _marked_once(cells, wanted, messages)
        _find_unmarked(cells, wanted, messages)
    _add_missing(cells, wanted, messages)
    _order(cells, wanted, messages)
    book = new_notebook(cells=cells, metadata={"kernelspec": source.metadata.get("kernelspec", {}), "language_info": {"name": "python"}})
    if messages:
        text = "\n".join(f"* {m}" for m in messages)
        book.cells.insert(
            0, new_markdown_cell(f"**About this submission.** It was graded as far as possible:\n\n{text}", id="about-this-submission")
        )
    _unique_ids(book.cells)
    return book, messages


def stub_of(cell: Any) -> str:
    """What learners find in a solution cell before they write."""
    return (
        _SOLUTION.sub(r"\1# YOUR CODE HERE\n\1raise NotImplementedError()", cell.source) if cell.cell_type == "code" else "YOUR ANSWER HERE"
    )


def _cells(path: Path, messages: list[str]) -> list[Any]:
    """The cells of a file, each rebuilt from its type, text and metadata; outputs are not read."""
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise ValueError("it is not a regular file")
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has {path.stat().st_size:,} bytes; {MAX_BYTES:,} is the most")
        book = json.loads(path.read_bytes().decode("utf-8-sig", errors="replace"))
        if not isinstance(book, dict):
            raise ValueError("it is no notebook")
        raw = book.get("cells")
        if raw is None and "worksheets" in book:
            raw = nbformat.convert(nbformat.from_dict(book), 4).cells
        if not isinstance(raw, list):
            raise ValueError("it has no list of cells")
    except FileNotFoundError:
        messages.append("there is no notebook in the submission")
        return []
    except (ValueError, OSError, RecursionError, AttributeError, KeyError, TypeError) as error:
        messages.append(f"the file cannot be read as a notebook ({str(error)[:200]})")
        return []
    cells, odd = [], 0
    for item in raw:
        cell = _cell(item)
        odd += cell is None
        cells += [cell] if cell is not None else []
    if odd:
        messages.append(f"{odd} cells could not be read and were left out")
    return cells


def _cell(item: Any) -> Any:
    if not isinstance(item, dict) or item.get("cell_type") not in ("code", "markdown", "raw"):
        return None
    text = item.get("source", "")
    if isinstance(text, list):
        text = "".join(t for t in text if isinstance(t, str))
    if not isinstance(text, str):
        return None
    metadata = item.get("metadata")
    given = isinstance(item.get("id"), str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", item["id"])
    return _new_cell(item["cell_type"], text, _plain(metadata) if isinstance(metadata, dict) else {}, item["id"] if given else None)


def _new_cell(kind: str, text: str, metadata: dict[str, Any], own_id: str | None = None) -> Any:
    """A cell without outputs. nbformat's own functions check each one against its schema; here nbconvert checks the whole notebook."""
    cell = {"id": own_id or secrets.token_hex(4), "cell_type": kind if kind == "code" else "markdown", "metadata": metadata, "source": text}
    return nbformat.from_dict(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))


def _plain(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata of a form that nbformat accepts: what it has rules for must obey them."""
    kept = {k: v for k, v in metadata.items() if isinstance(k, str)}
    tags = kept.get("tags", [])
    kept["tags"] = sorted({t for t in tags if isinstance(t, str) and "," not in t}, key=tags.index) if isinstance(tags, list) else []
    for name, kind in (
        ("name", str),
        ("collapsed", bool),
        ("deletable", bool),
        ("editable", bool),
        ("jupyter", dict),
        ("scrolled", object),
    ):
        if name in kept and (not isinstance(kept[name], kind) or (name == "name" and not kept[name])):
            del kept[name]
    if not kept["tags"]:
        del kept["tags"]
    return kept


def _id_of(cell: Any) -> str:
    marks = cell.metadata.get("nbgrader")
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    return name if isinstance(name, str) else ""


def _of_wrong_section(cells: list[Any], wanted: dict[str, Any], section: str, messages: list[str]) -> bool:
    ids = {_id_of(c) for c in cells} - {""}
    if not ids or ids & set(wanted) - {"quiz", "quiz-tests"}:
        return False
    for other in course.SECTIONS:
        if other.slug != section and any(i.startswith((f"exercise-{other.number.lstrip('0')}-", f"{other.number}-")) for i in ids):
            messages.append(f"this is the notebook of section {other.slug}, handed in for {section}")
            return True
    return False


def _marked_once(cells: list[Any], wanted: dict[str, Any], messages: list[str]) -> list[Any]:
    """Give every cell that grading knows the instructor's marks; where an id comes twice, keep the last one that was worked on."""
    places: dict[str, list[int]] = {}
    for i, cell in enumerate(cells):
        if _id_of(cell) in wanted:
            places.setdefault(_id_of(cell), []).append(i)
    chosen = {}
    for name, found in places.items():
        stub = stub_of(wanted[name]).strip()
        worked = [i for i in found if cells[i].source.strip() != stub]
        chosen[name] = (worked or found)[-1]
        if len(found) > 1:
            messages.append(f"the cell {name} was there {len(found)} times; the last one with work in it counts")
    edited = []
    kept = []
    for i, cell in enumerate(cells):
        name = _id_of(cell)
        if name in chosen and chosen[name] == i:
            marks, right = cell.metadata["nbgrader"], wanted[name].metadata["nbgrader"]
            if any(marks.get(k) != right.get(k) for k in _MARKS if k != "schema_version") or cell.cell_type != wanted[name].cell_type:
                edited.append(name)
            cell = _as_wanted(cell.source, wanted[name], cell)
        elif name in chosen and name.endswith("-tests"):
            continue  # a second copy of a graded cell has nothing to run
        elif "nbgrader" in cell.metadata:
            del cell.metadata["nbgrader"]
        kept.append(cell)
    if edited:
        messages.append(f"the marks of {', '.join(edited)} had been edited and were put back")
    return kept


def _as_wanted(text: str, wanted: Any, old: Any = None) -> Any:
    metadata = dict(old.metadata) if old is not None else {}
    marks = {k: v for k, v in wanted.metadata["nbgrader"].items() if k in _MARKS}
    return _new_cell(wanted.cell_type, text, metadata | {"nbgrader": marks}, old.id if old is not None else None)


def _find_unmarked(cells: list[Any], wanted: dict[str, Any], messages: list[str]) -> None:
    """An answer whose mark was lost is known by what it defines."""
    present = {_id_of(c) for c in cells}
    for name, cell in wanted.items():
        marks = cell.metadata["nbgrader"]
        if name in present or marks.get("grade") or cell.cell_type != "code":
            continue
        names = defined_names(cell.source)
        if not names:
            continue
        found = [i for i, c in enumerate(cells) if c.cell_type == "code" and not _id_of(c) and names <= defined_names(c.source)]
        if found:
            cells[found[-1]] = _as_wanted(cells[found[-1]].source, cell, cells[found[-1]])
            messages.append(f"the cell {name} had lost its mark; it was found by what it defines")


def _add_missing(cells: list[Any], wanted: dict[str, Any], messages: list[str]) -> None:
    present = {_id_of(c) for c in cells}
    missing = [name for name in wanted if name not in present]
    for name in missing:
        cell = wanted[name]
        text = cell.source if cell.metadata["nbgrader"].get("grade") and not cell.metadata["nbgrader"].get("solution") else stub_of(cell)
        own = next((i for i, c in enumerate(cells) if _id_of(c) == name.removesuffix("-tests")), None)
        cells.insert(len(cells) if own is None else own + 1, _as_wanted(text, cell))
    if missing and cells and len(missing) < len(wanted):
        messages.append(f"these cells were missing and were added back: {', '.join(missing)}")


def _order(cells: list[Any], wanted: dict[str, Any], messages: list[str]) -> None:
    """Tests come after the answer that they test."""
    moved = []
    for name in [n for n in wanted if n.endswith("-tests")]:
        places = {_id_of(c): i for i, c in enumerate(cells)}
        own = places.get(name.removesuffix("-tests"))
        if own is not None and places[name] < own:
            cells.insert(own, cells.pop(places[name]))
            moved.append(name)
    if moved:
        messages.append(f"these cells stood before the answer that they grade and were moved after it: {', '.join(moved)}")


def _unique_ids(cells: list[Any]) -> None:
    seen: set[str] = set()
    for i, cell in enumerate(cells):
        if cell.id in seen:
            cell.id = f"{cell.id[:56]}-{i}"
        seen.add(cell.id)
