"""BERT's encoder, assembled from our blocks and a dictionary of tensors.

Source: Devlin et al. 2018, "BERT" (arXiv:1810.04805), section 3. Tensor names are those of transformers' BertModel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from aieng.transformer.attention import Linear, MultiHeadAttention, padding_mask
from aieng.transformer.blocks import EncoderBlock, LayerNorm


@dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT encoder; field names as in transformers' config.json."""

    vocab_size: int  # rows of the word embedding
    hidden_size: int  # features of a token
    intermediate_size: int  # features inside the feed-forward network
    num_hidden_layers: int
    num_attention_heads: int  # divides hidden_size
    max_position_embeddings: int  # longest input, in tokens
    layer_norm_eps: float = 1e-12

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> BertConfig:
        """Pick the known fields out of a parsed config.json; refuse what this encoder does not compute."""
        for name, computed in (("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
            if config.get(name, computed) != computed:
                raise ValueError(f"config has {name}={config[name]!r}; this encoder computes {computed!r} only")
        missing = [f.name for f in fields(cls) if f.name != "layer_norm_eps" and f.name not in config]
        if missing:
            raise ValueError(f"config lacks {', '.join(missing)}")
        return cls(**{f.name: config[f.name] for f in fields(cls) if f.name in config})


class BertEncoder:
    """Token ids in, one vector per token out.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        As saved from transformers' BertModel: ``embeddings.word_embeddings.weight`` and so on. Held, not copied.
    config : BertConfig

    Raises
    ------
    ValueError
        A tensor is missing, or the word embedding's shape is not (vocab_size, hidden_size).
    """

    def __init__(self, tensors: Mapping[str, Tensor], config: BertConfig) -> None:
        self.config = config

        def get(name: str) -> Tensor:
            if name not in tensors:
                raise ValueError(f"tensor {name!r} is missing; got {len(tensors)} tensors, is this a BertModel's file?")
            return tensors[name]

        def linear(name: str) -> Linear:
            return Linear(get(f"{name}.weight"), get(f"{name}.bias"))

        def norm(name: str) -> LayerNorm:
            return LayerNorm(get(f"{name}.weight"), get(f"{name}.bias"), config.layer_norm_eps)

        def block(name: str) -> EncoderBlock:
            return EncoderBlock(
                attention=MultiHeadAttention(
                    query=linear(f"{name}.attention.self.query"),
                    key=linear(f"{name}.attention.self.key"),
                    value=linear(f"{name}.attention.self.value"),
                    output=linear(f"{name}.attention.output.dense"),
                    num_heads=config.num_attention_heads,
                ),
                attention_norm=norm(f"{name}.attention.output.LayerNorm"),
                up=linear(f"{name}.intermediate.dense"),
                down=linear(f"{name}.output.dense"),
                output_norm=norm(f"{name}.output.LayerNorm"),
            )

        self.word_embeddings = get("embeddings.word_embeddings.weight")  # (vocab_size, hidden_size)
        self.position_embeddings = get("embeddings.position_embeddings.weight")  # (max_position_embeddings, hidden_size)
        self.token_type_embeddings = get("embeddings.token_type_embeddings.weight")  # (2, hidden_size)
        self.embedding_norm = norm("embeddings.LayerNorm")
        self.blocks = tuple(block(f"encoder.layer.{i}") for i in range(config.num_hidden_layers))
        expected = (config.vocab_size, config.hidden_size)
        if tuple(self.word_embeddings.shape) != expected:
            raise ValueError(f"word embedding has shape {tuple(self.word_embeddings.shape)}, the config says {expected}")

    def __call__(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Encode a batch of token ids.

        Parameters
        ----------
        input_ids : Tensor (batch, tokens), int64
            tokens <= max_position_embeddings.
        attention_mask : Tensor (batch, tokens), bool or integer, optional
            1 for a token, 0 for padding; without it nothing is padding.

        Returns
        -------
        Tensor (batch, tokens, hidden_size)
            The last layer's output. Values at padding positions mean nothing.

        Raises
        ------
        ValueError
            Wrong number of axes, or more tokens than there are position embeddings.
        """
        if input_ids.ndim != 2:
            raise ValueError(f"input_ids has shape {tuple(input_ids.shape)}; expected (batch, tokens)")
        tokens = input_ids.shape[1]
        if tokens > self.config.max_position_embeddings:
            raise ValueError(f"{tokens} tokens, but positions end at {self.config.max_position_embeddings}: truncate")
        # One segment per input: every token is of type 0.
        x = self.word_embeddings[input_ids] + self.position_embeddings[:tokens] + self.token_type_embeddings[0]
        x = self.embedding_norm(x)  # (batch, tokens, hidden_size)
        mask = None if attention_mask is None else padding_mask(attention_mask, x.dtype)
        for block in self.blocks:
            x = block(x, mask)
        return x


def mean_pool(token_vectors: Tensor, attention_mask: Tensor) -> Tensor:
    """Average the token vectors of each text, padding left out.

    Parameters
    ----------
    token_vectors : Tensor (batch, tokens, hidden_size)
    attention_mask : Tensor (batch, tokens), bool or integer

    Returns
    -------
    Tensor (batch, hidden_size)
        Zeros for a text without a single token.

    References
    ----------
    Reimers, Gurevych 2019, "Sentence-BERT" (arXiv:1908.10084), section 3.
    """
    weights = attention_mask.to(token_vectors.dtype)[:, :, None]  # (batch, tokens, 1)
    return (token_vectors * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def unit_rows(x: Tensor) -> Tensor:
    """Divide each row of (n, dim) by its Euclidean length; a zero row stays zero."""
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=1e-12)
