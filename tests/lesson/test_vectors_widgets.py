"""The interactive pictures of section 01: each control changes the picture and the words, and works without a mouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import ipywidgets as widgets
import numpy as np
import pytest

from aieng.data.projection import pca_2d
from aieng.figures.theme import CourseFigure, alt_text
from aieng.lesson.finding import Skipped
from aieng.lesson.widgets import codebook_explorer, corpus_explorer, hnsw_player, ivf_explorer
from aieng.lesson.widgets.explorer import Explorer

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(30, 8)).astype(np.float32)
CORPUS = SimpleNamespace(
    embeddings=VECTORS,
    passages=[SimpleNamespace(title=f"Title {i}", text=f"Title {i}: text <b>{i}</b>", category=("food", "animal")[i % 2], price=None)
              for i in range(30)])
POINTS = RNG.normal(size=(60, 2)).astype(np.float32)
CENTRES = POINTS[:5]
LEVELS = np.where(np.arange(60) % 20 == 0, 1, 0)
HOPS = [(1, 0, [20, 40], 4.0), (1, 20, [0], 2.5), (0, 20, [21, 22], 2.5), (0, 22, [23], 1.25)]


def embed(texts: list[str]) -> np.ndarray:
    """The number in the sentence is the row; "zebra" is no number, which makes an error like a learner's."""
    return VECTORS[[int(text.split()[-1]) for text in texts]]


def search(query: Any, corpus: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    scores = np.asarray(corpus) @ np.asarray(query)
    ids = np.argsort(-scores)[:k]
    return scores[ids], ids


def assign(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return ((points[:, None] - centroids) ** 2).sum(-1).argmin(1)


class Quantizer:
    """Stands for a trained product quantizer: its codebooks are pieces of the first rows."""

    def __init__(self, m: int, ksub: int = 6) -> None:
        self.codebooks = VECTORS[:ksub].reshape(ksub, m, -1).transpose(1, 0, 2)

    def encode(self, x: np.ndarray) -> np.ndarray:
        pieces = x.reshape(len(x), len(self.codebooks), 1, -1)
        return ((pieces - self.codebooks) ** 2).sum(-1).argmin(-1).astype(np.uint8)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return np.concatenate([book[codes[:, m]] for m, book in enumerate(self.codebooks)], axis=1)


def neighbors(node: int, level: int) -> list[int]:
    step = 20 if level else 1
    return [(node + step) % 60]


EXPLORERS: dict[str, Callable[[], Any]] = {
    "corpus": lambda: corpus_explorer(CORPUS, pca_2d(VECTORS), embed, search, query="row 3", k=4),
    "codebook": lambda: codebook_explorer({2: Quantizer(2), 4: Quantizer(4)}, VECTORS),
    "ivf": lambda: ivf_explorer(POINTS, CENTRES, assign),
    "hnsw": lambda: hnsw_player(HOPS, POINTS, LEVELS, [0.1, 0.2], neighbors=neighbors),
}


def controls(explorer: Explorer) -> Iterator[Any]:
    kinds = (widgets.IntSlider, widgets.FloatSlider, widgets.SelectionSlider, widgets.Text, widgets.Button, widgets.Play)
    stack: list[Any] = [explorer]
    while stack:
        widget = stack.pop(0)
        if isinstance(widget, kinds):
            yield widget
        stack += getattr(widget, "children", ())


def control(explorer: Explorer, start: str) -> Any:
    return next(c for c in controls(explorer) if getattr(c, "description", "").startswith(start))


def drawn(explorer: Explorer) -> str:
    return "".join(figure.to_json() for figure in explorer.figures)


@pytest.mark.parametrize("name", EXPLORERS)
def test_begins_with_a_titled_picture_and_its_description(name):
    explorer = EXPLORERS[name]()
    assert isinstance(explorer, Explorer)
    assert all(figure.layout.title.text for figure in explorer.figures)
    assert all(alt_text(figure) for figure in explorer.figures)
    assert len(explorer.text) > 40 and 'aria-live="polite"' in explorer.status.value


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_control_has_a_name_and_takes_the_keyboard(name):
    found = list(controls(EXPLORERS[name]()))
    assert len(found) >= 3
    for widget in found:
        assert widget.tooltip, widget
        assert isinstance(widget, widgets.Play) or widget.description, widget
        assert not getattr(widget, "disabled", False) and widget.tabbable is not False
    # Icons alone say nothing to those who do not see them: the page's own script names what ipywidgets leaves nameless.
    assert "aria-label" in EXPLORERS[name]().children[2]._esm


@pytest.mark.parametrize("name", EXPLORERS)
def test_is_words_where_no_widget_is_drawn(name):
    bundle = EXPLORERS[name]()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"].startswith("[Interactive figure] ") and len(bundle["text/plain"]) > 80


@pytest.mark.parametrize("name", EXPLORERS)
def test_is_a_still_figure_where_widgets_are_off_and_skipped_while_grading(name, monkeypatch):
    monkeypatch.setenv("AIENG_WIDGETS", "off")
    still = EXPLORERS[name]()
    assert type(still) is CourseFigure and alt_text(still)
    for mode in ("autograde", "validate"):
        monkeypatch.setenv("NBGRADER_EXECUTION", mode)
        skipped = EXPLORERS[name]()
        assert isinstance(skipped, Skipped) and "while grading" in skipped.sentence


MOVES = [
    ("corpus", "k, how many", 7, "The 7 passages"), ("corpus", "Your query", "row 11", "Title 11"),
    ("codebook", "M, pieces", 4, "M = 4 in 4 bytes"), ("codebook", "vector number", 9, "error"),
    ("codebook", "subspace", 1, "subspace 1"),
    ("ivf", "nprobe", 3, "probes 3"), ("ivf", "query, first", 0.9, "compares"), ("ivf", "query, second", -0.9, "compares"),
    ("hnsw", "hop", 3, "Hop 3 of 4, number 1 on layer 0: node 20"),
]


@pytest.mark.parametrize(("name", "label", "value", "said"), MOVES)
def test_a_control_changes_the_picture_and_the_words(name, label, value, said):
    explorer = EXPLORERS[name]()
    before, words = drawn(explorer), explorer.text
    control(explorer, label).value = value
    assert drawn(explorer) != before
    assert said in explorer.text and (explorer.text != words or name == "ivf")
    assert "Error" not in explorer.text


@pytest.mark.parametrize(("name", "label", "value", "said"), MOVES)
def test_going_back_shows_the_first_picture_again(name, label, value, said):
    explorer = EXPLORERS[name]()
    widget, words = control(explorer, label), explorer.text
    before, first = [[trace.to_plotly_json() for trace in f.data] for f in explorer.figures], widget.value
    widget.value = value
    widget.value = first
    assert explorer.text == words
    for figure, traces in zip(explorer.figures, before):
        for trace, old in zip(figure.data, traces):
            np.testing.assert_array_equal(np.asarray(trace.x, float), np.asarray(old.get("x"), float))


def test_the_marks_of_the_map_are_the_learners_answers_best_first():
    explorer = EXPLORERS["corpus"]()
    control(explorer, "Your query").value = "row 20"
    _, ids = search(VECTORS[20], VECTORS, 4)
    marks, star = explorer.figures[0].data[-2:]
    np.testing.assert_allclose(np.column_stack([marks.x, marks.y]), pca_2d(VECTORS).xy[ids], rtol=1e-5)
    np.testing.assert_allclose([star.x[0], star.y[0]], pca_2d(VECTORS).xy[20], rtol=1e-4)
    assert explorer.status.value.index(f"Title {ids[0]}<") < explorer.status.value.index(f"Title {ids[1]}<")
    assert "&lt;b&gt;" in explorer.status.value, "a passage's markup is text"


def test_the_search_button_searches():
    explorer = EXPLORERS["corpus"]()
    explorer.say("nothing yet")
    control(explorer, "Search").click()
    assert "The 4 passages nearest to “row 3”" in explorer.text


def test_an_empty_query_is_asked_for():
    explorer = EXPLORERS["corpus"]()
    control(explorer, "Your query").value = "  "
    assert "type a sentence" in explorer.text


def test_an_error_of_the_learners_code_is_shown_and_the_next_query_works():
    explorer = EXPLORERS["corpus"]()
    control(explorer, "Your query").value = "a zebra"
    assert explorer.text.startswith("ValueError: ") and "zebra" in explorer.status.value
    control(explorer, "Your query").value = "row 2"
    assert "Title 2 " in explorer.text


def test_the_subspace_stays_inside_the_quantizer():
    explorer = codebook_explorer({2: Quantizer(2), 4: Quantizer(4)}, VECTORS)
    control(explorer, "M, pieces").value = 4
    control(explorer, "subspace").value = 3
    control(explorer, "M, pieces").value = 2
    assert control(explorer, "subspace").value == 1 == control(explorer, "subspace").max
    assert "M = 2 in 2 bytes" in explorer.text and "subspace 1" in explorer.text


def test_quantizers_with_codebooks_of_different_lengths_share_the_picture():
    explorer = codebook_explorer({2: Quantizer(2, ksub=12), 4: Quantizer(4, ksub=3)}, VECTORS)
    control(explorer, "M, pieces").value = 4
    assert "M = 4" in explorer.text and "3 small bar charts" in explorer.text


def test_more_cells_find_what_one_cell_missed():
    points = np.array([[0.0, 0.0], [0.9, 0.0], [1.1, 0.0], [4.0, 0.0]], dtype=np.float32)
    explorer = ivf_explorer(points, points[[0, 3]], lambda *_: np.array([0, 0, 1, 1]), query=(1.05, 0.0))
    assert "it is missed" in explorer.text
    control(explorer, "nprobe").value = 2
    assert "is found" in explorer.text and "100% of all" in explorer.text


def test_the_walk_steps_on_and_back_and_stops_at_its_ends():
    explorer = EXPLORERS["hnsw"]()
    hop, back, forth = (control(explorer, start) for start in ("hop", "Step back", "Step on"))
    back.click()
    assert hop.value == 1 and "Hop 1 of 4" in explorer.text
    for _ in range(6):
        forth.click()
    assert hop.value == 4 and "Hop 4 of 4" in explorer.text and "hop 4 of 4" in explorer.figures[0].layout.title.text
    back.click()
    assert "Hop 3 of 4" in explorer.text
    player = next(c for c in controls(explorer) if isinstance(c, widgets.Play))
    assert (player.min, player.max) == (hop.min, hop.max) == (1, 4)


def test_the_links_are_drawn_once_each():
    explorer = EXPLORERS["hnsw"]()
    upper, lower = [t for t in explorer.figures[0].data if t.name == "link" and t.showlegend is False]
    assert (len(upper.x), len(lower.x)) == (3 * 3, 3 * 60)


def test_what_stays_the_same_is_not_sent_again(monkeypatch):
    explorer = EXPLORERS["hnsw"]()
    sent: list[str] = []
    update = type(explorer.figures[0].data[0]).update

    def spy(trace, *args, **kwargs):
        if any(trace is one for one in explorer.figures[0].data):
            sent.append(trace.name)
        return update(trace, *args, **kwargs)

    monkeypatch.setattr(type(explorer.figures[0].data[0]), "update", spy)
    control(explorer, "hop").value = 2
    assert "way so far" in sent and not {"link", "node", "query"} & set(sent)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: codebook_explorer({}, VECTORS), "empty"),
    (lambda: codebook_explorer({2: Quantizer(2)}, VECTORS[0]), r"\(8,\)"),
    (lambda: hnsw_player([], POINTS, LEVELS, [0, 0]), "hops is empty"),
    (lambda: ivf_explorer(POINTS, VECTORS, lambda *_: np.zeros(60)), r"\(30, 8\)"),
    (lambda: ivf_explorer(POINTS, CENTRES, assign, nprobe=6), "nprobe is 6"),
])
def test_bad_input_is_refused_at_once(call, message):
    with pytest.raises(ValueError, match=message):
        call()
