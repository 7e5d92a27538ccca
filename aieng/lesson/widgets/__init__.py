"""Interactive pictures for the notebooks: keyboard-usable, with a text alternative that follows what they show."""

from aieng.lesson.widgets.vectors import codebook_explorer, corpus_explorer, hnsw_player, ivf_explorer

__all__ = ["codebook_explorer", "corpus_explorer", "hnsw_player", "ivf_explorer"]
