# Norms by their definitions, gelu by the normal distribution, attention head by head.
from dataclasses import dataclass
from typing import Any

from aieng.transformer.attention import causal_mask, scaled_dot_product_attention
from aieng.transformer.positions import apply_rope


def layer_norm(x, weight, bias, eps=1e-5):
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(dim=-1, keepdim=True) + eps) * weight + bias


def rms_norm(x, weight, eps=1e-5):
    w = x.double()
    return (w / torch.sqrt((w * w).mean(dim=-1, keepdim=True) + eps) * weight.double()).to(x.dtype)


def gelu(x):
    return x * torch.distributions.Normal(0.0, 1.0).cdf(x)


def swiglu(x, gate, up, down):
    opening = gate(x)
    return down(up(x) * opening / (1 + torch.exp(-opening)))


@dataclass(frozen=True)
class EncoderBlock:
    attention: Any
    attention_norm: Any
    up: Any
    down: Any
    output_norm: Any

    def __call__(self, x, mask=None):
        x = self.attention_norm(x + self.attention(x, mask))
        inner = self.up(x)
        return self.output_norm(x + self.down(gelu(inner)))


@dataclass(frozen=True)
class CrossAttentionBlock:
    self_attention: Any
    self_attention_norm: Any
    cross_attention: Any
    cross_attention_norm: Any
    up: Any
    down: Any
    output_norm: Any

    def __call__(self, x, memory, mask=None, memory_mask=None):
        for sublayer, norm in ((lambda h: self.self_attention(h, mask), self.self_attention_norm),
                               (lambda h: self.cross_attention(h, memory_mask, memory), self.cross_attention_norm),
                               (lambda h: self.down(self.up(h).clamp(min=0)), self.output_norm)):
            x = norm(x + sublayer(x))
        return x


@dataclass(frozen=True)
class DecoderOnlyBlock:
    attention_norm: Any
    attention: Any
    feed_forward_norm: Any
    feed_forward: Any

    def __call__(self, x, **attention_arguments):
        x = x + self.attention(self.attention_norm(x), **attention_arguments)
        x = x + self.feed_forward(self.feed_forward_norm(x))
        return x


def llama_logits(ids, weights, config):
    d, share = config.head_dim, config.num_attention_heads // config.num_key_value_heads
    places = torch.arange(ids.size(1))
    x = weights["model.embed_tokens.weight"][ids]
    hidden = causal_mask(ids.size(1))
    for i in range(config.num_hidden_layers):
        def w(name, i=i):
            return weights[f"model.layers.{i}.{name}.weight"].T

        def attention(h, w=w):
            q, k, v = h @ w("self_attn.q_proj"), h @ w("self_attn.k_proj"), h @ w("self_attn.v_proj")
            parts = []
            for head in range(config.num_attention_heads):
                a, b = slice(head * d, head * d + d), slice(head // share * d, head // share * d + d)
                parts.append(scaled_dot_product_attention(apply_rope(q[..., a], places, config.rope_theta), apply_rope(k[..., b], places, config.rope_theta),
                                                          v[..., b], hidden.to(h.dtype)))
            return torch.cat(parts, dim=-1) @ w("self_attn.o_proj")

        x = DecoderOnlyBlock(lambda h, w=w: rms_norm(h, w("input_layernorm"), config.rms_norm_eps), attention,
                             lambda h, w=w: rms_norm(h, w("post_attention_layernorm"), config.rms_norm_eps),
                             lambda h, w=w: swiglu(h, lambda t: t @ w("mlp.gate_proj"), lambda t: t @ w("mlp.up_proj"), lambda t: t @ w("mlp.down_proj")))(x)
    x = rms_norm(x, weights["model.norm.weight"], config.rms_norm_eps)
    return x @ (weights["model.embed_tokens.weight"] if config.tie_word_embeddings else weights["lm_head.weight"]).T
