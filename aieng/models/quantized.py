"""SmolLM2 with its weights rounded by any function: to nearest, or by GPTQ, block after block."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from tqdm.auto import tqdm

from aieng.models.smollm2 import SmolLM2
from aieng.transformer.attention import causal_mask
from aieng.transformer.llama import Llama, LlamaConfig

EMBEDDING = "model.embed_tokens.weight"
_PARTS = ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down")


def projection_names(config: LlamaConfig, layers: Sequence[int] | None = None) -> list[str]:
    """Names of the weight matrices of these blocks (default: all), seven a block: q, k, v, o, gate, up, down."""
    chosen = range(config.num_hidden_layers) if layers is None else layers
    return [f"model.layers.{i}.{part}_proj.weight" for i in chosen for part in _PARTS]


def with_weights(lm: SmolLM2, changed: Mapping[str, Tensor]) -> SmolLM2:
    """The same model with some of its weights exchanged; the others are shared."""
    model = Llama(lm.config, dict(lm.model.weights) | dict(changed), lm.model.kernels)
    return SmolLM2(model, lm.tokenizer, lm.chat_template, lm.stop_id)


@torch.inference_mode()
def rounded(lm: SmolLM2, change: Callable[[Tensor], Tensor], layers: Sequence[int] | None = None, embedding: bool = False) -> SmolLM2:
    """The model whose matrices went through `change`, a function of one weight (out, in) that gives one of the same shape.

    Parameters
    ----------
    lm : SmolLM2
    change : callable
    layers : block numbers; default all
    embedding : bool
        Change the embedding, which is the output layer too, as well.
    """
    names = projection_names(lm.config, layers) + ([EMBEDDING] if embedding else [])
    return with_weights(lm, {name: change(lm.model.weights[name]).to(lm.model.dtype) for name in names})


class _Recorder:
    """A linear layer that can sum up the second moments of its inputs, and whose weights can be exchanged."""

    def __init__(self, *weights: Tensor) -> None:
        self.weights: tuple[Tensor, ...] = weights
        self.recording = False
        self.moments: Tensor | None = None
        self.rows = 0

    def __call__(self, x: Tensor) -> Tensor:
        if self.recording:
            flat = x.reshape(-1, x.shape[-1])
            self.moments = flat.mT @ flat if self.moments is None else self.moments + flat.mT @ flat
            self.rows += len(flat)
        return torch.cat([x @ weight.mT for weight in self.weights], dim=-1)

    @property
    def hessian(self) -> Tensor:
        """2/n XᵀX of the inputs seen."""
        assert self.moments is not None
        return 2.0 / self.rows * self.moments


@torch.inference_mode()
def hessians(lm: SmolLM2, ids: Tensor, layer: int) -> dict[str, Tensor]:
    """Second moments of the inputs of one block's seven matrices, 2/n XᵀX, by weight name.

    Parameters
    ----------
    lm : SmolLM2
    ids : Tensor (sequences, tokens), int64
        Calibration text.
    layer : int
    """
    model, recorders = _recording(lm)
    x = functional.embedding(ids, model.embedding)
    for i in range(layer):
        x = _run(model, i, x)
    return _block_hessians(model, recorders, layer, x)


@torch.inference_mode()
def gptq_rounded(lm: SmolLM2, ids: Tensor, change: Callable[[Tensor, Tensor], Tensor], *, progress: bool = True) -> SmolLM2:
    """The model whose matrices were rounded one block after the other, each calibrated on what the rounded blocks before it give out.

    Parameters
    ----------
    lm : SmolLM2
    ids : Tensor (sequences, tokens), int64
        Calibration text.
    change : callable
        ``change(weight (out, in), hessian (in, in))`` gives the rounded weight.
    progress : bool
        Show a progress bar.
    """
    model, recorders = _recording(lm)
    changed: dict[str, Tensor] = {}
    x = functional.embedding(ids, model.embedding)
    for i in tqdm(range(lm.config.num_hidden_layers), desc="GPTQ", unit="block", disable=not progress):
        found = _block_hessians(model, recorders, i, x)
        new = {name: change(lm.model.weights[name], found[name]) for name in projection_names(lm.config, [i])}
        changed |= new
        for recorder, names in zip(recorders[5 * i : 5 * i + 5], _shared(i)):
            recorder.weights = tuple(new[name] for name in names)
        x = _run(model, i, x)
    return with_weights(lm, changed)


def _recording(lm: SmolLM2) -> tuple[Llama, list[_Recorder]]:
    """The model on recording layers, five a block: (q, k, v), o, gate, up, down; the last one is the output layer's."""
    made: list[_Recorder] = []

    def linear(*weights: Tensor) -> _Recorder:
        made.append(_Recorder(*weights))
        return made[-1]

    return Llama(lm.config, lm.model.weights, dataclasses.replace(lm.model.kernels, linear=linear)), made


def _shared(layer: int) -> list[list[str]]:
    """Names of the weights behind each recorder of a block."""
    q, k, v, o, gate, up, down = (f"model.layers.{layer}.{part}_proj.weight" for part in _PARTS)
    return [[q, k, v], [o], [gate], [up], [down]]


def _block_hessians(model: Llama, recorders: list[_Recorder], layer: int, x: Tensor) -> dict[str, Tensor]:
    mine = recorders[5 * layer : 5 * layer + 5]
    watched = [r for i, r in enumerate(mine) if i != 3]  # up sees what gate sees
    for r in watched:
        r.recording = True
    _run(model, layer, x)
    found = {name: (mine[2] if i == 3 else mine[i]).hessian for i, names in enumerate(_shared(layer)) for name in names}
    for r in watched:
        r.recording, r.moments, r.rows = False, None, 0
    return found


def _run(model: Llama, layer: int, x: Tensor) -> Tensor:
    """One block on x (sequences, tokens, hidden_size), some sequences at a time."""
    tokens = x.shape[1]
    arguments = {"positions": torch.arange(tokens), "mask": causal_mask(tokens), "cache": None, "on_attention": None, "head_mask": None}
    return torch.cat([model.blocks[layer](part, **arguments) for part in x.split(4)])
