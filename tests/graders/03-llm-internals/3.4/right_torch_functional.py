# torch's own parts where there are some; a plain loop over the layers.
import torch.nn.functional as F
from dataclasses import dataclass
from typing import Any

from aieng.transformer.positions import apply_rope


def layer_norm(x, weight, bias, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def rms_norm(x, weight, eps=1e-5):
    return F.rms_norm(x.float() if x.dtype in (torch.float16, torch.bfloat16) else x, x.shape[-1:], None, eps).to(x.dtype) * weight


def gelu(x):
    return F.gelu(x)


def swiglu(x, gate, up, down):
    return down(F.silu(gate(x)) * up(x))


@dataclass
class EncoderBlock:
    attention: Any
    attention_norm: Any
    up: Any
    down: Any
    output_norm: Any

    def __call__(self, x, mask=None):
        h = self.attention_norm(self.attention(x, mask) + x)
        return self.output_norm(self.down(F.gelu(self.up(h))) + h)


@dataclass
class CrossAttentionBlock:
    self_attention: Any
    self_attention_norm: Any
    cross_attention: Any
    cross_attention_norm: Any
    up: Any
    down: Any
    output_norm: Any

    def __call__(self, x, memory, mask=None, memory_mask=None):
        h = self.self_attention_norm(self.self_attention(x, mask) + x)
        g = self.cross_attention_norm(self.cross_attention(h, memory_mask, memory) + h)
        return self.output_norm(self.down(F.relu(self.up(g))) + g)


@dataclass
class DecoderOnlyBlock:
    attention_norm: Any
    attention: Any
    feed_forward_norm: Any
    feed_forward: Any

    def __call__(self, x, **attention_arguments):
        h = x + self.attention(self.attention_norm(x), **attention_arguments)
        return h + self.feed_forward(self.feed_forward_norm(h))


def llama_logits(ids, weights, config):
    batch, tokens = ids.shape
    h = F.embedding(ids, weights["model.embed_tokens.weight"])
    positions = torch.arange(tokens)
    for i in range(config.num_hidden_layers):
        w = {key.split(".", 3)[3]: value for key, value in weights.items() if key.startswith(f"model.layers.{i}.")}
        x = rms_norm(h, w["input_layernorm.weight"], config.rms_norm_eps)
        q, k, v = (F.linear(x, w[f"self_attn.{n}_proj.weight"]).view(batch, tokens, -1, config.head_dim).transpose(1, 2) for n in "qkv")
        q, k = apply_rope(q, positions, config.rope_theta), apply_rope(k, positions, config.rope_theta)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True).transpose(1, 2).reshape(batch, tokens, -1)
        h = h + F.linear(y, w["self_attn.o_proj.weight"])
        x = rms_norm(h, w["post_attention_layernorm.weight"], config.rms_norm_eps)
        h = h + F.linear(F.silu(F.linear(x, w["mlp.gate_proj.weight"])) * F.linear(x, w["mlp.up_proj.weight"]), w["mlp.down_proj.weight"])
    h = rms_norm(h, weights["model.norm.weight"], config.rms_norm_eps)
    return F.linear(h, weights["model.embed_tokens.weight"] if config.tie_word_embeddings else weights["lm_head.weight"])
