"""The search page of 1.8, and what 1.7's player is fed with: the hops of a learner's own search."""

import numpy as np
import pytest

from aieng.data.corpus import load_corpus
from aieng.figures.graphs import work_growth
from aieng.figures.theme import alt_text
from aieng.lesson.experiments.graphs import trace
from aieng.lesson.widgets.search import engine_explorer
from aieng.vectors.hnsw import HNSW
from aieng.vectors.search_engine import DocumentStore, FlatIndex, SearchEngine


@pytest.fixture
def engine():
    corpus = load_corpus()
    store = DocumentStore()
    store.insert(corpus.passages[:300])

    def embed(texts):
        return corpus.embeddings[[int(text.split()[-1]) for text in texts]]

    return SearchEngine(embed, FlatIndex(corpus.embeddings[:300]), store)


def controls(page):
    return page.children[1].children


def test_a_new_query_brings_new_answers_and_bars(engine):
    page = engine_explorer(engine, ["food", "clothing"], query="row 3")
    box, _, _, count = controls(page)
    assert page.text.startswith("5 answers to “row 3”") and load_corpus().passages[3].title in page.text
    box.value = "row 17"
    assert "row 17" in page.text and f"1. {load_corpus().passages[17].title}" in page.text
    count.value = 2
    assert page.text.startswith("2 answers")
    assert page.figures[0].data[0].x[0] == pytest.approx(1e3 * engine.timings["embed"])


def test_filters_reach_the_engine(engine):
    page = engine_explorer(engine, ["food", "clothing"], query="row 3")
    _, category, price, _ = controls(page)
    category.value = "food"
    price.value = 5.0
    assert "{'category': 'food', 'price': {'lte': 5.0}}" in page.text
    assert engine.search("row 3", 5, {"category": "food", "price": {"lte": 5}})[0].title in page.text


def test_an_error_and_an_empty_query_are_told_under_the_figure(engine):
    page = engine_explorer(engine, ["food"], query="row 3")
    controls(page)[0].value = "row zebra"
    assert "ValueError" in page.text
    controls(page)[0].value = "  "
    assert "empty" in page.text


def test_without_widgets_the_page_is_a_still_figure(engine, monkeypatch):
    monkeypatch.setenv("AIENG_WIDGETS", "off")
    assert "time per stage" in alt_text(engine_explorer(engine, ["food"], query="row 3"))


class Learners:
    """An index with the attributes of exercise 1.7 and a greedy search of one layer after the other."""

    def __init__(self, graph, vectors):
        self.vectors, self.levels = vectors, graph.levels.tolist()
        self.links = [[graph.neighbors(node, level).tolist() for level in range(top + 1)] for node, top in enumerate(self.levels)]
        self.entry_point, self.max_level = graph.entry_point, graph.max_level

    def search(self, queries, k, ef_search):
        node = self.entry_point
        for level in range(self.max_level, -1, -1):
            while True:
                near = min([node, *self.links[node][level]], key=lambda n: ((self.vectors[n] - queries[0]) ** 2).sum())
                if near == node:
                    break
                node = near


def test_the_hops_of_a_search_are_those_that_it_made():
    x = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    graph = HNSW(2, M=4, seed=2)
    graph.add(x)
    index, goal = Learners(graph, x), np.array([1.0, 1.0], np.float32)
    links = index.links
    hops = trace(index, goal, 1, 1)
    assert index.links is links, "the index is left as it was"
    assert hops[0].node == graph.entry_point and [h.level for h in hops] == sorted((h.level for h in hops), reverse=True)
    assert all(type(known) is list for known in index.links)
    for hop in hops:
        assert set(hop.looked_at) <= set(links[hop.node][hop.level])
    assert hops[-1].distance == min(h.distance for h in hops)
    assert trace(graph, goal, 1, 1) == graph.trace(goal, 1, 1)


def test_work_growth_says_what_it_shows():
    figure = work_growth([100, 200], {"a graph": [40.0, 50.0]})
    assert "a graph: 40 to 50; exact search: 100 to 200" in alt_text(figure)
    with pytest.raises(ValueError, match="2 numbers"):
        work_growth([100, 200], {"a graph": [40.0]})
