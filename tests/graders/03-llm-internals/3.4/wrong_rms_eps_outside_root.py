# eps after the root.
from collections.abc import Callable
from dataclasses import dataclass

from aieng.transformer.attention import Linear, causal_mask, grouped_query_attention, merge_heads, split_heads
from aieng.transformer.positions import apply_rope as rope


def layer_norm(x, weight, bias, eps=1e-5):
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + eps) * weight + bias


def rms_norm(x, weight, eps=1e-5):
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return weight * (wide * (1 / (wide.square().mean(-1, keepdim=True).sqrt() + eps))).to(x.dtype)


def gelu(x):
    return 0.5 * x * (1.0 + torch.erf(x / math.sqrt(2.0)))


def swiglu(x, gate, up, down):
    g = gate(x)
    return down(g * torch.sigmoid(g) * up(x))


@dataclass(frozen=True)
class EncoderBlock:

    attention: Callable  # attention(x, mask)
    attention_norm: Callable
    up: Callable  # hidden to intermediate size; then gelu
    down: Callable
    output_norm: Callable

    def __call__(self, x, mask=None):
        x = self.attention_norm(x + self.attention(x, mask))
        return self.output_norm(x + self.down(gelu(self.up(x))))


@dataclass(frozen=True)
class CrossAttentionBlock:

    self_attention: Callable  # self_attention(x, mask)
    self_attention_norm: Callable
    cross_attention: Callable  # cross_attention(x, memory_mask, memory)
    cross_attention_norm: Callable
    up: Callable
    down: Callable
    output_norm: Callable

    def __call__(self, x, memory, mask=None, memory_mask=None):
        x = self.self_attention_norm(x + self.self_attention(x, mask))
        x = self.cross_attention_norm(x + self.cross_attention(x, memory_mask, memory))
        return self.output_norm(x + self.down(torch.relu(self.up(x))))


@dataclass(frozen=True)
class DecoderOnlyBlock:

    attention_norm: Callable
    attention: Callable  # attention(x, **attention_arguments)
    feed_forward_norm: Callable
    feed_forward: Callable

    def __call__(self, x, **attention_arguments):
        x = x + self.attention(self.attention_norm(x), **attention_arguments)
        return x + self.feed_forward(self.feed_forward_norm(x))


def llama_logits(ids, weights, config):
    positions = torch.arange(ids.shape[1])
    x = weights["model.embed_tokens.weight"][ids]  # (batch, tokens, hidden_size)
    mask = causal_mask(ids.shape[1], dtype=x.dtype)

    def block(layer):
        def linear(name):
            return Linear(weights[f"{layer}.{name}.weight"])

        def norm(name):
            return lambda h: rms_norm(h, weights[f"{layer}.{name}.weight"], config.rms_norm_eps)

        def attention(h):
            q = split_heads(linear("self_attn.q_proj")(h), config.num_attention_heads)
            k, v = (split_heads(linear(f"self_attn.{name}_proj")(h), config.num_key_value_heads) for name in "kv")
            q, k = (rope(part, positions, config.rope_theta) for part in (q, k))
            return linear("self_attn.o_proj")(merge_heads(grouped_query_attention(q, k, v, mask)))

        def feed_forward(h):
            return swiglu(h, linear("mlp.gate_proj"), linear("mlp.up_proj"), linear("mlp.down_proj"))

        return DecoderOnlyBlock(norm("input_layernorm"), attention, norm("post_attention_layernorm"), feed_forward)

    for i in range(config.num_hidden_layers):
        x = block(f"model.layers.{i}")(x)
    x = rms_norm(x, weights["model.norm.weight"], config.rms_norm_eps)
    return Linear(weights["model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"])(x)
