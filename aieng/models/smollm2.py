"""SmolLM2-135M-Instruct on our own kernels: text in, text out.

A Llama of 30 layers, 576 features, 9 query and 3 key-value heads of 64, vocabulary 49,152, context 8,192 (Allal et al. 2025, "SmolLM2",
arXiv:2502.02737). Its weights come from a GGUF file with 4-bit blocks; every number computed here starts from those.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from aieng.generation.decoding import Sampler, generate, greedy
from aieng.models.compiled_llama import CompiledLlama, PackedLayers
from aieng.models.converted import Converted, load_converted, open_converted
from aieng.models.gguf_file import LlamaFile, TokenizerData
from aieng.models.weights import cache_directory, ensure, read_manifest
from aieng.text.bpe import BPETokenizer
from aieng.text.chat_template import Message, render_chat
from aieng.transformer.llama import Llama, LlamaConfig, weight_shapes

DTYPES = ("float32", "bfloat16", "int8")
VERSION = "1"  # of the converted form: change it with the form


@dataclass(frozen=True)
class Generation:
    """prompt_ids, new_ids : list of int; text : str, of the new tokens."""

    prompt_ids: list[int]
    new_ids: list[int]
    text: str


class SmolLM2:
    """The language model with its tokenizer.

    Parameters
    ----------
    model : Llama
    tokenizer : BPETokenizer
    chat_template : str
    stop_id : int
        Ends an answer: 2, ``<|im_end|>``.
    """

    def __init__(self, model: Llama, tokenizer: BPETokenizer, chat_template: str, stop_id: int) -> None:
        self.model, self.tokenizer, self.chat_template, self.stop_id = model, tokenizer, chat_template, stop_id

    @property
    def config(self) -> LlamaConfig:
        return self.model.config

    def with_kernels(self, **kernels: Any) -> SmolLM2:
        """The same weights on other kernels: ``lm.with_kernels(rope=my_apply_rope)``; see `Kernels` for the names."""
        exchanged = dataclasses.replace(self.model.kernels, **kernels)
        return SmolLM2(self.model.with_kernels(exchanged), self.tokenizer, self.chat_template, self.stop_id)

    def generate(
        self, prompt: str | Sequence[int], max_new_tokens: int = 64, sampler: Sampler = greedy, *,
        on_text: Callable[[str], object] | None = None, stop_ids: Sequence[int] | None = None, cache: Any = None, progress: bool = False,
    ) -> Generation:
        """Continue a text (or its token ids) as it stands, without a chat's frame.

        `on_text` is called with each new bit of text at once: ``partial(print, end="", flush=True)``. `stop_ids` defaults to the model's
        own. For the rest see `aieng.generation.decoding.generate`.
        """
        ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
        as_text = self.tokenizer.stream()

        def on_token(token: int) -> None:
            text = as_text(token)
            if on_text is not None and text:
                on_text(text)

        stop = (self.stop_id, 0) if stop_ids is None else stop_ids  # 0 is <|endoftext|>, which ends a text without a chat's frame
        new = generate(self.model, ids, max_new_tokens, sampler, stop, cache, on_token, progress=progress)
        return Generation(ids, new, self.tokenizer.decode(new))

    def chat(
        self, message: str, max_new_tokens: int = 128, sampler: Sampler = greedy, *, history: Sequence[Message] = (),
        system: str | None = None, on_text: Callable[[str], object] | None = None, progress: bool = False,
    ) -> str:
        """Answer a message.

        `history` holds earlier turns, ``{"role": "user" | "assistant", "content": …}``; `system` replaces the model's own instruction.
        """
        start: list[Message] = [] if system is None else [{"role": "system", "content": system}]
        ids = self.chat_ids([*start, *history, {"role": "user", "content": message}])
        return self.generate(ids, max_new_tokens, sampler, on_text=on_text, progress=progress).text

    def chat_ids(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> list[int]:
        """Token ids of a conversation in the model's chat template."""
        return self.tokenizer.encode(render_chat(self.chat_template, messages, add_generation_prompt))

    @torch.inference_mode()
    def logits(self, text: str | Sequence[int]) -> Tensor:
        """Scores (tokens, vocab_size) of the token after each token of a text or of ids."""
        ids = self.tokenizer.encode(text) if isinstance(text, str) else list(text)
        return self.model(torch.tensor([ids], dtype=torch.int64))[0]

    @torch.inference_mode()
    def perplexity(self, text: str | Sequence[int], window: int = 512) -> float:
        """exp of the mean negative log-likelihood (natural logarithm) of each token but the first of each window of `window` tokens.

        Raises
        ------
        ValueError
            Fewer than two tokens, or a window below 2.
        """
        ids = self.tokenizer.encode(text) if isinstance(text, str) else list(text)
        if len(ids) < 2 or window < 2:
            raise ValueError(f"{len(ids)} tokens, window {window}: perplexity needs two at least, one to predict from and one to predict")
        total, count = 0.0, 0
        for start in range(0, len(ids) - 1, window):
            part = torch.tensor(ids[start : start + window])
            if len(part) < 2:
                continue
            scores = self.logits(part.tolist())[:-1].float()
            total += float(functional.cross_entropy(scores, part[1:], reduction="sum"))
            count += len(part) - 1
        return math.exp(total / count)


def smollm2(dtype: str = "float32", progress: bool = True, **kernels: Any) -> SmolLM2:
    """Load the model; the weights are fetched the first time, converted once, memory-mapped after, and held for the process's life.

    Parameters
    ----------
    dtype : {"float32", "bfloat16", "int8"}
        Of the weights. int8 decodes in one compiled step per token (`aieng.models.compiled_llama`), the fastest.
    progress : bool
        Show a progress bar while fetching.
    **kernels
        Parts to exchange, by the names of `aieng.transformer.llama.Kernels`: ``smollm2(rope=my_apply_rope)``.

    Raises
    ------
    ValueError
        Unknown dtype.
    ModelUnavailableError
        The file is not here and cannot be fetched; see `aieng.models.weights`.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; choose one of {', '.join(DTYPES)}")
    [(name, path)] = ensure("smollm2", progress=progress).items()
    lm = _loaded(dtype, name, path)
    return lm.with_kernels(**kernels) if kernels else lm


@lru_cache(maxsize=4)
def _loaded(dtype: str, name: str, path: Path) -> SmolLM2:
    digests = {file.name: file.sha256 for file in read_manifest()["smollm2"].files}
    return smollm2_from_gguf(path, dtype, digests[name])


def smollm2_from_gguf(path: Path, dtype: str = "float32", sha256: str | None = None) -> SmolLM2:
    """Build the model from a GGUF file; `sha256` is the file's, where it is known already. ValueError for a foreign or incomplete file."""
    if sha256 is None:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    form = "int8" if dtype == "int8" else "float32"
    name, key = f"{sha256[:16]}.{form}.safetensors", f"{VERSION} {form} {sha256}"
    found = _beside(path, name, key) or load_converted(cache_directory() / "converted" / name, key, partial(_CONVERTERS[form], path))
    config = LlamaConfig(**json.loads(found.about["config"]))
    model: Llama
    if form == "int8":
        model = CompiledLlama(config, PackedLayers.from_tensors(found.tensors))
    else:
        model = Llama(config, _apart({n: weight.to(getattr(torch, dtype)) for n, weight in found.tensors.items()}, config))
    data = TokenizerData(**json.loads(found.about["tokenizer"]))
    return SmolLM2(model, data.build(), data.chat_template, data.stop_id)


def _beside(path: Path, name: str, key: str) -> Converted | None:
    """The converted file that came with the model's files (AIENG_MODELS_DIR: a classroom, a sandbox), which is only read."""
    return open_converted(path.parent.parent / "converted" / name, key)


def _to_float32(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Every weight as float32, with q, k and v of a layer in one tensor, so that one product computes all three."""
    file = LlamaFile(path)
    tensors = {name: torch.from_numpy(packed.dequantize()) for name, packed in file.tensors()}
    missing = sorted(weight_shapes(file.config).keys() - tensors.keys())
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} tensors of a Llama, such as {missing[0]}")
    for i in range(file.config.num_hidden_layers):
        parts = [tensors.pop(name) for name in _qkv_names(i)]
        tensors[f"model.layers.{i}.self_attn.qkv_proj.weight"] = torch.cat(parts)
    about = {"config": json.dumps(dataclasses.asdict(file.config)), "tokenizer": json.dumps(dataclasses.asdict(file.tokenizer()))}
    return tensors, about


def _to_int8(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors, about = _to_float32(path)
    config = LlamaConfig(**json.loads(about["config"]))
    return PackedLayers.pack(_apart(tensors, config), config).to_tensors(), about


_CONVERTERS = {"float32": _to_float32, "int8": _to_int8}


def _apart(tensors: dict[str, Tensor], config: LlamaConfig) -> dict[str, Tensor]:
    """Views of q, k and v under their own names."""
    q, kv = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    for i in range(config.num_hidden_layers):
        whole = tensors.pop(f"model.layers.{i}.self_attn.qkv_proj.weight")
        tensors |= dict(zip(_qkv_names(i), whole.split([q, kv, kv])))
    return tensors


def _qkv_names(layer: int) -> list[str]:
    return [f"model.layers.{layer}.self_attn.{part}_proj.weight" for part in "qkv"]


@dataclass(frozen=True)
class Comparison:
    """A model on exchanged kernels beside the reference."""

    prompt: str
    max_difference: float  # largest absolute difference of two logits on the prompt
    same_top: float  # share of the prompt's positions at which both put the same token first
    text: str  # greedy continuation on the exchanged kernels
    reference: str  # the same on this package's kernels

    def __str__(self) -> str:
        return (f"largest difference of logits {self.max_difference:.3g}; same first choice at {self.same_top:.0%} of the positions\n"
                f"exchanged: {self.prompt}|{self.text}\nreference: {self.prompt}|{self.reference}")


def compare(kernels: Mapping[str, Any], prompt: str = "The capital of France is", max_new_tokens: int = 16) -> Comparison:
    """Run SmolLM2 (float32) with some kernels exchanged, and beside it as it is.

    Parameters
    ----------
    kernels : mapping
        ``{"rope": my_apply_rope}``; names as in `aieng.transformer.llama.Kernels`.
    prompt : str
        Non-empty.
    max_new_tokens : int
        Of both greedy continuations.

    Returns
    -------
    Comparison
        A kernel that gives NaN has max_difference NaN or inf.
    """
    reference = smollm2()
    yours = reference.with_kernels(**kernels)
    theirs, ours = reference.logits(prompt), yours.logits(prompt)
    return Comparison(
        prompt, float((ours - theirs).abs().max()), float((ours.argmax(-1) == theirs.argmax(-1)).double().mean()),
        yours.generate(prompt, max_new_tokens).text, reference.generate(prompt, max_new_tokens).text,
    )
