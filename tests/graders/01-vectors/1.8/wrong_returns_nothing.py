import time
from dataclasses import replace

from aieng.vectors.search_engine import SearchResult


class SearchEngine:
    """Query text in, ranked rows out.

    Parameters
    ----------
    embed : callable, list of n str -> (n, dim) float32
    index : has search(queries (1, dim), k) -> (scores (1, k), ids (1, k)), best first; id -1 where it found fewer
    store : has fetch(ids, filters) -> list of dict (id, title, text, category, price, extra) in the order of ids, without those that
        do not meet the filters; and count() -> number of rows
    rerank : None, or callable (query, list of SearchResult) -> one float each, larger is better

    Attributes
    ----------
    timings : dict of seconds of the last search: "embed", "ann", "fetch", "rerank" (0.0 for a stage that did not run)
    """

    def __init__(self, embed, index, store, rerank=None):
        self.embed, self.index, self.store, self.rerank = embed, index, store, rerank
        self.timings = dict.fromkeys(("embed", "ann", "fetch", "rerank"), 0.0)

    def search(self, query, k=5, filters=None, candidates=50):
        """The k best rows for a query, as a list of SearchResult.

        Parameters
        ----------
        query : str, not empty
        k : int >= 1; fewer results come back only where fewer rows meet the filters
        filters : None or dict such as {"category": "food", "price": {"lte": 30}}
        candidates : ids to ask the index for at first (at least k). While fewer than k rows survive the filters, ask for twice as many,
            until the index was asked for all `store.count()` of them. All survivors go to the reranker; the cut to k comes last.

        Returns
        -------
        results : list of SearchResult(id, score, title, text, category, price, extra), best first; score is the reranker's where
            there is one, otherwise the index's

        Raises
        ------
        ValueError: an empty query, k < 1.
        """
        return []
