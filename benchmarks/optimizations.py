"""Section 04: paged memory, a paged decode step, SmolLM2 served two ways, FlashAttention and a mixture of experts beside their peers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from aieng.generation.batching import PagedEngine, Request, continuous_batching, static_batching
from aieng.generation.decoding import generate
from aieng.lesson.experiments.memory import peak_bytes
from aieng.lesson.experiments.paging import memory_utilisation
from aieng.lesson.experiments.serving import ragged_requests
from aieng.lesson.experiments.tiled_attention import naive_attention, random_qkv
from aieng.models.smollm2 import SmolLM2, smollm2
from aieng.transformer.attention import grouped_query_attention
from aieng.transformer.experts import MoELayer
from aieng.transformer.flash_attention import flash_attention, flash_attention_forward
from aieng.transformer.paged_attention import paged_attention
from aieng.transformer.paged_cache import BlockAllocator, BlockTable
from benchmarks.harness import Row, compare, less_is_better, main, more_is_better

PLACES = 4  # requests in a batch, for both ways of serving


def memory() -> Iterator[Row]:
    """The trace of exercise 4.1: 600 requests in a memory of 16,384 tokens."""
    data = memory_utilisation(BlockAllocator, BlockTable, requests=600).data["utilisation"]
    largest, exact, pages = data.values()
    yield more_is_better("memory that holds tokens, paged (share)", "strips of 2,048", pages, largest, "share")
    yield more_is_better("memory that holds tokens, paged (share)", "strips of exact length", pages, exact, "share")
    yield more_is_better("memory that holds tokens, paged (share)", "the issue's target", pages, 0.96, "share", target=1.0)


def decode_step(tag: str, batch: int = 16, tokens: int = 1024, block_size: int = 16) -> Iterator[Row]:
    """Attention of one step in SmolLM2's shapes; all sequences equally long, which suits the contiguous cache best."""
    generator = torch.Generator().manual_seed(0)
    k, v = (torch.randn(batch, 3, tokens, 64, generator=generator) for _ in range(2))
    q = torch.randn(batch, 9, 64, generator=generator)
    tables = torch.randperm(batch * tokens // block_size, generator=generator).view(batch, -1)
    keys, values = (torch.empty(tables.numel(), 3, block_size, 64) for _ in range(2))
    for i, row in enumerate(tables):
        keys[row], values[row] = (t[i].unflatten(1, (-1, block_size)).transpose(0, 1) for t in (k, v))
    lengths = torch.full((batch,), tokens)
    yield compare(f"decode step over blocks, {batch} x {tokens} tokens{tag}", "contiguous cache, ours",
                  lambda: paged_attention(q, keys, values, tables, lengths), lambda: grouped_query_attention(q[:, :, None], k, v),
                  work=batch, unit="tokens/s", target=1 / 1.3, repeats=151)


def fresh(requests: list[Request]) -> list[Request]:
    return [Request(r.prompt, r.max_new_tokens) for r in requests]


def serving(tag: str, lm: SmolLM2, repeats: int = 3) -> Iterator[Row]:
    """16 requests with answers of 2 to 64 tokens; each way is timed in turn."""
    asked = ragged_requests(lm)
    tokens = sum(r.max_new_tokens for r in asked)
    theirs = transformers_model(lm)
    answers: dict[str, list[list[int]]] = {}

    def continuous() -> None:
        requests = fresh(asked)
        continuous_batching(requests, PagedEngine(lm.model, 64), PLACES)
        answers["ours"] = [r.output for r in requests]

    def static() -> None:
        static_batching(lm.model, fresh(asked), PLACES)

    ways: dict[str, Callable[[], Any]] = {"ours": continuous, "our static": static, "theirs": lambda: padded_groups(theirs, asked)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    generate(lm.model, asked[0].prompt, 2)
    for _ in range(repeats):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - begin)
    rate = {name: tokens / statistics.median(taken) for name, taken in seconds.items()}
    for peer, name in (("static, padded, ours", "our static"), ("transformers, padded", "theirs")):
        yield more_is_better(f"serving 16 ragged requests{tag}", peer, rate["ours"], rate[name], "tokens/s", target=1.5)
    alone = [generate(lm.model, r.prompt, r.max_new_tokens) for r in asked]
    same = sum(a == b for a, b in zip(answers["ours"], alone))
    yield more_is_better(f"requests with the tokens they get alone{tag}", "all 16", same, len(asked), "requests", target=1.0)


def transformers_model(lm: SmolLM2) -> Any:
    """transformers' LlamaForCausalLM on the same weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    c = lm.config
    model = LlamaForCausalLM(LlamaConfig(
        hidden_size=c.hidden_size, intermediate_size=c.intermediate_size, num_hidden_layers=c.num_hidden_layers,
        num_attention_heads=c.num_attention_heads, num_key_value_heads=c.num_key_value_heads, vocab_size=c.vocab_size, head_dim=c.head_dim,
        rms_norm_eps=c.rms_norm_eps, max_position_embeddings=c.max_position_embeddings, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": c.rope_theta}, pad_token_id=0, bos_token_id=None, eos_token_id=None))
    model.load_state_dict({**lm.model.weights, "lm_head.weight": lm.model.weights["model.embed_tokens.weight"]})
    return model.eval()


def padded_groups(model: Any, requests: list[Request]) -> None:
    """transformers' generate on groups padded on the left, each until its longest answer is done."""
    for first in range(0, len(requests), PLACES):
        group = requests[first : first + PLACES]
        width = max(len(r.prompt) for r in group)
        ids = torch.tensor([[0] * (width - len(r.prompt)) + list(r.prompt) for r in group])
        mask = torch.tensor([[0] * (width - len(r.prompt)) + [1] * len(r.prompt) for r in group])
        longest = max(r.max_new_tokens for r in group)
        model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=longest, min_new_tokens=longest)


def flash(tag: str, tokens: int = 4096) -> Iterator[Row]:
    """Causal, 4 heads of 64, float32."""
    q, k, v = random_qkv(tokens)

    def ours() -> Tensor:
        return flash_attention_forward(q, k, v, causal=True)[0]

    what = f"FlashAttention forward, {tokens} tokens"
    yield compare(f"{what}{tag}", "naive", ours, lambda: naive_attention(q, k, v, True), work=tokens, unit="tokens/s", target=4.0)
    yield compare(f"{what}{tag}", "torch's fused kernel", ours, lambda: scaled_dot_product_attention(q, k, v, is_causal=True), work=tokens,
                  unit="tokens/s", target=0.5)
    whole = peak_bytes(lambda: naive_attention(q, k, v, True))
    yield less_is_better(f"{what}, peak memory{tag}", "naive", peak_bytes(ours) / 1e6, whole / 1e6, "MB", target=1 / 0.03)
    leaves = [t.requires_grad_() for t in random_qkv(1024)]
    grad = random_qkv(1024, seed=1)[0]

    def gradients(attend: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        return torch.autograd.grad(attend(*leaves, causal=True), leaves, grad)

    error = max(float((a - b).abs().max()) for a, b in zip(gradients(flash_attention), gradients(naive_attention)))
    yield less_is_better(f"FlashAttention gradients, largest error{tag}", "the issue's target", error, 1e-4, "absolute", target=1.0)
    yield less_is_better(f"FlashAttention forward and backward, peak memory, 1024 tokens{tag}", "autograd of naive",
                         peak_bytes(lambda: gradients(flash_attention)) / 1e6, peak_bytes(lambda: gradients(naive_attention)) / 1e6, "MB")


def mixture(tag: str, tokens: int = 1024, hidden: int = 512, intermediate: int = 1024) -> Iterator[Row]:
    """8 experts, top 2, the weights of one layer in both."""
    from transformers.models.mixtral.configuration_mixtral import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    generator = torch.Generator().manual_seed(0)
    router = torch.randn(8, hidden, generator=generator)
    gate, up = (torch.randn(8, intermediate, hidden, generator=generator) / hidden**0.5 for _ in range(2))
    down = torch.randn(8, hidden, intermediate, generator=generator) / intermediate**0.5
    ours = MoELayer(router, gate, up, down, 2)
    sizes = {"hidden_size": hidden, "intermediate_size": intermediate, "num_local_experts": 8, "num_experts_per_tok": 2}
    theirs = MixtralSparseMoeBlock(MixtralConfig(**sizes))
    with torch.no_grad():
        theirs.gate.weight.copy_(router)
        theirs.experts.gate_up_proj.copy_(torch.cat([gate, up], 1))
        theirs.experts.down_proj.copy_(down)
    x = torch.randn(1, tokens, hidden, generator=generator)
    with torch.inference_mode():
        result = theirs(x)
        error = float((ours(x) - (result[0] if isinstance(result, tuple) else result)).abs().max())
        yield less_is_better(f"MoE layer, largest difference{tag}", "the issue's target", error, 1e-5, "absolute", target=1.0)
        yield compare(f"MoE layer, 8 experts, top 2, {tokens} tokens{tag}", "transformers' Mixtral", lambda: ours(x), lambda: theirs(x),
                      work=tokens, unit="tokens/s", target=1.0, repeats=11)


def measure(threads: int) -> list[Row]:
    torch.set_num_threads(threads)
    tag = f" · {threads} thread{'s' if threads > 1 else ''}"
    rows = list(memory()) if threads == 1 else []
    return [*rows, *decode_step(tag), *serving(tag, smollm2()), *flash(tag), *mixture(tag)]


if __name__ == "__main__":
    main(measure, __doc__)
