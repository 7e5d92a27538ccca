"""Section 03's experiments and widgets on models small enough to wait for: what they compute, what they say, what they show."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from aieng.figures.theme import CourseFigure
from aieng.lesson.experiments import attention, beside, kv_cache, positions, rope, transformer_blocks
from aieng.lesson.widgets.internals import attention_explorer, cache_explorer, heads_of, rope_explorer
from aieng.models.smollm2 import SmolLM2
from aieng.transformer.assembly import llama_logits
from aieng.transformer.attention import scaled_dot_product_attention, softmax
from aieng.transformer.blocks import EncoderBlock
from aieng.transformer.kv_cache import KVCache
from aieng.transformer.llama import Llama, LlamaConfig, init_weights
from aieng.transformer.positions import apply_rope, embed_tokens, sinusoidal_positions

CONFIG = LlamaConfig(hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
                     vocab_size=128, max_position_embeddings=4096)


def letters():
    """Stands in for a tokenizer: a letter is a token."""
    def stream():
        return lambda token: chr(token)

    return SimpleNamespace(encode=lambda text: [min(ord(c), 127) for c in text], decode=lambda ids: "".join(map(chr, ids)), stream=stream)


@pytest.fixture(scope="module")
def tiny() -> SmolLM2:
    model = Llama(CONFIG, init_weights(CONFIG, seed=1, std=0.4, requires_grad=False))
    return SmolLM2(model, letters(), "", 2)


def test_positions_of_minilm():
    found = positions.same_words(embed_tokens, (("dog bites man", "man bites dog"),)).data
    assert found["difference_without"] < 1e-5 and 0.5 < found["lowest_with"] < 0.99 and found["rows"] == 512
    blind = positions.same_words(lambda ids, words, table: words[ids], (("dog bites man", "man bites dog"),)).data
    assert blind["lowest_with"] > 0.9999  # whoever adds no positions sees it here
    near = positions.neighbours_alike(sinusoidal_positions, n=80).data
    assert near["computed"][1] > near["computed"][8] > near["computed"][64] and near["learned"][1] > 0.5 > near["learned"][64]


def test_rope_in_a_model(tiny):
    found = rope.in_the_model(apply_rope, tiny, "abcdefgh", new_tokens=2).data
    assert found["reference"] == 0 and found["shifted"] < 1e-2 < found["interleaved"]


def test_decay_begins_near_one_and_a_larger_base_keeps_more():
    found = rope.decay(apply_rope).data
    at = found["distances"].index(min(found["distances"], key=lambda d: abs(d - 100)))
    assert found["left"][100.0][at] < found["left"][10_000.0][at] < found["left"][100_000.0][at] < found["left"][100_000.0][0] < 1


def test_a_hole_inside_the_context_is_plain_rope_for_all(tiny, monkeypatch):
    monkeypatch.setattr(rope, "STORY", ("abcabcabc", "abcabc"))
    found = rope.hole(apply_rope, tiny, holes=(0, 100, 9000)).data
    assert found["perplexity"]["interpolated"][:2] == found["perplexity"]["plain"][:2] and found["widest"] == 9000
    assert found["interpolated"] != found["plain"] != found["ntk"]


def test_the_root_keeps_the_spread():
    found = attention.why_the_root(softmax, widths=(16, 256)).data
    assert found["spread_scaled"] == pytest.approx(1, abs=0.1) and found["spread_plain"] == pytest.approx(16, abs=1)
    assert found["keys_plain"] < 3 < 30 < found["keys_scaled"]


def test_wrong_attention_shows_and_right_does_not(tiny):
    found = attention.right_and_wrong(scaled_dot_product_attention, tiny, "hello there", new_tokens=2).data
    assert found["yours"] == 0 and min(found["wrong"].values()) > 0.05 and len(found["wrong"]) == 4


def test_beside_names_its_variants(tiny):
    found = beside.beside(tiny, {"no rope": {"rope": kv_cache.unmoved}}, "abc", 2)
    assert [v.name for v in found] == ["the course's engine", "no rope"] and found[0].difference == 0 < found[1].difference
    assert beside.quoted("a|b `c`\nd") == "`a¦b 'c' d`" and beside.quoted(" ") == "(nothing)"


def test_assembled_and_minilm_rebuilt(tiny):
    assert transformer_blocks.assembled(llama_logits, tiny, "abcdef", top=2).data["difference"] < 1e-4
    found = transformer_blocks.minilm_rebuilt(EncoderBlock).data
    assert found["difference"] < 1e-6 and found["similar"] > 0.3 > found["unrelated"]


def test_costs_are_counted(tiny):
    found = transformer_blocks.costs_by_part(tiny, tokens=10).data
    assert found["parameters"] == sum(w.numel() for w in tiny.model.weights.values()) and found["attentions"] == 1 and found["cross"] == 0
    c = CONFIG
    assert found["operations"]["scores and weighted sums"] == 2 * 2 * c.num_hidden_layers * c.num_attention_heads * 10 * 10 * c.head_dim
    assert found["operations"]["feed-forward"] == 2 * 10 * c.num_hidden_layers * 3 * c.hidden_size * c.intermediate_size
    assert found["operations"]["output layer (the embedding again)"] == 2 * 10 * c.vocab_size * c.hidden_size


def test_cache_times_and_bytes(tiny):
    found = kv_cache.time_per_token(KVCache, tiny, lengths=(4, 16)).data
    assert found["read_long"] == 17 * kv_cache.cache_bytes(2, 2, 4, 4) and found["cached"] > 0 and found["longest"] == 16
    bytes_found = kv_cache.bytes_by_formula(KVCache, tiny, sizes=((2, 10),))
    assert bytes_found.data["measured"] == bytes_found.data["formula"] == [2 * 10 * 2 * 2 * 2 * 4 * 4] and "| yes |" in bytes_found.sentence


def test_rope_explorer_follows_its_sliders():
    explorer = rope_explorer(apply_rope, head_dim=16, theta=100.0, pairs=(0, 1), query=10, distance=2)
    place, apart = explorer.children[1].children
    before = explorer.text.split("ahead")[1]
    place.value = 50
    assert "Query at position 50, key at 48" in explorer.text and explorer.text.split("ahead")[1] == before  # the angles stay
    apart.value = 0
    assert "q · k is 8.00" in explorer.text


def test_attention_explorer_runs_the_learners_softmax(tiny):
    tokens, layers = heads_of(tiny, "abcde")
    assert tokens == list("abcde") and len(layers) == 2 and layers[0][0].shape == (6, 5, 4)
    explorer = attention_explorer(softmax, tiny, "abcde", layer=1, head=2, query=3)
    assert "In layer 1, head 2, token 3" in explorer.text
    depth, which, pick = explorer.children[1].children
    pick.value, which.value, depth.value = 0, 5, 0
    assert "'a' (token 0) 100%" in explorer.text
    assert "10%" in attention_explorer(lambda scores: torch.full_like(scores, 0.1), tiny, "abcde", layer=0).text


def test_cache_explorer_walks_through_the_steps(tiny):
    explorer = cache_explorer(KVCache, tiny, "abcd", new_tokens=3)
    _, step = explorer.children[1].children
    step.value = 0
    assert "holds 4 of 7 tokens, the whole prompt has just arrived" in explorer.text
    step.value = step.max
    assert "holds 7 of 7" in explorer.text and "without a cache it would be 22" in explorer.text


def test_stills_without_widgets(tiny, monkeypatch):
    monkeypatch.setenv("AIENG_WIDGETS", "off")
    for still in (rope_explorer(apply_rope), attention_explorer(softmax, tiny, "abc", layer=0), cache_explorer(KVCache, tiny, "abc")):
        assert isinstance(still, CourseFigure)
