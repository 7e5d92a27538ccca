"""A whole decoder-only Transformer as one function: what `aieng.transformer.llama` does, without a cache and without exchangeable parts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from aieng.transformer.attention import Linear, causal_mask, grouped_query_attention, merge_heads, split_heads
from aieng.transformer.blocks import DecoderOnlyBlock, RMSNorm, SwiGLU
from aieng.transformer.llama import LlamaConfig
from aieng.transformer.positions import apply_rope


def llama_logits(ids: Tensor, weights: Mapping[str, Tensor], config: LlamaConfig) -> Tensor:
    """Scores of the token that follows each of the given ones.

    Parameters
    ----------
    ids : Tensor (batch, tokens), int64
    weights : mapping of str to Tensor
        Named as in transformers' LlamaForCausalLM.
    config : LlamaConfig

    Returns
    -------
    Tensor (batch, tokens, vocab_size)

    References
    ----------
    Touvron et al. 2023, "LLaMA" (arXiv:2302.13971), section 2.2.
    """
    positions = torch.arange(ids.shape[1])
    x = weights["model.embed_tokens.weight"][ids]  # (batch, tokens, hidden_size)
    mask = causal_mask(ids.shape[1], dtype=x.dtype)

    def block(layer: str) -> DecoderOnlyBlock:
        def linear(name: str) -> Linear:
            return Linear(weights[f"{layer}.{name}.weight"])

        def norm(name: str) -> RMSNorm:
            return RMSNorm(weights[f"{layer}.{name}.weight"], config.rms_norm_eps)

        def attention(h: Tensor) -> Tensor:
            q = split_heads(linear("self_attn.q_proj")(h), config.num_attention_heads)
            k, v = (split_heads(linear(f"self_attn.{name}_proj")(h), config.num_key_value_heads) for name in "kv")
            q, k = (apply_rope(part, positions, config.rope_theta) for part in (q, k))
            return linear("self_attn.o_proj")(merge_heads(grouped_query_attention(q, k, v, mask)))

        feed_forward = SwiGLU(linear("mlp.gate_proj"), linear("mlp.up_proj"), linear("mlp.down_proj"))
        return DecoderOnlyBlock(norm("input_layernorm"), attention, norm("post_attention_layernorm"), feed_forward)

    for i in range(config.num_hidden_layers):
        x = block(f"model.layers.{i}")(x)
    x = RMSNorm(weights["model.norm.weight"], config.rms_norm_eps)(x)
    output = "model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"
    return Linear(weights[output])(x)
