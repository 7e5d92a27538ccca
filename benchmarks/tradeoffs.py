"""Section 05: block-sparse attention beside dense, decoding with drafts beside plain decoding and transformers, block formats beside gguf.

Perplexities of all ways to round take half an hour and are measured by assets/measure_tradeoffs.py; their rows are read from its result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from aieng.generation.speculative import speculative_generate
from aieng.lesson.experiments.speculation import TASKS
from aieng.models.smollm2 import SmolLM2, smollm2
from aieng.quantization.gguf_blocks import decode_q4_1, encode_q4_1
from aieng.quantization.weight_only import int8_linear
from aieng.transformer.sparse_attention import block_sparse_attention
from benchmarks.harness import Row, compare, less_is_better, main

STORED = Path(__file__).resolve().parents[1] / "assets" / "tradeoffs.json"
NEW_TOKENS = 44


def sparse(tag: str) -> Iterator[Row]:
    q, k, v = (torch.randn(1, 4, 8192, 64, generator=torch.Generator().manual_seed(s)) for s in range(3))
    position = torch.arange(8192)
    distance = position[:, None] - position
    mask = (distance >= 0) & (distance <= 256)
    yield compare(f"attention in a window of 256, N=8192{tag}", "dense SDPA with the mask", lambda: block_sparse_attention(q, k, v, 256),
                  lambda: scaled_dot_product_attention(q, k, v, mask), work=8192, unit="tokens/s", target=3.0, repeats=3)


def blocks(tag: str) -> Iterator[Row]:
    x = (np.random.default_rng(0).standard_normal((50_000, 32)) * 0.05).astype(np.float32)
    weights, packed = torch.from_numpy(x), encode_q4_1(torch.from_numpy(x))
    kind = gguf.GGMLQuantizationType.Q4_1
    yield compare(f"Q4_1 decode{tag}", "gguf package", lambda: decode_q4_1(packed), lambda: gguf.dequantize(packed.numpy(), kind),
                  work=x.size,
                  unit="weights/s", target=None)
    theirs = gguf.dequantize(gguf.quantize(x, kind), kind)
    yield less_is_better(f"Q4_1 encode, mean squared error{tag}", "gguf package",
                         float((decode_q4_1(encode_q4_1(weights)) - weights).square().mean()),
                         float(((theirs - x) ** 2).mean()), "squared", target=1.0)


def drafts(lm: SmolLM2, tag: str) -> Iterator[Row]:
    from transformers import LlamaConfig, LlamaForCausalLM

    c = lm.config
    reference: Any = LlamaForCausalLM(LlamaConfig(
        hidden_size=c.hidden_size, intermediate_size=c.intermediate_size, num_hidden_layers=c.num_hidden_layers,
        num_attention_heads=c.num_attention_heads, num_key_value_heads=c.num_key_value_heads, vocab_size=c.vocab_size,
        rms_norm_eps=c.rms_norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": c.rope_theta}, max_position_embeddings=c.max_position_embeddings,
        tie_word_embeddings=True)).eval()
    reference.load_state_dict(dict(lm.model.weights), strict=False)
    for name, prompt in TASKS.items():
        ids = lm.chat_ids([{"role": "user", "content": prompt}])

        def ours(ids: list[int] = ids) -> list[int]:
            return speculative_generate(lm.model, ids, NEW_TOKENS, lm.model.new_cache(1, len(ids) + NEW_TOKENS + 12),
                                        num_draft_tokens=7).tokens

        def plain(ids: list[int] = ids) -> list[int]:
            return lm.generate(ids, NEW_TOKENS, stop_ids=()).new_ids

        def theirs(ids: list[int] = ids) -> list[int]:
            out = reference.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                                     max_new_tokens=NEW_TOKENS,
                                     min_new_tokens=NEW_TOKENS, do_sample=False, prompt_lookup_num_tokens=7, pad_token_id=0,
                                     eos_token_id=None)
            return list(out[0, len(ids):])

        if ours() != plain():
            raise AssertionError(f"drafts changed the tokens of the task {name!r}")
        target = (1.6, 1.0) if name == "copying" else (None, None)  # where nothing repeats, drafts are expected to lose
        yield compare(f"drafts from the prompt, {name}{tag}", "our plain decoding", ours, plain, work=NEW_TOKENS, unit="tokens/s",
                      target=target[0], repeats=3)
        yield compare(f"drafts from the prompt, {name}{tag}", "transformers, same drafts", ours, theirs, work=NEW_TOKENS, unit="tokens/s",
                      target=target[1],
                      repeats=3)


def weight_only(lm: SmolLM2, tag: str) -> Iterator[Row]:
    small, ids = lm.with_kernels(linear=int8_linear), lm.tokenizer.encode("The lighthouse keeper looked at the sea and")
    yield compare(f"decoding, INT8 weights{tag}", "float32", lambda: small.generate(ids, 24, stop_ids=()),
                  lambda: lm.generate(ids, 24, stop_ids=()), work=24,
                  unit="tokens/s", target=None, repeats=3)


def stored() -> Iterator[Row]:
    """What assets/measure_tradeoffs.py found."""
    found = json.loads(STORED.read_text(encoding="utf-8"))["perplexity"]
    pairs = [("INT8 per channel", "float32", 0.99), ("GPTQ 4 bits, group 64", "RTN 4 bits, group 64", 1.0),
             ("GPTQ 3 bits, group 64", "RTN 3 bits, group 64", 1.0), ("NF4, block 64", "INT4 absmax, block 64", 1.0)]
    for mine, other, target in pairs:
        yield less_is_better(f"perplexity, {mine} (stored)", other, found[mine]["perplexity"], found[other]["perplexity"], "perplexity",
                             target)
    yield less_is_better("size, INT8 per channel (stored)", "float32", found["INT8 per channel"]["bytes"] / 1e6,
                         found["float32"]["bytes"] / 1e6, "MB", 3.5)


def measure(threads: int) -> list[Row]:
    torch.set_num_threads(threads)
    tag, lm = f", {threads} thread{'s' * (threads > 1)}", smollm2()
    rows = [*sparse(tag), *blocks(tag), *drafts(lm, tag), *weight_only(lm, tag)]
    return rows if threads > 1 else [*rows, *stored()]


if __name__ == "__main__":
    main(measure, __doc__)
