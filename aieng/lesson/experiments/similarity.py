"""1.1 measured: sentence pairs, searching by words against searching by meaning, and how well neighbours agree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from aieng.data.corpus import Corpus
from aieng.figures.vectors import similarity_bars
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.minilm import MiniLM

SAME_MEANING, UNRELATED, SAME_WORDS = "same meaning, other words", "unrelated", "same words, other meaning"
PAIRS: tuple[tuple[str, str, str], ...] = (
    (SAME_MEANING, "The cat slept on the sofa.", "A kitten was napping on the couch."),
    (SAME_MEANING, "How do I reset my password?", "I forgot my login and cannot get in."),
    (SAME_MEANING, "A man is playing a guitar.", "Someone makes music on a string instrument."),
    (UNRELATED, "The cat slept on the sofa.", "Interest rates rose again in March."),
    (UNRELATED, "How do I reset my password?", "Penguins cannot fly."),
    (UNRELATED, "A man is playing a guitar.", "The soup needs more salt."),
    (SAME_WORDS, "The river bank was muddy.", "The bank raised its interest rates."),
    (SAME_WORDS, "This film is good.", "This film is not good."),
    (SAME_WORDS, "The dog bit the man.", "The man bit the dog."),
)
# Cosines that sentence-transformers prints in its documentation (Quickstart, all-MiniLM-L6-v2).
PUBLISHED = (("The weather is lovely today.", "It's so sunny outside!", 0.6660),
             ("The weather is lovely today.", "He drove to the stadium.", 0.1046),
             ("It's so sunny outside!", "He drove to the stadium.", 0.1411))


@experiment
def sentence_pairs(cosine_similarity: Any, encoder: MiniLM, pairs: Sequence[tuple[str, str, str]] = PAIRS) -> Finding:
    """Cosines of sentence pairs of three kinds.

    The numbers: `lowest_similar`, `highest_unrelated`, `traps` {second sentence: cosine}, and `published_error`, the largest difference
    from three cosines that sentence-transformers publishes for this model.
    """
    kinds, first, second = ([pair[i] for pair in pairs] for i in range(3))
    scores = np.asarray(cosine_similarity(encoder.encode(first), encoder.encode(second)), dtype=float)
    by_kind = {kind: scores[[k == kind for k in kinds]] for kind in dict.fromkeys(kinds)}
    left, right = encoder.encode([pair[0] for pair in PUBLISHED]), encoder.encode([pair[1] for pair in PUBLISHED])
    known = np.asarray(cosine_similarity(left, right), dtype=float)
    error = float(np.abs(known - [p[2] for p in PUBLISHED]).max())
    traps = {text: float(score) for kind, text, score in zip(kinds, second, scores) if kind == SAME_WORDS}
    worst = max(traps, key=lambda text: traps[text])
    sentence = (
        f"Pairs that mean the same get {by_kind[SAME_MEANING].min():.2f} or more, unrelated ones {by_kind[UNRELATED].max():.2f} or less: "
        f"a threshold between them is easy to find. Look at the third group, though. Its highest cosine, {traps[worst]:.2f}, belongs to "
        f"“{worst}” and its mirror image: the encoder measures what a text is *about*, and is nearly blind to word order and to *not*. "
        f"{whose(cosine_similarity).capitalize()} cosines of three pairs differ from those that the authors of the encoder publish by at "
        f"most {error:.0e}."
    )
    return Finding(sentence, similarity_bars([(a, b) for _, a, b in pairs], scores, groups=kinds), {
        "lowest_similar": float(by_kind[SAME_MEANING].min()), "highest_unrelated": float(by_kind[UNRELATED].max()), "traps": traps,
        "published_error": error})


@experiment
def words_or_meaning(semantic_search: Any, corpus: Corpus, encoder: MiniLM, queries: Sequence[str], k: int = 3) -> Finding:
    """Passages that contain every word of a query, beside those nearest in meaning.

    The numbers: `exact` {query: titles with all words} and `near` {query: titles nearest, best first}.
    """
    rows = ["| query | passages with all its words | nearest in meaning |", "|---|---|---|"]
    exact, near = {}, {}
    texts = [set(_words(text)) for text in corpus.texts]
    for query, vector in zip(queries, encoder.encode(list(queries))):
        exact[query] = [p.title for p, words in zip(corpus.passages, texts) if set(_words(query)) <= words]
        scores, ids = semantic_search(vector, corpus.embeddings, k)
        near[query] = [corpus.passages[int(i)].title for i in ids]
        listed = " · ".join(f"**{title}** {float(score):.2f}" for title, score in zip(near[query], scores))
        rows.append(f"| {query} | {', '.join(exact[query][:3]) or 'none'} | {listed} |")
    found = sum(bool(titles) for titles in exact.values())
    rows.append(f"\n{found} of {len(queries)} queries have a passage with all their words. The search by meaning always answers, also when "
                "nothing fits: only the score says how good an answer is.")
    return Finding("\n".join(rows), data={"exact": exact, "near": near})


@experiment
def neighbours_agree(semantic_search: Any, corpus: Corpus, n_queries: int | None = None, seed: int = 0) -> Finding:
    """How often the passage nearest to another one has the same category: `share`, and by chance `chance`."""
    n_queries = n_queries or (40 if quick() else 150)
    rows = np.random.default_rng(seed).choice(len(corpus), n_queries, replace=False)
    categories = np.array([p.category for p in corpus.passages])
    nearest = [next(int(i) for i in semantic_search(corpus.embeddings[row], corpus.embeddings, 2)[1] if i != row) for row in rows]
    share = float((categories[nearest] == categories[rows]).mean())
    chance = float(sum((count / len(corpus)) ** 2 for count in corpus.categories.values()))
    return Finding(
        f"Of {n_queries:,} passages, {share:.0%} have a nearest neighbour of their own category; by chance it would be {chance:.0%}. The "
        "encoder never saw the categories: neighbourhood in the space carries meaning.", data={"share": share, "chance": chance})


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())
