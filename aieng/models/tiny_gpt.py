"""A language model small enough to train in a notebook: 0.4 million weights, a vocabulary of 1,026, definitions for text.

The architecture is SmolLM2's (Llama), the text is the course's corpus of definitions, the vocabulary was learned from it by
`aieng.text.bpe_training`. The checkpoint that is shipped was trained by ``assets/make_tiny_gpt.py``.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from aieng.models.shipped import shipped
from aieng.text.bpe import BPETokenizer
from aieng.text.bpe_training import vocabulary_of
from aieng.transformer.llama import Kernels, Llama, LlamaConfig, init_weights

CHECKPOINT = Path(__file__).resolve().parents[2] / "assets" / "tiny_gpt.safetensors"
SPECIAL = ("<|im_start|>", "<|im_end|>")
CONFIG = LlamaConfig(vocab_size=1026, hidden_size=96, intermediate_size=256, num_hidden_layers=3, num_attention_heads=3,
                     num_key_value_heads=3, max_position_embeddings=256)


def fused_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """torch's own attention: the same numbers as `scaled_dot_product_attention`, and a fast backward pass."""
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


@dataclass(frozen=True)
class TinyGPT:
    """model : Llama; tokenizer : BPETokenizer; weights : name to Tensor, trainable."""

    model: Llama
    tokenizer: BPETokenizer
    weights: dict[str, Tensor]

    @property
    def end_id(self) -> int:
        """``<|im_end|>``, which ends an answer."""
        return self.tokenizer.special_tokens["<|im_end|>"]

    def copy(self, requires_grad: bool = True) -> TinyGPT:
        """The same model with weights of its own: train one, keep the other as the reference."""
        weights = {name: w.detach().clone().requires_grad_(requires_grad) for name, w in self.weights.items()}
        return tiny_gpt(self.tokenizer, weights)


def tiny_tokenizer(merges: list[tuple[bytes, bytes]]) -> BPETokenizer:
    """A tokenizer from learned merges, with the two special tokens of a chat at the end."""
    vocabulary = vocabulary_of(merges)
    return BPETokenizer(vocabulary, merges, {name: len(vocabulary) + i for i, name in enumerate(SPECIAL)})


def tiny_gpt(tokenizer: BPETokenizer, weights: dict[str, Tensor] | None = None, seed: int = 0, config: LlamaConfig = CONFIG) -> TinyGPT:
    """A model around these weights, or around fresh ones.

    Raises
    ------
    ValueError
        The tokenizer has another number of tokens than the model.
    """
    if tokenizer.vocab_size != config.vocab_size:
        raise ValueError(f"the tokenizer has {tokenizer.vocab_size} tokens, the model {config.vocab_size}")
    weights = init_weights(config, seed) if weights is None else weights
    return TinyGPT(Llama(config, weights, Kernels(attention=fused_attention)), tokenizer, weights)


def save_tiny_gpt(gpt: TinyGPT, path: Path = CHECKPOINT, **about: str) -> None:
    """Write weights (as float16) and merges into one file."""
    merges = json.dumps([[left.hex(), right.hex()] for left, right in gpt.tokenizer.merges])
    save_file({name: w.detach().half() for name, w in gpt.weights.items()}, path, metadata={"merges": merges, **about})


def load_tiny_gpt(path: Path = CHECKPOINT) -> TinyGPT:
    """The shipped model, trained on definitions; its weights are fresh copies that may be trained on.

    Raises
    ------
    FileNotFoundError
        The file is not beside the package.
    """
    with safe_open(shipped(path), "pt") as file:
        merges = [(bytes.fromhex(left), bytes.fromhex(right)) for left, right in json.loads(file.metadata()["merges"])]
        weights = {name: file.get_tensor(name).float().requires_grad_(True) for name in file.keys()}  # noqa: SIM118
    return tiny_gpt(tiny_tokenizer(merges), weights)


def split_texts(texts: list[str], held_out: float = 0.05, seed: int = 0) -> tuple[list[str], list[str]]:
    """Shuffle and cut off a share that training does not see: (training texts, held-out texts)."""
    shuffled = random.Random(seed).sample(texts, len(texts))
    cut = max(1, round(held_out * len(texts)))
    return shuffled[cut:], shuffled[:cut]


def as_ids(tokenizer: BPETokenizer, texts: list[str]) -> Tensor:
    """Texts as one run of tokens, one a line: (tokens,), int64."""
    return torch.tensor(tokenizer.encode("\n".join(texts) + "\n", parse_special=False))
