"""A Llama in a GGUF file: sizes, tensors, tokenizer and chat template, in the names and layouts that the course uses.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; read with the `gguf` package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from aieng.text.bpe import BPETokenizer
from aieng.transformer.llama import LlamaConfig

SPECIAL = 3  # token_type "control"
_NAMES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


@dataclass(frozen=True)
class TokenizerData:
    """What a byte-level BPE tokenizer is made of, as strings (bytes written in GPT-2's printable alphabet), fit for JSON."""

    tokens: list[str]  # by id
    merges: list[str]  # "left right"
    special_ids: list[int]
    stop_id: int
    chat_template: str

    def build(self) -> BPETokenizer:
        # latin-1 writes the characters U+0000 to U+00FF as the bytes of the same number.
        letters = {ord(letter): byte for byte, letter in enumerate(byte_letters())}
        special = set(self.special_ids)
        as_bytes = {token: token.translate(letters).encode("latin-1") for i, token in enumerate(self.tokens) if i not in special}
        vocabulary = {as_bytes[token]: i for i, token in enumerate(self.tokens) if i not in special}
        pairs = (merge.split(" ") for merge in self.merges)
        merges = [(as_bytes[left], as_bytes[right]) for left, right in pairs]
        return BPETokenizer(vocabulary, merges, {self.tokens[i]: i for i in self.special_ids})


@dataclass(frozen=True)
class Packed:
    """A tensor as the file holds it: rows of quantized blocks. kind : gguf.GGMLQuantizationType; blocks : (rows, bytes), uint8 or float."""

    kind: gguf.GGMLQuantizationType
    blocks: NDArray[Any]

    def dequantize(self) -> NDArray[np.float32]:
        return np.array(gguf.dequantize(self.blocks, self.kind), dtype=np.float32)


class LlamaFile:
    """An opened GGUF file of a Llama with a byte-level BPE tokenizer.

    Attributes
    ----------
    config : LlamaConfig

    Raises
    ------
    ValueError
        The file is no GGUF file, is cut off, holds another architecture or tokenizer, or lacks a field.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._reader = gguf.GGUFReader(path)
            self._check_extent()
        except FileNotFoundError:
            raise
        except Exception as error:  # the reader has no error of its own: a cut or foreign file ends in whatever fails first
            raise ValueError(f"{path} is no complete GGUF file ({type(error).__name__}: {error}); fetch it again") from error
        architecture = self._field("general.architecture")
        if architecture != "llama":
            raise ValueError(f"{path} holds a model of architecture {architecture!r}; this reader knows 'llama'")
        self.config = self._config()

    def _check_extent(self) -> None:
        """numpy cuts a memory map short without a word where the file ends early."""
        for tensor in self._reader.tensors:
            if tensor.data.nbytes != tensor.n_bytes:
                raise ValueError(f"tensor {tensor.name} has {tensor.data.nbytes:,} of {tensor.n_bytes:,} bytes")

    def _field(self, name: str) -> Any:
        field = self._reader.get_field(name)
        if field is None:
            raise ValueError(f"{self.path} lacks the field {name!r}")
        return field.contents()

    def _config(self) -> LlamaConfig:
        heads, hidden = self._field("llama.attention.head_count"), self._field("llama.embedding_length")
        return LlamaConfig(
            hidden_size=hidden, intermediate_size=self._field("llama.feed_forward_length"),
            num_hidden_layers=self._field("llama.block_count"), num_attention_heads=heads,
            num_key_value_heads=self._field("llama.attention.head_count_kv"), head_dim=self._field("llama.rope.dimension_count"),
            vocab_size=len(self._field("tokenizer.ggml.tokens")), rope_theta=self._field("llama.rope.freq_base"),
            rms_norm_eps=round(self._field("llama.attention.layer_norm_rms_epsilon"), 12),  # stored in float32
            max_position_embeddings=self._field("llama.context_length"),
            tie_word_embeddings=all(tensor.name != "output.weight" for tensor in self._reader.tensors),
        )

    def tokenizer(self) -> TokenizerData:
        """The tokenizer's parts. ValueError for another kind than GPT-2's with SmolLM's pre-tokenizer."""
        model, pre = self._field("tokenizer.ggml.model"), self._field("tokenizer.ggml.pre")
        if (model, pre) != ("gpt2", "smollm"):
            raise ValueError(f"{self.path} has tokenizer {model!r} with pre-tokenizer {pre!r}; this reader knows 'gpt2' with 'smollm'")
        types = self._field("tokenizer.ggml.token_type")
        return TokenizerData(
            tokens=self._field("tokenizer.ggml.tokens"), merges=self._field("tokenizer.ggml.merges"),
            special_ids=[i for i, kind in enumerate(types) if kind == SPECIAL], stop_id=self._field("tokenizer.ggml.eos_token_id"),
            chat_template=self._field("tokenizer.chat_template"),
        )

    def tensors(self) -> Iterator[tuple[str, Packed]]:
        """Every tensor under its name in transformers' LlamaForCausalLM, queries and keys in the half-split layout of RoPE.

        A GGUF file orders the rows of q and k so that features 2i and 2i + 1 of a head make a pair; here i and i + head_dim/2 do. Rows are
        whole quantized blocks, so that they can be put in order as they are.
        """
        for tensor in self._reader.tensors:
            kind, blocks = tensor.tensor_type, tensor.data
            stem = tensor.name.removesuffix(".weight")
            if stem in _WHOLE:
                yield f"{_WHOLE[stem]}.weight", Packed(kind, blocks)
                continue
            _, _, rest = stem.partition("blk.")
            layer, _, part = rest.partition(".")
            if part not in _NAMES:
                raise ValueError(f"{self.path} has a tensor {tensor.name!r} that a Llama has not")
            if part in ("attn_q", "attn_k"):
                blocks = blocks.reshape(-1, self.config.head_dim // 2, 2, blocks.shape[1]).swapaxes(1, 2).reshape(blocks.shape)
            yield f"model.layers.{layer}.{_NAMES[part]}.weight", Packed(kind, blocks)


def byte_letters() -> list[str]:
    """GPT-2's printable letter for each byte: itself where it prints, one of the letters from U+0100 on where it does not."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
