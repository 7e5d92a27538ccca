"""3.1 measured: what position vectors look like, and what an encoder sees without them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from aieng.figures.internals import position_heat_map, similarity_maps
from aieng.lesson.finding import Finding, experiment
from aieng.models.minilm import MiniLM, load_minilm
from aieng.transformer.encoder import mean_pool, unit_rows

SAME_WORDS = (("dog bites man", "man bites dog"), ("the cat chased the mouse", "the mouse chased the cat"),
              ("she only told him that she loved him", "she told him that only she loved him"))


@experiment
def heat_map(sinusoidal_positions: Any, *, n: int = 100, dim: int = 64) -> Finding:
    """The table as colours.

    The numbers: `periods` (positions in a full turn of the first and of the last clock).
    """
    table = sinusoidal_positions(n, dim)
    first, last = 2 * np.pi, 2 * np.pi * 10000 ** ((dim - 2) / dim)
    return Finding(f"The first clock is round after {first:.1f} positions, the last one after {last:,.0f}. Together they give each of the "
                   f"{n} positions a row of its own.", position_heat_map(table), {"periods": (first, last)})


@experiment
def neighbours_alike(sinusoidal_positions: Any, *, n: int = 160) -> Finding:
    """Cosines between positions: the computed table, and the one that MiniLM learned.

    The numbers: `computed` and `learned`, {distance: mean cosine}.
    """
    learned = load_minilm(progress=False).encoder.position_embeddings[:n]
    tables = {"computed": torch.as_tensor(sinusoidal_positions(n, learned.shape[1])), "learned (MiniLM)": learned - learned.mean(0)}
    cosines = {name: _cosines(table) for name, table in tables.items()}
    by_distance = {name: {d: float(np.diagonal(c, d).mean()) for d in (1, 8, 64)} for name, c in cosines.items()}
    computed, found = by_distance["computed"], by_distance["learned (MiniLM)"]
    return Finding(
        f"Computed: {computed[1]:.2f} for neighbours, {computed[8]:.2f} at a distance of 8, {computed[64]:.2f} at 64, the same along the "
        f"whole diagonal. Learned: {found[1]:.2f}, {found[8]:.2f}, {found[64]:.2f} (their common mean taken away). Training found by "
        "itself that near positions should look alike.", similarity_maps(cosines), {"computed": computed, "learned": found})


@experiment
def same_words(embed_tokens: Any, pairs: tuple[tuple[str, str], ...] = SAME_WORDS) -> Finding:
    """MiniLM on sentences made of the same words, with its positions and with none.

    The numbers: `with_positions` (one cosine a pair), `lowest_with`, `difference_without` (largest difference of any number of the two
    vectors), `rows` (of MiniLM's table).
    """
    minilm = load_minilm(progress=False)
    table = minilm.encoder.position_embeddings
    rows, cosines, differences = [], [], []
    for a, b in pairs:
        with_positions = [_embed(minilm, embed_tokens, text, table) for text in (a, b)]
        without = [_embed(minilm, embed_tokens, text, torch.zeros_like(table)) for text in (a, b)]
        cosines.append(float(with_positions[0] @ with_positions[1]))
        differences.append(float((without[0] - without[1]).abs().max()))
        rows.append(f"| {a} | {b} | {cosines[-1]:.3f} | {float(without[0] @ without[1]):.6f} | {differences[-1]:.1g} |")
    return Finding(
        "| | | cosine with positions | cosine without | largest difference without |\n|---|---|---|---|---|\n" + "\n".join(rows) +
        f"\n\nWithout positions the two vectors of each pair are the same up to rounding ({max(differences):.1g}). With positions they "
        f"differ, though not by much (lowest cosine {min(cosines):.2f}): words count for more than their order.",
        None, {"with_positions": cosines, "lowest_with": min(cosines), "difference_without": max(differences), "rows": len(table)})


@torch.inference_mode()
def _embed(minilm: MiniLM, embed_tokens: Any, text: str, table: Tensor) -> Tensor:
    """A unit vector (dim,) of one text, the encoder's input made by `embed_tokens`."""
    encoder = minilm.encoder
    ids = torch.tensor(minilm.tokenize([text]))
    x = encoder.embedding_norm(embed_tokens(ids, encoder.word_embeddings, table) + encoder.token_type_embeddings[0])
    for block in encoder.blocks:
        x = block(x)
    return unit_rows(mean_pool(x, torch.ones_like(ids)))[0]


def _cosines(table: Tensor) -> np.ndarray:
    rows = unit_rows(table.float())
    return np.asarray(rows @ rows.T)
